"""Deploying a live job over the broker in memory: one claim, nothing left behind by what fails, savepoints that fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from headwater import naming
from headwater.contracts.environment import Environment
from headwater.errors import CallerFault, Fault, HeadwaterError
from headwater.local.flink_live import LiveJob
from headwater.local.flink_place import Note
from headwater.local.flink_rest import NEVER, FlinkCluster, JobState
from headwater.local.flink_run import FlinkRun
from headwater.ports.memory import MemoryBroker
from headwater.processing.deployed import Deployed, recorded
from headwater.testing.broker_mesh import BrokerMesh, registered
from headwater.testing.small_mesh import HOURLY, edit
from headwater.timeline.clock import Clock, ManualClock
from headwater.timeline.instant import Instant


class Cluster(FlinkCluster):
    """A cluster in memory: the states of its jobs."""

    def __init__(self) -> None:
        super().__init__("http://flink:8081")
        self.jobs: dict[str, str] = {}

    def job(self, job: str) -> JobState | None:
        state = self.jobs.get(job)
        return JobState(job, state, 0, 0, "x.Error", None, 0, NEVER, NEVER, NEVER) if state else None

    def named(self, name: str) -> str:
        return ""

    def save_and_stop(self, job: str, folder: str | None, clock: Clock) -> str:
        self.jobs[job] = "FINISHED"
        return f"{folder}/of-{job}"

    def cancel(self, job: str, clock: Clock) -> None:
        self.jobs[job] = "CANCELED"


class Place:
    """A place in memory. `meanwhile` happens between looking and claiming, `state` is what a job comes to there."""

    def __init__(self, cluster: Cluster, gateway: str = "http://g", state: str = "RUNNING") -> None:
        self._cluster = cluster
        self._gateway = gateway
        self.state = state
        self.meanwhile: Callable[[], object] = lambda: None
        self.started: list[Mapping[str, object]] = []
        self.ends: list[str] = []

    def deployed(self, called: str, fits: str) -> Deployed:
        return Deployed(0, called, fits, cluster=self._cluster.url, gateway=self._gateway, folder="s3://b")

    def prepare(self, statements: Sequence[str], settings: Mapping[str, object]) -> None:
        self.meanwhile()

    def start(self, statements: Sequence[str], settings: Mapping[str, object], note: Note) -> None:
        if not self.state:
            raise Fault("the cluster is full", code="HW-P255")
        job = f"j{len(self._cluster.jobs)}"
        self._cluster.jobs[job] = self.state
        self.started.append(settings)
        note(cluster=self._cluster.url, job=job)

    def clear(self) -> None:
        self.ends.append("cleared")

    def close(self) -> None:
        self.ends.append("closed")


class Scene:
    """The small mesh's product, as Flink can say it, and a cluster for it."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(Instant(1_800_000_000_000_000))
        made = BrokerMesh.made(MemoryBroker(self.clock), folder, "x")
        edit(folder, HOURLY.replace("airports/", "airportsx/"), "ports: [topic, current]", "ports: [topic]")
        self.small = BrokerMesh.loaded(made.broker, folder, "x")
        self.cluster = Cluster()

    def job(self) -> LiveJob:
        """As a command of any machine sees it."""
        environment = Environment("test", {"bootstrap.servers": "b:1"}, "http://r")
        registry = registered(self.small.mesh)
        run = FlinkRun(self.small.mesh, str(self.small.product.name), environment, self.small.broker, registry)
        return LiveJob(run, self.clock, lambda url: self.cluster)

    def place(self, **options: Any) -> Place:
        return Place(self.cluster, **options)

    def record(self) -> Deployed | None:
        topic = naming.control_topic(self.small.product.name, self.small.product.major)
        return recorded(self.small.broker, [topic]).get(topic)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(HeadwaterError) as error:
        call()
    return error.value.code


def test_a_second_job_is_refused_and_the_first_one_is_known_to_every_machine(scene: Scene) -> None:
    scene.job().deploy(scene.place())
    other = scene.place()
    assert code_of(lambda: scene.job().deploy(other)) == "HW-P252"
    assert other.started == []
    deployed, state = scene.job().state()
    assert state is not None and state.job == deployed.job == "j0"


def test_of_two_that_looked_at_once_one_begins(scene: Scene) -> None:
    late = scene.place()
    late.meanwhile = lambda: scene.job().deploy(scene.place())
    assert code_of(lambda: scene.job().deploy(late)) == "HW-P252"
    assert late.started == [] and late.ends == ["closed"]
    assert list(scene.cluster.jobs.values()) == ["RUNNING"]


def test_a_runner_that_begins_meanwhile_keeps_the_product(scene: Scene) -> None:
    place = scene.place()
    (stage, *_) = scene.small.plan.stages
    place.meanwhile = lambda: scene.small.broker.group(stage.group, [stage.inputs[0].topic], _Nobody()).poll(1, 0.0)
    assert code_of(lambda: scene.job().deploy(place)) == "HW-P213"
    assert place.started == [] and place.ends == ["cleared", "closed"]
    record = scene.record()
    assert record is not None and record.ended == "gone"


def test_what_cannot_be_begun_leaves_the_record_as_it_was(scene: Scene) -> None:
    lacking = scene.place()

    def lacks() -> None:
        raise CallerFault("no jars", code="HW-P259")

    lacking.meanwhile = lacks
    assert code_of(lambda: scene.job().deploy(lacking)) == "HW-P259"
    assert scene.record() is None
    scene.job().deploy(scene.place())
    kept = scene.job().stop(savepoint=True)
    assert kept == "s3://b/savepoints/of-j0"
    full = scene.place(state="")
    assert code_of(lambda: scene.job().deploy(full)) == "HW-P255"
    record = scene.record()
    assert record is not None and (record.ended, record.savepoint) == ("stopped", kept)
    assert full.ends == ["cleared", "closed"]


def test_a_savepoint_is_taken_where_it_was_made_and_by_the_same_steps(scene: Scene) -> None:
    scene.job().deploy(scene.place())
    kept = scene.job().stop(savepoint=True)
    again = scene.place()
    assert scene.job().deploy(again)[1]
    assert again.started[0]["execution.state-recovery.path"] == kept
    for place, fresh in ((scene.place(gateway="http://other"), False), (scene.place(), True)):
        scene.job().stop(savepoint=True)
        assert not scene.job().deploy(place, fresh=fresh)[1]
        assert "execution.state-recovery.path" not in place.started[0]


def test_a_task_that_fails_ends_the_job_and_the_next_takes_no_checkpoint_of_it(scene: Scene) -> None:
    place = scene.place()
    scene.job().deploy(place)
    assert place.started[0]["restart-strategy.type"] == "none"
    scene.cluster.jobs["j0"] = "FAILED"
    assert code_of(lambda: scene.job().stop(savepoint=True)) == "HW-P253"
    deployed, from_savepoint = scene.job().deploy(scene.place())
    assert deployed.job == "j1" and not from_savepoint


def test_one_that_fails_as_it_begins_is_said_and_frees_the_product(scene: Scene) -> None:
    assert code_of(lambda: scene.job().deploy(scene.place(state="FAILED"))) == "HW-P255"
    assert scene.job().deploy(scene.place())[0].job == "j1"


def test_a_job_is_forgotten_where_its_cluster_cannot_be_asked_alone(scene: Scene) -> None:
    scene.job().deploy(scene.place())
    assert code_of(lambda: scene.job().forget()) == "HW-P252"
    del scene.cluster.jobs["j0"]
    scene.job().forget()
    record = scene.record()
    assert record is not None and record.ended == "gone"
    assert code_of(lambda: scene.job().forget()) == "HW-P253"


class _Nobody:
    """What a member of a group is told of its partitions, of no matter here."""

    def gained(self, partitions: Sequence[Any]) -> Mapping[Any, int]:
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: Sequence[Any]) -> None:
        """Nothing is held."""

    def lost(self, partitions: Sequence[Any]) -> None:
        """Nothing is held."""

"""A cluster elsewhere is asked for what a live job needs before anything is changed, and told of by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from headwater.errors import CallerFault, Fault
from headwater.local.flink_elsewhere import CHECKPOINTS, SAVEPOINTS, Elsewhere, ThroughGateway
from headwater.local.flink_rest import NEVER, FlinkCluster, JobState
from headwater.local.flink_session import GatewaySession, Refused
from headwater.timeline.clock import Clock, ManualClock
from headwater.timeline.instant import Instant

REMOTE = {"execution.target": "remote", "rest.address": "flink", "rest.port": "8081"}
KEPT = {CHECKPOINTS: "s3://b/c", SAVEPOINTS: "s3://b/s"}
SQL = ["CREATE TABLE out", "INSERT INTO out"]


class Session(GatewaySession):
    """A gateway in memory: its settings, what it refuses, and what it was given."""

    def __init__(self, settings: Mapping[str, str], refuses: Mapping[str, str]) -> None:
        super().__init__("http://gateway:8083")
        self._of_gateway = settings
        self._refuses = refuses
        self.given: dict[str, object] = {}
        self.done: list[str] = []

    def open(self, settings: Mapping[str, object]) -> None:
        self.given = dict(settings)

    def settings(self) -> dict[str, str]:
        return dict(self._of_gateway)

    def execute(self, statement: str, clock: Clock, *, stopped: Callable[[], bool] = lambda: False) -> bool:
        self.done.append(statement)
        for begins, said in self._refuses.items():
            if statement.startswith(begins):
                raise Refused(said)
        return True

    def submit(self, statement: str, clock: Clock) -> str:
        self.execute(statement, clock)
        return "j"

    def close(self) -> None:
        self.done.append("closed")


class Cluster(FlinkCluster):
    """The JobManager: its settings, and the jobs it knows."""

    def __init__(self, url: str, settings: Mapping[str, str], jobs: frozenset[str]) -> None:
        super().__init__(url)
        self._set_to = settings
        self._jobs = jobs

    def settings(self) -> dict[str, str]:
        return dict(self._set_to)

    def job(self, job: str) -> JobState | None:
        return JobState(job, "RUNNING", 0, 0, "", None, 0, NEVER, NEVER, NEVER) if job in self._jobs else None


class There:
    """A place elsewhere, what it is set to and what it lacks."""

    def __init__(
        self, where: Elsewhere = Elsewhere("http://gateway:8083"), *, gateway: Mapping[str, str] = REMOTE,
        cluster: Mapping[str, str] = KEPT, refuses: Mapping[str, str] | None = None, jobs: tuple[str, ...] = ("j",),
    ) -> None:  # fmt: skip
        self.session = Session(gateway, refuses or {})
        self.asked: list[str] = []

        def clusters(url: str) -> FlinkCluster:
            self.asked.append(url)
            return Cluster(url, cluster, frozenset(jobs))

        self.place = ThroughGateway(where, ManualClock(Instant(0)), clusters, lambda url: self.session)
        self.noted: list[Any] = []

    def prepare(self) -> None:
        self.place.deployed("x-flink-live-1", "f")
        self.place.prepare(SQL, {"pipeline.name": "x-flink-live-1"})

    def start(self) -> None:
        self.prepare()
        self.place.start(SQL, {}, lambda **more: self.noted.append(more))

    def refused(self) -> CallerFault:
        with pytest.raises(CallerFault) as error:
            self.start()
        return error.value


def test_a_job_is_planned_there_and_then_submitted_and_both_its_ids_are_noted() -> None:
    there = There(Elsewhere("http://gateway:8083", folder="s3://b", jars=("/jars/a.jar",)))
    there.start()
    assert there.session.done == ["ADD JAR '/jars/a.jar'", SQL[0], f"EXPLAIN {SQL[1]}", SQL[1]]
    assert there.session.given[CHECKPOINTS] == "s3://b/checkpoints"
    assert there.session.given["table.dml-sync"] == "false"
    assert there.noted[0]["session"] == there.session.url  # before the job is there, so that it can be found
    assert there.noted[1] == {"cluster": "http://flink:8081", "job": "j"}


def test_where_its_jobmanager_is_reached_from_here_may_be_said() -> None:
    there = There(Elsewhere("http://gateway:8083", rest="http://127.0.0.1:18081"))
    there.start()
    assert set(there.asked) == {"http://127.0.0.1:18081"}


@pytest.mark.parametrize("settings", [{}, {"execution.target": "local"}, {"execution.target": "remote"}])
def test_a_gateway_without_a_cluster_that_can_be_asked_is_refused(settings: dict[str, str]) -> None:
    there = There(gateway=settings)
    assert there.refused().code == "HW-P257"
    assert there.session.done == []


def test_a_cluster_without_a_folder_for_what_is_kept_is_refused() -> None:
    there = There(cluster={CHECKPOINTS: "s3://b/c"})
    assert there.refused().code == "HW-P258"
    assert there.session.done == []


@pytest.mark.parametrize(
    ("refuses", "named"),
    [
        (
            {"EXPLAIN": "ValidationException: Could not find any factory for identifier 'kafka' that ... key 42"},
            "kafka",
        ),
        ({"CREATE": "x\nCaused by: java.lang.ClassNotFoundException: org.headwater.flink.Frame"}, "flink.Frame"),
        ({"ADD": "FileNotFoundException: /jars/a.jar"}, "/jars/a.jar"),
    ],
)
def test_what_the_cluster_lacks_is_named_with_its_mend_and_nothing_is_submitted(
    refuses: dict[str, str], named: str
) -> None:
    there = There(Elsewhere("http://gateway:8083", jars=("/jars/a.jar",)), refuses=refuses)
    error = there.refused()
    assert error.code == "HW-P259" and named in error.message and "--jar" in error.hint
    assert "42" not in error.render()
    assert SQL[1] not in there.session.done and there.noted == []


def test_another_error_of_planning_is_said_by_its_kinds() -> None:
    there = There(refuses={"EXPLAIN": "x\nCaused by: java.lang.IllegalStateException: key 42"})
    with pytest.raises(Fault) as error:
        there.start()
    assert error.value.code == "HW-P255" and error.value.detail == "java.lang.IllegalStateException"


def test_a_job_that_went_to_another_cluster_is_stopped_there() -> None:
    there = There(jobs=())
    assert there.refused().code == "HW-P257"
    assert there.session.done[-1] == "STOP JOB 'j'"

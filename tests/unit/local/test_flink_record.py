"""One live job of a product on all machines: who may write it is told by the record and by the job's cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headwater import naming
from headwater.errors import CallerFault, HeadwaterError, Unreachable
from headwater.local.flink_record import live_prefix, require_no_live_job, state_of, this_machine
from headwater.local.flink_rest import NEVER, STARTING, FlinkCluster, JobState
from headwater.processing.deployed import Deployed, change, recorded
from headwater.testing.turns import Scene

THERE = Deployed(0, "x-flink-live-1", "f", cluster="http://flink:8081", job="j", gateway="http://g", checkpoint=4)
HERE = Deployed(0, "x-flink-live-1", "f", cluster="http://127.0.0.1:1", job="j", host=this_machine())


class Cluster(FlinkCluster):
    """One whose job is in a state, or that knows none."""

    def __init__(self, state: str, named: str = "") -> None:
        super().__init__("http://flink:8081")
        self._state = state
        self._named = named

    def job(self, job: str) -> JobState | None:
        return JobState(job, self._state, 0, 0, "", None, 0, NEVER, NEVER, NEVER) if self._state else None

    def named(self, name: str) -> str:
        return self._named if name == THERE.called else ""


class Machines:
    """A product with a job on record, and a command that wants to write it."""

    def __init__(self, folder: Path, deployed: Deployed) -> None:
        self.scene = Scene(folder)
        plan = self.scene.small.plan
        self.name = str(plan.product)
        change(self.scene.small.broker, plan.product, plan.major, lambda now: deployed, clock=self.scene.clock)

    def begin(self, state: str, named: str = "") -> None:
        small = self.scene.small
        require_no_live_job(
            small.mesh, [self.name], small.broker, clock=self.scene.clock, clusters=lambda url: Cluster(state, named)
        )

    def ended(self) -> str:
        return recorded(self.scene.small.broker, [self.scene.topic])[self.scene.topic].ended


@pytest.mark.parametrize("state", ["RUNNING", "RESTARTING", "CREATED", "FAILING"])
def test_a_job_at_work_keeps_every_other_writer_away(tmp_path: Path, state: str) -> None:
    machines = Machines(tmp_path, THERE)
    with pytest.raises(CallerFault) as refused:
        machines.begin(state)
    assert refused.value.code == "HW-P252"
    assert "http://flink:8081" in refused.value.detail
    assert machines.ended() == ""


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", ""])
def test_one_that_is_over_is_let_go_and_what_it_has_open_is_ended(tmp_path: Path, state: str) -> None:
    machines = Machines(tmp_path, THERE)
    small, broker = machines.scene.small, machines.scene.memory()
    left = broker.sink(f"{live_prefix(naming.topic(small.product.name, small.product.major))}-0-5")
    left.open()
    left.begin()
    left.send(small.product.output.topic, b"k", b"v", timestamp=0, partition=0)
    machines.begin(state)
    assert machines.ended() == "gone"
    with pytest.raises(HeadwaterError):
        left.commit()
    assert small.written() == []
    machines.begin("RUNNING")  # what is over is not asked about again


def test_one_on_a_machine_that_is_not_this_one_is_not_guessed_about(tmp_path: Path) -> None:
    machines = Machines(tmp_path, replace(HERE, host="another"))
    with pytest.raises(Unreachable) as unknown:
        machines.begin("")
    assert unknown.value.code == "HW-P251"
    assert "another" in unknown.value.message and "forget" in unknown.value.hint


def test_one_whose_process_is_here_is_told_by_the_process(tmp_path: Path) -> None:
    machines = Machines(tmp_path, replace(HERE, data_folder=str(tmp_path)))
    machines.begin("RUNNING")  # whoever answers at that port now is another
    assert machines.ended() == "gone"


def test_one_that_is_being_started_is_waited_for_and_one_that_was_not_is_not(tmp_path: Path) -> None:
    machines = Machines(tmp_path, replace(THERE, job=""))
    with pytest.raises(CallerFault):
        machines.begin("")
    with pytest.raises(CallerFault):
        machines.begin("RUNNING", named="j")  # its command was killed before it wrote the id down
    machines.scene.clock.sleep(700_000_000)
    machines.begin("")
    assert machines.ended() == "gone"


def test_a_claim_of_this_machine_is_believed_for_as_long_as_a_process_takes_to_begin(tmp_path: Path) -> None:
    scene: Any = Scene(tmp_path)
    claim = replace(HERE, job="", data_folder=str(tmp_path), at=int(scene.clock.now()))
    assert state_of("a.b", claim, scene.clock) is STARTING
    scene.clock.sleep(31_000_000)
    assert state_of("a.b", claim, scene.clock) is None

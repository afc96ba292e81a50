"""What a Flink cluster says of a job, as a person is shown it: numbers, the newest checkpoint, kinds of failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from headwater.errors import Fault
from headwater.local.flink_rest import NEVER, FlinkCluster, UnknownThere
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

COMPLETED = {"id": 7, "external_path": "file:/c/chk-7", "trigger_timestamp": 5_000, "end_to_end_duration": 40}
METRICS = {"0.Source__in0[1].numRecordsIn": "5", "0.out[9]__Writer.numRecordsSend": "3", "0.Calc[2].numRecordsIn": "9"}


class Answers:
    """A cluster in memory: what is answered at a place, and what was asked for."""

    def __init__(self, state: str = "RUNNING") -> None:
        self.state = state
        self.asked: list[tuple[str, str]] = []
        self.saved: dict[str, Any] = {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/s/1"}}

    def __call__(self, method: str, place: str, body: Mapping[str, Any] | None = None) -> Any:
        self.asked.append((method, place))
        if place == "/jobs/gone":
            raise UnknownThere
        if place.endswith("/stop"):
            assert body == {"drain": False, "targetDirectory": "file:/s"}
            self.state = "FINISHED"
            return {"request-id": "t"}
        if "/savepoints/" in place:
            return self.saved
        if "?get=" in place:
            names = place.partition("?get=")[2]
            return (
                []
                if names == "numRestarts"
                else [{"id": one, "value": METRICS[one]} for one in METRICS if "Calc" not in one]
            )
        return {
            "/jobs/j": {"state": self.state, "start-time": 1, "vertices": [{"id": "v"}]},
            "/jobs/j/checkpoints": {
                "latest": {"completed": {**COMPLETED, "state_size": 10}, "savepoint": None},
                "counts": {"failed": 2},
            },
            "/jobs/j/exceptions": {
                "exceptionHistory": {
                    "entries": [{"exceptionName": "x.A", "stacktrace": "x.A: secret\nCaused by: x.B: key 42\n\tat"}]
                }
            },
            "/jobs/j/vertices/v/metrics": [{"id": one} for one in METRICS],
        }[place]


def test_a_job_is_shown_with_its_numbers_and_without_values() -> None:
    state = FlinkCluster("http://c", Answers()).job("j")
    assert state is not None and state.at_work
    assert (state.rows_in, state.rows_out, state.lag, state.restarts) == (5, 3, NEVER, NEVER)
    assert state.checkpoint is not None
    assert (state.checkpoint.number, state.checkpoint.begun, state.checkpoint.micros) == (7, 5_000_000, 40_000)
    assert state.failed_checkpoints == 2
    assert state.failure == "x.B"


def test_a_job_that_is_over_is_not_at_work_and_an_unknown_one_is_none() -> None:
    answers = Answers("FAILED")
    state = FlinkCluster("http://c", answers).job("j")
    assert state is not None and not state.at_work
    assert FlinkCluster("http://c", answers).job("gone") is None


def test_a_job_is_stopped_behind_a_savepoint_that_closes_no_tick() -> None:
    clock = ManualClock(Instant(0))
    assert FlinkCluster("http://c", Answers()).save_and_stop("j", "file:/s", clock) == "file:/s/1"


def test_a_savepoint_that_fails_is_said_by_its_kinds() -> None:
    answers = Answers()
    answers.saved["operation"] = {"failure-cause": {"stack-trace": "x\nCaused by: java.io.IOException: key 42\n"}}
    with pytest.raises(Fault) as failed:
        FlinkCluster("http://c", answers).save_and_stop("j", "file:/s", ManualClock(Instant(0)))
    assert failed.value.code == "HW-P254"
    assert failed.value.detail == "java.io.IOException"

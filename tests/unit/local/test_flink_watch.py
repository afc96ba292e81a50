"""Watching a live job: its figures under the names of all runners, the alarm when it is not up, deployed again once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from headwater.errors import HeadwaterError, Unreachable
from headwater.hooks import HAPPENINGS, Hooks
from headwater.local.flink_rest import Checkpoint, JobState
from headwater.local.flink_watch import Watch, keep_watch
from headwater.observability.metrics import METRICS
from headwater.observability.prometheus import PrometheusListener
from headwater.processing.deployed import Deployed
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

RULES = Path(__file__).parents[3] / "infra" / "prometheus-rules.yml"
RUNS = JobState(
    "j", "RUNNING", 10_000_000, 0, "", Checkpoint(3, "f", 40_000_000, 2_000_000, 10), 1, 70, 20, 5, 9_000, 0
)


class Job:
    """A job whose record and state a test sets."""

    def __init__(self) -> None:
        self.deployed = Deployed(0, "x-1", "f", job="j")
        self.now: JobState | HeadwaterError | None = RUNS
        self.begun = 0

    def state(self) -> tuple[Deployed, JobState | None]:
        if isinstance(self.now, HeadwaterError):
            raise self.now
        return self.deployed, self.now

    def again(self) -> None:
        self.begun += 1
        self.deployed = replace(self.deployed, called=f"x-{self.begun + 1}")


class Scene:
    """A watch, and what a scrape of it shows."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock(Instant(50_000_000))
        self.job, self.metrics, self.heard = Job(), PrometheusListener(), list[str]()
        hooks = Hooks([lambda name, fields: self.heard.append(name), self.metrics])
        self.watch = Watch("a.b", self.job, hooks, self.clock, **options)

    def figure(self, name: str, labels: str = 'product="a.b"') -> float | None:
        for line in self.metrics.text().splitlines():
            if line.startswith(f"headwater_{name}{{{labels}}} "):
                return float(line.rpartition(" ")[2])
        return None


def test_a_job_is_shown_under_the_names_of_every_runner() -> None:
    scene = Scene()
    assert scene.watch.step() is None and scene.watch.step() is None
    stage = 'product="a.b",stage="flink"'
    assert scene.figure("stage_records_total", stage) == 20
    assert scene.figure("stage_folded_records_total", stage) == 70
    assert scene.figure("stage_commit_seconds_sum", stage) == 2
    assert (scene.figure("flink_running"), scene.figure("flink_lag_records"), scene.figure("flink_lag_seconds")) == (
        1,
        5,
        9,
    )
    assert scene.figure("flink_checkpoint_age_seconds") == 10
    assert scene.figure("flink_failed_checkpoints_total") == 1
    scene.job.now = replace(RUNS, checkpoint=Checkpoint(4, "f", 45_000_000, 0, 10), rows_in=80, rows_out=21, lag=0)
    scene.watch.step()
    assert scene.figure("stage_records_total", stage) == 21
    assert scene.figure("flink_lag_seconds") == 0
    scene.job.now = replace(RUNS, job="k", checkpoint=Checkpoint(1, "f", 45_000_000, 0, 10), rows_in=7, rows_out=2)
    scene.watch.step()
    assert scene.figure("stage_records_total", stage) == 23  # another job begins at none


@pytest.mark.parametrize("now", [replace(RUNS, state="FAILED", failure="x.Error"), None])
def test_a_job_that_is_over_raises_the_alarm_and_its_reason_is_told_once(now: JobState | None) -> None:
    scene = Scene()
    scene.watch.step()
    scene.job.now = now
    errors = [scene.watch.step() for _ in range(3)]
    assert all(error is not None and error.code == "HW-P261" for error in errors)
    assert scene.figure("flink_running") == 0 and scene.figure("flink_stopped") == 0
    assert scene.figure("product_failed_total", 'code="HW-P261",product="a.b"') in (1, None)
    assert scene.heard.count("product.failed") == 1


def test_one_that_cannot_be_asked_is_not_up_and_none_is_begun_in_its_place() -> None:
    scene = Scene(again=True)
    scene.job.now = Unreachable("away", code="HW-P251")
    assert scene.watch.step() is scene.job.now
    scene.clock.sleep(3_600_000_000)
    scene.watch.step()
    assert scene.figure("flink_running") == 0 and scene.job.begun == 0


def test_one_that_was_stopped_is_no_alarm_and_stays_so() -> None:
    scene = Scene(again=True)
    scene.job.deployed = replace(scene.job.deployed, ended="stopped")
    scene.job.now = None
    assert scene.watch.step() is None
    assert (scene.figure("flink_running"), scene.figure("flink_stopped"), scene.job.begun) == (0, 1, 0)


def test_one_that_failed_is_deployed_again_ever_more_seldom() -> None:
    scene = Scene(again=True)
    scene.job.now = replace(RUNS, state="FAILED")
    begun = []
    for _ in range(1_200):
        assert scene.watch.step() is None
        begun.append(scene.job.begun)
        scene.clock.sleep(1_000_000)
    assert begun[:9] == [0] * 9 and begun[-1] == 7  # 10, 20, 40, 80, 160 and then 300 s after the last one
    assert scene.figure("flink_deployed_again_total") == 7


def test_transactions_that_were_lost_are_counted() -> None:
    scene = Scene()
    for lost in (0, 2, 2):
        scene.job.now = replace(RUNS, lost=lost)
        scene.watch.step()
    assert scene.figure("flink_lost_transactions_total") == 2


def test_a_command_that_is_to_end_with_a_job_ends_with_its_reason() -> None:
    scene = Scene()
    scene.job.now = None
    with pytest.raises(HeadwaterError, match="is gone"):
        keep_watch([scene.watch], scene.clock, seconds=1, stopped=lambda: False, until_failed=True)


def test_every_metric_of_a_rule_is_one_that_is_told() -> None:
    names, told = {metric.name for metric in METRICS}, {metric.happening for metric in METRICS}
    rules = [rule for group in YAML(typ="safe").load(RULES.read_text())["groups"] for rule in group["rules"]]
    used = {
        word.strip("()") for rule in rules for word in rule["expr"].replace("(", " ").split() if "headwater" in word
    }
    assert used <= names and any(one.startswith("headwater_flink_") for one in used)
    assert told <= set(HAPPENINGS)

"""The watch over a Faust application: what stands still too long is an alarm, once; what has reason to stand is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from headwater.errors import HeadwaterError, Unreachable
from headwater.hooks import Hooks
from headwater.observability.prometheus import PrometheusListener
from headwater.ports.record import TopicPartition
from headwater.processing.runners.faust_watch import FaustWatch, Seen, Watched
from headwater.timeline.clock import ManualClock

INPUT, OWN = TopicPartition("flights.departures.v1", 0), TopicPartition("mine", 2)
STALL_SECONDS = 60


@dataclass
class Scene:
    """An application whose loop answers unless `deaf`."""

    clock: ManualClock = field(default_factory=ManualClock)
    deaf: bool = False
    stands: dict[TopicPartition, int] = field(default_factory=lambda: {INPUT: 5})
    ends: dict[TopicPartition, int] = field(default_factory=lambda: {INPUT: 5})
    oldest: dict[TopicPartition, int] = field(default_factory=dict)
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    metrics: PrometheusListener = field(default_factory=PrometheusListener)
    shared: bool = True

    def __post_init__(self) -> None:
        self.seen = Seen(self.clock.monotonic())
        watched = self.watched(lambda places: self.ends)
        hooks = Hooks([lambda *told: self.heard.append(told), self.metrics])
        self.watch = FaustWatch(watched, hooks=hooks, clock=self.clock, stall_seconds=STALL_SECONDS)

    def watched(self, ends: Any) -> Watched:
        return Watched(
            "a.b",
            self.seen,
            ask=self._ask,
            shared=lambda: self.shared,
            stands=lambda: self.stands,
            ends=ends,
            stopped=lambda error: None,
        )

    def _ask(self) -> None:
        if not self.deaf:
            self.seen.beat, self.seen.oldest = self.clock.monotonic(), dict(self.oldest)

    def look(self, seconds: int) -> HeadwaterError | None:
        """Once a second for so long; the first error."""
        for _ in range(seconds):
            error = self.watch.look()
            if error is not None:
                return error
            self.clock.sleep(1_000_000)
        return None

    def alarms(self) -> list[str]:
        return [fields["what"] for happening, fields in self.heard if happening == "faust.stalled"]


def test_what_has_read_all_there_is_may_stand() -> None:
    scene = Scene()
    assert scene.look(200) is None
    assert scene.alarms() == []


@pytest.mark.parametrize("what", ["loop", "group", "stage", "agent"])
def test_what_stands_too_long_is_an_alarm(what: str) -> None:
    scene = Scene()
    assert scene.look(10) is None
    if what == "loop":
        scene.deaf = True
    elif what == "group":
        scene.shared = False
    elif what == "stage":
        scene.ends[INPUT] = 9
    else:
        scene.oldest[OWN] = 7
    error = scene.look(STALL_SECONDS + 5)
    assert isinstance(error, Unreachable)
    assert error.code == "HW-P216"
    assert scene.alarms() == [what]
    assert f'headwater_faust_stalled_total{{product="a.b",what="{what}"}} 1.0' in scene.metrics.text()


def test_whoever_is_slow_and_moves_is_left_alone() -> None:
    scene = Scene(ends={INPUT: 100})
    for offset in range(5, 12):
        scene.stands[INPUT] = scene.oldest[OWN] = offset
        assert scene.look(STALL_SECONDS - 5) is None


def test_a_broker_that_is_away_is_no_fault_of_the_application() -> None:
    scene = Scene(ends={INPUT: 9})

    def away(places: list[TopicPartition]) -> dict[TopicPartition, int]:
        raise Unreachable("away", code="HW-R001")

    scene.watch = FaustWatch(scene.watched(away), hooks=Hooks(), clock=scene.clock, stall_seconds=STALL_SECONDS)
    assert scene.look(200) is None


def test_how_far_it_is_behind_is_told_by_topic() -> None:
    scene = Scene(ends={INPUT: 9})
    scene.look(1)
    assert 'headwater_faust_lag_records{product="a.b",topic="flights.departures.v1"} 4.0' in scene.metrics.text()

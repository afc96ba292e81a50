"""Saboteurs of pause, smaller batches, back-pressure and clearing: each is found by what the honest runner passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import HeadwaterError
from headwater.processing import handed_over
from headwater.processing.engine import StageTask
from headwater.processing.incarnation import Incarnation
from headwater.testing.broker_mesh import random_batches
from headwater.testing.turns import Scene, Worker
from headwater.testing.two_sources import as_in_memory, both_ways, two_sources

UNITED = """from headwater import Stream, col, count_distinct, tumbling


def flow(departures: Stream, arrivals: Stream) -> Stream:
    both = departures.union(arrivals, named="way")
    counted = both.aggregate(by=["origin"], window=WINDOW, rows=count_distinct("event_id"))
    return counted.select(origin=col("origin"), departures=col("rows"))
"""


def stands_and_goes_on(folder: Path) -> bool:
    """Whether nothing moves while a product is paused, and all is said once afterwards."""
    scene, batches = Scene(folder), random_batches(2, batches=20, size=4)
    worker = Worker(scene)
    scene.small.feed(batches[:6], last=False)
    worker.turns(8)
    scene.tell("pause")
    worker.turns(2)
    settled, written = scene.small.settled(), scene.ends()
    scene.small.feed(batches[6:12], last=False)
    worker.turns(8)
    stood = (scene.small.settled(), scene.ends()) == (settled, written)
    scene.tell("resume")
    scene.small.feed(batches[12:])
    worker.turns(25)
    return stood and scene.small.decoded() == scene.small.expected(batches)


def holds_little_and_goes_on(folder: Path) -> bool:
    """Whether a stage that may hold next to nothing says all that it must."""
    scene = Scene(folder, lambda broker, mesh: two_sources(broker, mesh, "x", UNITED))
    ways = both_ways(scene.small, "x")
    given = [random_batches(seed, batches=12, size=4) for seed in (5, 6)]
    worker = Worker(scene, held_bytes=1)
    ways[0].feed(given[0])
    worker.turns(10)
    ways[1].feed(given[1])
    worker.turns(60)
    return scene.small.decoded() == as_in_memory(scene.small, ways, given)


def clears_and_goes_on(folder: Path) -> bool:
    """Whether a worker that is killed, and its successor, miss nothing of what is deleted."""
    scene, batches = Scene(folder), random_batches(3, batches=24, size=6)
    worker = Worker(scene)
    for start in range(0, 24, 6):
        scene.small.feed(batches[start : start + 6], last=start == 18)
        worker.turns(5)
        scene.clock.sleep(61_000_000)
        worker.turns(2)
        worker.close(killed=True)
        worker = Worker(scene)
    worker.turns(20)
    return scene.small.decoded() == scene.small.expected(batches)


def deaf(self: Incarnation, still: bool) -> None:
    """Says that it stands, and reads on."""
    self._standing = False


def forgetful(self: Incarnation, still: bool) -> None:
    """Stands at once, and drops what it has read and not committed: it goes on behind it."""
    assert self._source is not None
    self._standing = still
    for number, owner in self._owned.items():
        for lanes in owner.task._inputs.values():  # type: ignore[attr-defined]
            for lane in lanes.lanes:
                lane.waiting.clear()
        places = [place for place in self._stands if place.partition == number]
        (self._source.pause if still else self._source.resume)(places)


def stubborn(self: StageTask) -> list[str]:
    """Lets every input wait, also the one that the others wait for."""
    return list(self._inputs)


def greedy(self: handed_over.HandedOver, committed: Any) -> None:
    """Deletes what is there, committed or not."""
    places = [place for place in committed if place.topic in self._topics]
    self._broker.delete_before(self._broker.ends(places))


HONEST: list[Callable[[Path], bool]] = [stands_and_goes_on, holds_little_and_goes_on, clears_and_goes_on]
SABOTEURS: list[tuple[Callable[[Path], bool], Any, str, Any]] = [
    (stands_and_goes_on, Incarnation, "_stand", deaf),
    (stands_and_goes_on, Incarnation, "_stand", forgetful),
    (holds_little_and_goes_on, StageTask, "ahead", stubborn),
    (clears_and_goes_on, handed_over.HandedOver, "step", greedy),
]


@pytest.fixture(autouse=True)
def thorough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_over, "LEAST", 1)
    monkeypatch.setattr("headwater.processing.incarnation.POLL_MESSAGES", 7)


@pytest.mark.parametrize("right", HONEST, ids=lambda right: right.__name__)
def test_the_runner_is_right(tmp_path: Path, right: Callable[[Path], bool]) -> None:
    assert right(tmp_path)


@pytest.mark.parametrize("right, of, name, by", SABOTEURS, ids=lambda part: getattr(part, "__name__", str(part)))
def test_a_saboteur_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: Callable[[Path], bool], of: Any, name: str, by: Any
) -> None:
    monkeypatch.setattr(of, name, by)
    try:
        found = not right(tmp_path)
    except HeadwaterError:
        found = True
    assert found

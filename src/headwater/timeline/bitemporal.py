"""What is known, as of a recorded moment: records taken in their order, and asked for what they say.

A record speaks for its whole interval and overrides what was recorded earlier on the overlap; a retract is a hole and
does not bring back what it overrode. Of an event the highest revision speaks. Repeats and superseded revisions of one
identity say nothing. `docs/concepts/time.md` has the rules; `headwater.testing.oracles` is the slow reference.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

Record = Mapping[str, Any]
FOREVER = 1 << 62  # in place of an open end, so that ends can be compared


class Known(Protocol):
    """What a product's records say, taken in the order of their partitions."""

    def take(self, record: Record) -> None:
        """One record more."""

    def rows(self, valid_at: int | None = None) -> Iterator[Record]:
        """What is true: at an instant of valid time, or whenever."""


class Timeline:
    """The facts of one key: disjoint intervals of valid time, each with the record that speaks for it.

    >>> seats = Timeline()
    >>> seats.override(0, None, {"seats": 149}); seats.override(40, 60, {"seats": 144})
    >>> [(start, end, fact["seats"]) for start, end, fact in seats.pieces()]
    [(0, 40, 149), (40, 60, 144), (60, None, 149)]
    >>> seats.override(50, None, None)                     # a retract leaves a hole
    >>> seats.at(45), seats.at(55)
    ({'seats': 144}, None)
    """

    __slots__ = ("_ends", "_facts", "_starts")

    def __init__(self) -> None:
        # Three lists of one length, sorted by start; the intervals do not overlap.
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._facts: list[Record] = []

    def override(self, valid_from: int, valid_to: int | None, fact: Record | None) -> None:
        """A record speaks for [valid_from, valid_to); None says that there is nothing."""
        end = FOREVER if valid_to is None else valid_to
        first = bisect_right(self._starts, valid_from)
        if first and self._ends[first - 1] > valid_from:
            first -= 1
        last = first
        pieces: list[tuple[int, int, Record]] = [] if fact is None else [(valid_from, end, fact)]
        while last < len(self._starts) and self._starts[last] < end:
            if self._starts[last] < valid_from:
                pieces.insert(0, (self._starts[last], valid_from, self._facts[last]))
            if self._ends[last] > end:
                pieces.append((end, self._ends[last], self._facts[last]))
            last += 1
        self._starts[first:last] = [piece[0] for piece in pieces]
        self._ends[first:last] = [piece[1] for piece in pieces]
        self._facts[first:last] = [piece[2] for piece in pieces]

    def at(self, valid_at: int) -> Record | None:
        """The record that speaks for an instant; None where there is none, or a hole."""
        place = bisect_right(self._starts, valid_at) - 1
        return self._facts[place] if place >= 0 and valid_at < self._ends[place] else None

    def pieces(self) -> Iterator[tuple[int, int | None, Record]]:
        """All intervals in order, with their records; an open end is None."""
        for start, end, fact in zip(self._starts, self._ends, self._facts, strict=True):
            yield start, None if end == FOREVER else end, fact


class KnownEvents:
    """Of each event the highest revision, unless that is a retract. An instant of valid time means: occurred by then.

    >>> known = KnownEvents()
    >>> known.take({"event_id": "a", "occurred_at": 5, "revision": 1, "kind": "assert", "n": 5})
    >>> known.take({"event_id": "a", "occurred_at": 6, "revision": 2, "kind": "correct", "n": 7})
    >>> [event["n"] for event in known.rows()], list(known.rows(valid_at=5))
    ([7], [])
    """

    def __init__(self) -> None:
        self._newest: dict[Any, Record] = {}

    def take(self, record: Record) -> None:
        """One record more."""
        before = self._newest.get(record["event_id"])
        if before is None or record["revision"] > before["revision"]:
            self._newest[record["event_id"]] = record

    def rows(self, valid_at: int | None = None) -> Iterator[Record]:
        """The events that are known, in the order in which they were first heard of."""
        for record in self._newest.values():
            if record["kind"] != "retract" and (valid_at is None or record["occurred_at"] <= valid_at):
                yield record


class KnownFacts:
    """The timelines of all keys.

    At an instant, the record of each key that speaks for it, as it was published. Without one, each record over the
    intervals that later ones have left to it: `valid_from` and `valid_to` are cut to them.
    """

    def __init__(self, key: Sequence[str]) -> None:
        self._key = tuple(key)
        self._timelines: dict[tuple[Any, ...], Timeline] = {}
        self._revisions: dict[tuple[Any, ...], int] = {}

    def take(self, record: Record) -> None:
        """One record more."""
        key = tuple([record[name] for name in self._key])
        interval = record["valid_from"], record["valid_to"]
        if record["revision"] <= self._revisions.get((key, *interval), 0):
            return
        self._revisions[key, *interval] = record["revision"]
        timeline = self._timelines.get(key)
        if timeline is None:
            timeline = self._timelines[key] = Timeline()
        timeline.override(*interval, None if record["kind"] == "retract" else record)

    def rows(self, valid_at: int | None = None) -> Iterator[Record]:
        """The facts that are known, key by key in the order in which keys were first heard of."""
        for timeline in self._timelines.values():
            if valid_at is not None:
                fact = timeline.at(valid_at)
                if fact is not None:
                    yield fact
                continue
            for start, end, fact in timeline.pieces():
                yield {**fact, "valid_from": start, "valid_to": end}

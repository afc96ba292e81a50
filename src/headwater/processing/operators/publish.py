"""`publish`: number what changed, and say it. Only the last stage of a product does so.

Of a tick's changes of one identity, whichever lanes they came by, what goes and comes again cancels; at most one row
before and one after are left. No difference, no record. The revision counts the records of this identity, and stays
after a retract; it is kept from the second on, for most records are never corrected. A retract carries the value that
it takes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headwater.errors import Fault
from headwater.processing.field_types import FieldType
from headwater.processing.graph import Filter, Map
from headwater.processing.operators.core import OPEN, Change, Row, RowStep, rest_function, stepped
from headwater.processing.packing import pack_integer, sized
from headwater.processing.state import Overlay, Table


@dataclass(frozen=True)
class PublishSpec:
    """What is published: the rows' columns, which are the record's fields, and the columns to convert on the way.

    `pieces` is true where a change says what held over an interval that need not have been published as such: a record
    is then an assertion or a correction by what was last published for its very interval. `moving` is true where facts
    may give way to others that overlap them.
    """

    name: str
    shape: str
    columns: tuple[str, ...]
    conversions: tuple[tuple[str, Callable[[Any], Any]], ...] = ()
    pieces: bool = False
    moving: bool = False


class Numbered(NamedTuple):
    """A record to publish."""

    key: bytes
    record: dict[str, Any]


Number = Callable[[bytes, int], int]
"""From a fact's key and `valid_from` to its next revision."""


class Publish:
    """The revisions of one partition; `number` counts them where the operator before does."""

    def __init__(self, spec: PublishSpec, overlay: Overlay, number: Number | None = None) -> None:
        columns = {name: index for index, name in enumerate(spec.columns)}
        self._columns = spec.columns
        self._conversions = spec.conversions
        self._rest = rest_function(spec.shape, columns)
        self._order = _event_order(columns) if spec.shape == "event" else _fact_order(columns)
        self._moving = spec.moving
        self._number = number
        self._pieces = spec.pieces
        self.revisions = Table(overlay, spec.name, pack_integer, int)

    def tick(self, changes: Iterable[Change], recorded_at: int) -> list[Numbered]:
        """The records of a tick, in order of key and interval (events: of key and id).

        Of facts that give way to others a key's retracts come first.
        """
        settled: dict[bytes, tuple[bytes, Row | None, Row | None]] = {}
        several: dict[bytes, list[Change]] = {}
        for change in changes:
            key, before, after = change
            # A change's two rows are of one identity.
            row = before if after is None else after
            assert row is not None
            identity = sized(key) + self._rest(row)
            if identity in settled:
                several.setdefault(identity, [settled[identity]]).append(change)
            else:
                settled[identity] = change
        for identity, parts in several.items():
            settled[identity] = (parts[0][0], *_net(parts))
        order = self._order
        ordered = [
            (key, order(before if after is None else after), identity, before, after)
            for identity, (key, before, after) in settled.items()
            if before != after
        ]
        ordered.sort(key=_place_of_moving if self._moving else _place)
        return [
            Numbered(key, self._record(key, identity, before, after, recorded_at))
            for key, _, identity, before, after in ordered
        ]

    def _record(
        self, key: bytes, identity: bytes, before: Row | None, after: Row | None, recorded_at: int
    ) -> dict[str, Any]:
        row = before if after is None else after
        assert row is not None
        record = dict(zip(self._columns, row, strict=True))
        fresh = before is None
        if self._number is not None:
            revision = self._number(key, record["valid_from"])
        elif self._pieces:
            # Of pieces the last record may be a retract though something holds there: its number is kept below zero.
            known = self.revisions.get(identity) or 0
            fresh, revision = known <= 0, abs(known) + 1
            self.revisions.put(identity, -revision if after is None else revision)
        else:
            # The first revision is not kept: something holds and no number is known, so that it was the first.
            revision = (self.revisions.get(identity) or (0 if fresh else 1)) + 1
            if revision > 1:
                self.revisions.put(identity, revision)
        for name, convert in self._conversions:
            if record[name] is not None:
                record[name] = convert(record[name])
        record["recorded_at"] = recorded_at
        record["kind"] = "retract" if after is None else "assert" if fresh else "correct"
        record["revision"] = revision
        return record


@dataclass(frozen=True)
class BranchSpec:
    """One of several outputs: what it does to the rows that all share (None: nothing), and how it is published.

    `rows` are what `step` was compiled from, as those of an `Operation`: steps over columns `given`, to those `wanted`.
    """

    step: RowStep | None
    publish: PublishSpec
    rows: tuple[Map | Filter, ...] = ()
    given: Mapping[str, FieldType] = field(default_factory=dict)
    wanted: Mapping[str, FieldType] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the rows that all outputs share."""
        return tuple(self.given)

    @property
    def picks(self) -> bool:
        """Whether it takes rows as they are."""
        return self.step is None


class Branch:
    """One output of a stage with several. Each numbers its own records: what one leaves out, another may say."""

    def __init__(self, spec: BranchSpec, overlay: Overlay) -> None:
        self._step = spec.step
        self.publish = Publish(spec.publish, overlay)

    def tick(self, changes: Sequence[Change], recorded_at: int) -> list[Numbered]:
        """The records of a tick, in the order of `Publish`."""
        own = changes if self._step is None else stepped(changes, self._step)
        return self.publish.tick(own, recorded_at)


def two_values() -> Fault:
    """Two rows of one identity at one time."""
    return Fault(
        "a record has two values at one time",
        code="HW-P044",
        detail="two rows of one identity were published without the first being taken back",
    )


def _net(parts: list[Change]) -> tuple[Row | None, Row | None]:
    """What is left of changes of one identity, in whichever order their lanes brought them."""
    went = [before for _, before, _ in parts if before is not None]
    came = [after for _, _, after in parts if after is not None]
    for row in list(went):
        if row in came:
            went.remove(row)
            came.remove(row)
    if len(went) > 1 or len(came) > 1:
        raise two_values()
    return went[0] if went else None, came[0] if came else None


def _place(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    return entry[:2]


def _place_of_moving(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    # What is taken back comes first: a retract leaves a hole in whatever was said before it of its interval.
    return entry[0], entry[4] is not None, entry[1]


def _fact_order(columns: dict[str, int]) -> Callable[[Any], Any]:
    start, end = columns["valid_from"], columns["valid_to"]
    return lambda row: (row[start], OPEN if row[end] is None else row[end])


def _event_order(columns: dict[str, int]) -> Callable[[Any], Any]:
    event_id = columns["event_id"]
    return lambda row: (row[event_id].encode(),)

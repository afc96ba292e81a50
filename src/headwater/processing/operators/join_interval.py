"""`join_within`: each pair of events of two inputs that occurred near each other, as an event of its own.

Both sides are kept under the right's key, in order of their instants. Of a tick's changes on either side the pairs that
were and the pairs that are differ only where one of the two was touched; those are looked up before and after, and what
differs leaves. An event that comes late makes its pairs then; one that is corrected or taken back alters or takes back
each pair that it is in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.errors import Fault
from headwater.processing.field_types import FieldType
from headwater.processing.operators.core import Change, Pool, Row, identity_function
from headwater.processing.packing import RowForm, ordered_integer, pack, sized, unpack
from headwater.processing.state import Overlay, Table


@dataclass(frozen=True)
class OthersSpec:
    """The right side: what makes changes of its records, and the columns and types of its rows."""

    changes: Any
    columns: tuple[str, ...]
    types: tuple[FieldType, ...]


@dataclass(frozen=True)
class IntervalSpec:
    """A join: the left's columns, types and key, its columns for the right's key, the distance, the right.

    `gives` are positions in the left row, the right row after it, and the pair's id after both.
    """

    name: str
    columns: tuple[str, ...]
    types: tuple[FieldType, ...]
    key: tuple[str, ...]
    on: tuple[str, ...]
    distance: int
    right: OthersSpec
    gives: tuple[int, ...]


@dataclass(slots=True)
class _Touched:
    """A row that a tick concerns: the key and instant that it lies at, what it was, what it is."""

    key: bytes
    instant: int
    before: Row | None
    after: Pool

    def row(self, *, now: bool) -> Row | None:
        """The row after the tick, or before it."""
        if not now:
            return self.before
        return self.after[0] if self.after else None


Pairs = dict[tuple[bytes, bytes], tuple[bytes, Row]]
"""By the places of both sides: the key that a pair lies under, and its row."""


class Side:
    """The rows of one side, by key and instant, and those that a tick touches."""

    def __init__(self, table: Table, instant: int, identity: Callable[[Row], bytes], on: tuple[int, ...]) -> None:
        self.table, self._instant, self._identity, self._on = table, instant, identity, on
        self.touched: dict[bytes, _Touched] = {}

    def take(self, changes: Sequence[Change]) -> None:
        """What a tick changes; rows without a key meet nobody, and are not kept."""
        self.touched = {}
        for key, before, after in changes:
            if before is not None and self.meets(before):
                self._at(key, before).after.remove(before)
            if after is not None and self.meets(after):
                self._at(key, after).after.append(after)

    def put(self) -> None:
        """Keep what the tick made of the rows."""
        for place, touched in self.touched.items():
            if len(touched.after) > 1 or touched.after.owed:
                raise Fault(
                    "a row to pair does not follow from the one before it",
                    code="HW-P166",
                    detail="a change took out what was never put in: the input repeats or lost records",
                )
            row = touched.row(now=True)
            if row != touched.before:
                self.table.put(place, row)

    def around(self, key: bytes, instant: int, distance: int) -> Iterator[tuple[bytes, Row]]:
        """The rows of a key at most so far from an instant, as they are kept now."""
        prefix = sized(key)
        return self.table.scan(
            prefix + ordered_integer(instant - distance), prefix + ordered_integer(instant + distance + 1)
        )

    def meets(self, row: Row) -> bool:
        """Whether a row has the other side's key."""
        return all(row[index] is not None for index in self._on)

    def place(self, key: bytes, row: Row) -> bytes:
        """Where a row of a key is kept."""
        return sized(key) + ordered_integer(row[self._instant]) + self._identity(row)

    def _at(self, key: bytes, row: Row) -> _Touched:
        place = self.place(key, row)
        touched = self.touched.get(place)
        if touched is None:
            known = self.table.get(place)
            touched = _Touched(key, row[self._instant], known, Pool([] if known is None else [known]))
            self.touched[place] = touched
        return touched


class IntervalJoin:
    """Both sides of one partition. `others` makes changes of the right's versions."""

    def __init__(self, spec: IntervalSpec, others: Any, overlay: Overlay, kept: Overlay | None = None) -> None:
        """Left rows are kept in `overlay`, those of the right in `kept`, where that is another."""
        self.others = others
        self._distance = spec.distance
        self._gives = spec.gives
        self._ids = spec.columns.index("event_id"), spec.right.columns.index("event_id")
        self.lefts = _side(overlay, f"{spec.name}.rows", spec.columns, spec.types, spec.key, spec.on)
        right = spec.right
        self.rights = _side(kept or overlay, f"{spec.name}.others", right.columns, right.types, (), ())

    def remember(self, changes: Sequence[Change], versions: Sequence[Any]) -> None:
        """Keep what `tick` would of these, without pairing them."""
        others, _ = self.others.tick(versions)
        self.keep(changes, others)

    def keep(self, changes: Sequence[Change], others: Sequence[Change]) -> None:
        """Keep what changes of both sides make of their rows, without pairing them."""
        for side, some in ((self.lefts, changes), (self.rights, others)):
            side.take(some)
            side.put()

    def tick(self, changes: Sequence[Change], versions: Sequence[Any]) -> tuple[list[Change], dict[str, int]]:
        """The pairs that a tick makes, alters or takes back, and what became of the right's versions."""
        others, counts = self.others.tick(versions)
        return self.pair(changes, others), counts

    def pair(self, changes: Sequence[Change], others: Sequence[Change]) -> list[Change]:
        """The pairs that a tick's changes of both sides make, alter or take back."""
        self.lefts.take(changes)
        self.rights.take(others)
        before = self._pairs(now=False)
        self.lefts.put()
        self.rights.put()
        after = self._pairs(now=True)
        made: list[Change] = []
        for place in {**before, **after}:
            old, new = before.get(place), after.get(place)
            if old != new:
                key = (old or new or (b"",))[0]
                made.append((key, old and old[1], new and new[1]))
        return made

    def _pairs(self, *, now: bool) -> Pairs:
        """The pairs as kept that a touched row of either side is in, as it was or as it is now."""
        pairs: Pairs = {}
        for place, left in self.lefts.touched.items():
            if (row := left.row(now=now)) is not None:
                for other_place, other in self.rights.around(left.key, left.instant, self._distance):
                    pairs[place, other_place] = left.key, self._pair(row, other)
        for place, right in self.rights.touched.items():
            if (row := right.row(now=now)) is not None:
                for left_place, other in self.lefts.around(right.key, right.instant, self._distance):
                    pairs[left_place, place] = right.key, self._pair(other, row)
        return pairs

    def _pair(self, left: Row, right: Row) -> Row:
        whole = (*left, *right, pair_id(left[self._ids[0]], right[self._ids[1]]))
        return tuple([whole[place] for place in self._gives])


def pair_id(left: str, right: str) -> str:
    """The id of a pair: no two pairs have the same, whatever stands in the ids.

    >>> pair_id("F1", "A&1")
    'F1&A~11'
    """
    return "&".join(one.replace("~", "~0").replace("&", "~1") for one in (left, right))


def _side(
    overlay: Overlay,
    name: str,
    names: tuple[str, ...],
    types: tuple[FieldType, ...],
    key: tuple[str, ...],
    on: tuple[str, ...],
) -> Side:
    columns = {name: index for index, name in enumerate(names)}
    form = RowForm(types)
    table = Table(overlay, name, lambda row: pack(form.write(row)), lambda body: form.read(unpack(body)), scanned=True)
    identity = identity_function("event", columns, key) if key else (lambda row: row[columns["event_id"]].encode())
    return Side(table, columns["occurred_at"], identity, tuple(columns[one] for one in on))

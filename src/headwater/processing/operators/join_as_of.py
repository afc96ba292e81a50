"""`join_as_of`: each left row with the right's value as of its instant, given again whenever that value changes.

Both sides are kept under the right's key: left rows in order of their instants, the right's facts as the pieces that
hold now (overriding cuts them), and the revision of each key and interval seen. A tick's right records come first. A
left row is looked up before and after them; only where the two differ does a change leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from headwater.errors import Fault
from headwater.processing.field_types import FieldType
from headwater.processing.graph import Filter, Map
from headwater.processing.operators.core import (
    OPEN,
    Change,
    Pool,
    Row,
    RowStep,
    checked_interval,
    checked_revision,
    identity_function,
    picked,
    row_of,
)
from headwater.processing.packing import RowForm, ordered_integer, pack, pack_integer, sized, unpack
from headwater.processing.state import Overlay, Table
from headwater.processing.timelines import Timelines


@dataclass(frozen=True)
class FactsSpec:
    """The right side: the `fields` read of a record, what is done to them row by row, the columns that come out.

    `rows` are what `step` was compiled from, `gives` the names of the columns.
    """

    name: str
    fields: tuple[str, ...]
    step: RowStep | None
    types: tuple[FieldType, ...]
    rows: tuple[Map | Filter, ...] = field(default=(), repr=False, compare=False)
    gives: tuple[str, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class JoinSpec:
    """A join: the left's columns, types and identity, its columns for the right's key, the right, the columns it gives.

    `gives` names columns of the left, then of the right as taken, of which the result is made: positions in both.
    """

    name: str
    shape: str
    columns: tuple[str, ...]
    types: tuple[FieldType, ...]
    key: tuple[str, ...]
    instant: str
    on: tuple[str, ...]
    right: FactsSpec
    gives: tuple[int, ...]
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)  # of the columns it gives


class FactVersion(NamedTuple):
    """A right record as it waits for its tick to close; `row` None is a hole."""

    key: bytes
    valid_from: int
    valid_to: int
    revision: int
    row: Row | None


class FactsIntake:
    """Right records to versions; raises `Misfit` for what no tick can take."""

    def __init__(self, spec: FactsSpec) -> None:
        self._pick = picked(spec.fields)
        self._step = spec.step

    def __call__(self, key: bytes, record: Mapping[str, Any]) -> FactVersion:
        """A record's version."""
        checked_interval(record)
        valid_to = record["valid_to"]
        row = row_of(record, self._pick, self._step)
        revision = checked_revision(record)
        return FactVersion(key, record["valid_from"], OPEN if valid_to is None else valid_to, revision, row)


@dataclass(slots=True)
class _Left:
    """A left row that a tick concerns: what it was, what it is, and what it was joined to before."""

    key: bytes
    before: Row | None
    after: Pool
    given: Row | None = None


class Join:
    """Both sides of one partition."""

    def __init__(self, spec: JoinSpec, overlay: Overlay, kept: Overlay | None = None) -> None:
        """Left rows are kept in `overlay`, what is known of the right in `kept`, where that is another."""
        kept = overlay if kept is None else kept
        columns = {name: index for index, name in enumerate(spec.columns)}
        self.instant = columns[spec.instant]
        self._on = tuple(columns[name] for name in spec.on)
        self._identity = identity_function(spec.shape, columns, spec.key)
        self._nothing: Row = (None,) * len(spec.right.types)
        self._pick = itemgetter(*spec.gives) if len(spec.gives) > 1 else None
        self._only = spec.gives[0]
        left, right = RowForm(spec.types), RowForm(spec.right.types)
        self.rows = Table(
            overlay,
            f"{spec.name}.rows",
            lambda row: pack(left.write(row)),
            lambda body: left.read(unpack(body)),
            scanned=True,
        )
        self.facts = Timelines(
            Table(
                kept,
                f"{spec.name}.facts",
                lambda piece: pack([piece[0], right.write(piece[1])]),
                lambda body: ((value := unpack(body))[0], right.read(value[1])),
                scanned=True,
            )
        )
        self._revisions = Table(kept, f"{spec.name}.revisions", pack_integer, int)

    def place(self, key: bytes, row: Row) -> bytes:
        """Where a left row lies under its key."""
        return sized(key) + ordered_integer(row[self.instant]) + self._identity(row)

    def tick(self, changes: Sequence[Change], versions: Sequence[FactVersion]) -> tuple[list[Change], dict[str, int]]:
        """Join a tick's changes with a tick's facts; the changes of the results, and what became of the facts."""
        facts, counts = self._news(versions)
        lefts = self._lefts(changes)
        if facts:
            self.facts.load({fact.key for fact in facts})
        for key, place, row in self._concerned(facts):
            if place not in lefts:
                lefts[place] = _Left(key, row, Pool([row]))
        for left in lefts.values():
            if left.before is not None:
                left.given = self._joined(left.key, left.before)
        for fact in facts:
            self.facts.override(fact.key, fact.valid_from, fact.valid_to, fact.row)
        return [change for place, left in lefts.items() if (change := self._settle(place, left)) is not None], counts

    def remember(self, changes: Sequence[Change], versions: Sequence[FactVersion]) -> None:
        """Keep what `tick` would of these, without joining them."""
        lefts = self._lefts(changes)
        for place, left in lefts.items():
            self._keep(place, left)
        for fact in self._news(versions)[0]:
            self.facts.override(fact.key, fact.valid_from, fact.valid_to, fact.row)

    def _lefts(self, changes: Sequence[Change]) -> dict[bytes, _Left]:
        """The left rows that these changes touch, by place."""
        lefts: dict[bytes, _Left] = {}
        for key, before, after in changes:
            if before is not None:
                self._left(lefts, key, before).after.remove(before)
            if after is not None:
                self._left(lefts, key, after).after.append(after)
        return lefts

    def _left(self, lefts: dict[bytes, _Left], key: bytes, row: Row) -> _Left:
        place = self.place(key, row)
        left = lefts.get(place)
        if left is None:
            known = self.rows.get(place)
            left = lefts[place] = _Left(key, known, Pool([] if known is None else [known]))
        return left

    def _settle(self, place: bytes, left: _Left) -> Change | None:
        row = self._keep(place, left)
        given = None if row is None else self._joined(left.key, row)
        return (left.key, left.given, given) if given != left.given else None

    def _keep(self, place: bytes, left: _Left) -> Row | None:
        """What a left row is now, kept."""
        if len(left.after) > 1 or left.after.owed:
            raise Fault(
                "a joined row does not follow from the one before it",
                code="HW-P042",
                detail="a change took out what was never put in: the input repeats or lost records",
            )
        row = left.after[0] if left.after else None
        if row != left.before:
            self.rows.put(place, row)
        return row

    def _joined(self, key: bytes, row: Row) -> Row:
        taken = self._nothing
        if all(row[index] is not None for index in self._on):
            taken = self.facts.at(key, row[self.instant]) or self._nothing
        both = row + taken
        return (both[self._only],) if self._pick is None else self._pick(both)

    def _concerned(self, facts: Sequence[FactVersion]) -> Iterator[tuple[bytes, bytes, Row]]:
        """The left rows of which some of these facts speak: their keys, places and what they are."""
        spans: list[tuple[bytes, bytes, bytes]] = []
        for fact in sorted(facts, key=_span):
            prefix = sized(fact.key)
            start, end = prefix + ordered_integer(fact.valid_from), prefix + ordered_integer(fact.valid_to)
            if spans and start < spans[-1][1]:
                spans[-1] = spans[-1][0], max(end, spans[-1][1]), fact.key
            else:
                spans.append((start, end, fact.key))
        for number, place, row in self.rows.scan_many([span[:2] for span in spans]):
            yield spans[number][2], place, row

    def _news(self, versions: Sequence[FactVersion]) -> tuple[list[FactVersion], dict[str, int]]:
        """The facts that say something new, in order, and the count of the others."""
        news, counts = [], {"folded": 0, "repeats": 0, "superseded": 0}
        places = [
            sized(version.key) + ordered_integer(version.valid_from) + ordered_integer(version.valid_to)
            for version in versions
        ]
        self._revisions.get_many(places)  # in one step; each is then at hand
        for version, place in zip(versions, places, strict=True):
            known = self._revisions.get(place)
            if known is None or version.revision > known:
                self._revisions.put(place, version.revision)
                news.append(version)
                counts["folded"] += 1
            else:
                counts["repeats" if version.revision == known else "superseded"] += 1
        return news, counts


def _span(fact: FactVersion) -> tuple[bytes, int]:
    return sized(fact.key), fact.valid_from

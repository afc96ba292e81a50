"""`latest`: events as the state of their key. What an event says holds from its instant to the next event of the key.

All events of a key are kept in order of (`occurred_at`, `event_id`); of one instant the last speaks. A change says what
holds over a piece between two neighbouring instants, those that were and those that are: only pieces that begin where
an event came, went or changed can differ, so an event that is late, corrected or retracted is one piece, up to the
next event, however many others there are. On the topic a piece overrides what was said of its interval before.

The newest event of each key lies by itself, under the key alone: what comes after it, as most events do, needs nothing
else. All others lie in their order. `column_latest` does the same over columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from headwater.errors import Fault
from headwater.processing.field_types import FieldType
from headwater.processing.operators.core import OPEN, Change, Pool, Row, key_function
from headwater.processing.packing import RowForm, after, ordered_integer, pack, sized, unpack
from headwater.processing.state import Overlay, Table


@dataclass(frozen=True)
class LatestSpec:
    """The events' columns and types, and the columns given: positions in the row, then `valid_from` and `valid_to`.

    `key` are the columns of the events' own key: two events of one id and instant are told apart by it.
    """

    name: str
    columns: tuple[str, ...]
    types: tuple[FieldType, ...]
    key: tuple[str, ...]
    gives: tuple[int, ...]


_Places = dict[bytes, tuple[bytes, Pool]]


class _Held(NamedTuple):
    """What held at an instant (None: nothing), and the next instant with an event."""

    row: Row | None
    until: int


class Latest:
    """The events of one partition, by key and in order."""

    def __init__(self, spec: LatestSpec, overlay: Overlay) -> None:
        columns = {name: index for index, name in enumerate(spec.columns)}
        self._instant, self._event_id = columns["occurred_at"], columns["event_id"]
        self._key = key_function([columns[name] for name in spec.key])
        self._gives = spec.gives
        self._form = RowForm(spec.types)
        read, read_many = self._read, self._form.read_many
        self.newest = Table(overlay, f"{spec.name}.newest", self.packed, read, unpack_many=read_many)
        self.older = Table(overlay, spec.name, self.packed, read, scanned=True)

    def tick(self, changes: Sequence[Change]) -> list[Change]:
        """The pieces whose value a tick's changes alter, in the order of first touch."""
        places = self._places(changes)
        touched = {(key, row[self._instant]): None for key, *rows in changes for row in rows if row is not None}
        known = [self._held(key, instant) for key, instant in touched]
        self._keep(places)
        made = []
        for (key, instant), old in zip(touched, known, strict=True):
            new = self._held(key, instant)
            until = min(old.until, new.until)
            was, given = self._given(old.row, instant, until), self._given(new.row, instant, until)
            if was != given:
                made.append((key, was, given))
        return made

    def remember(self, changes: Sequence[Change], versions: Sequence[Any]) -> None:
        """Keep what `tick` would of these, without saying what holds."""
        self._keep(self._places(changes))

    def _places(self, changes: Sequence[Change]) -> _Places:
        """The places that changes concern, with the rows that lie there then."""
        places: _Places = {}
        self.newest.get_many(list({key: None for key, _, _ in changes}))  # all in one step
        for key, before, now in changes:
            for row, put in ((before, Pool.remove), (now, Pool.append)):
                if row is not None:
                    put(self._pool(places, key, row), row)
        return places

    def _keep(self, places: _Places) -> None:
        """In the order of places, so that what is written and deleted follows from what the tick says alone."""
        for place, (key, pool) in sorted(places.items()):
            self._settle(key, place, pool)

    def place(self, key: bytes, row: Row) -> bytes:
        """Where an event of a key stands among all."""
        return _prefix(key, row[self._instant]) + ordered_text(row[self._event_id].encode()) + self._key(row)

    def packed(self, row: Row) -> bytes:
        """An event as it is kept."""
        return pack(self._form.write(row))

    def _read(self, body: bytes) -> Row | None:
        return self._form.read(unpack(body))

    def _pool(self, places: _Places, key: bytes, row: Row) -> Pool:
        place = self.place(key, row)
        entry = places.get(place)
        if entry is None:
            known = self._known(key, place)
            entry = places[place] = key, Pool([] if known is None else [known])
        return entry[1]

    def _known(self, key: bytes, place: bytes) -> Row | None:
        newest: Row | None = self.newest.get(key)
        if newest is None:
            return None
        last = self.place(key, newest)
        if place == last:
            return newest
        older: Row | None = self.older.get(place) if place < last else None
        return older

    def _settle(self, key: bytes, place: bytes, pool: Pool) -> None:
        if len(pool) > 1 or pool.owed:
            raise Fault(
                "an event of a key does not follow from the one before it",
                code="HW-P113",
                detail="a change took out what was never put in: the input repeats or lost records",
            )
        row = pool[0] if pool else None
        if row == self._known(key, place):
            return
        newest = self.newest.get(key)
        last = b"" if newest is None else self.place(key, newest)
        if row is None and place == last:
            self._fall_back(key)
        elif place < last:
            self.older.put(place, row)
        else:
            if b"" < last < place:
                self.older.put(last, newest)
            self.newest.put(key, row)

    def _fall_back(self, key: bytes) -> None:
        """The newest event of a key goes: the one before it is the newest now."""
        start = sized(key)
        before = next(self.older.scan(start, after(start), reverse=True), None)
        if before is not None:
            self.older.put(before[0], None)
        self.newest.put(key, None if before is None else before[1])

    def _held(self, key: bytes, instant: int) -> _Held:
        newest = self.newest.get(key)
        if newest is None:
            return _Held(None, OPEN)
        if newest[self._instant] <= instant:
            return _Held(newest, OPEN)
        start, split = sized(key), _prefix(key, instant + 1)
        row = next((row for _, row in self.older.scan(start, split, reverse=True)), None)
        following = next((row for _, row in self.older.scan(split, after(start))), newest)
        return _Held(row, following[self._instant])

    def _given(self, row: Row | None, start: int, until: int) -> Row | None:
        if row is None:
            return None
        whole = (*row, start, None if until == OPEN else until)
        return tuple([whole[place] for place in self._gives])


def _prefix(key: bytes, instant: int) -> bytes:
    return sized(key) + ordered_integer(instant)


def ordered_text(text: bytes) -> bytes:
    """Text with an end that nothing in it can be taken for, in the order of its bytes.

    >>> ordered_text(b"a") < ordered_text(b"a\\x00") < ordered_text(b"ab")
    True
    """
    return text.replace(b"\0", b"\0\xff") + b"\0\0"

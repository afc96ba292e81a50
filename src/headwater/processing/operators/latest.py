"""`latest`: events as the state of their key. What an event says holds from its instant to the next event of the key.

All events of a key are kept in order of (`occurred_at`, `event_id`); of one instant the last speaks. A change says what
holds over a piece between two neighbouring instants, those that were and those that are: only pieces that begin where
an event came, went or changed can differ, so an event that is late, corrected or retracted is one piece, up to the
next event, however many others there are. On the topic a piece overrides what was said of its interval before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
        form = RowForm(spec.types)
        self._events = Table(
            overlay, spec.name, lambda row: pack(form.write(row)), lambda body: form.read(unpack(body)), scanned=True
        )

    def tick(self, changes: Sequence[Change]) -> list[Change]:
        """The pieces whose value a tick's changes alter, in the order of first touch."""
        places: dict[bytes, Pool] = {}
        touched: dict[tuple[bytes, int], None] = {}
        for key, before, now in changes:
            for row, put in ((before, Pool.remove), (now, Pool.append)):
                if row is not None:
                    put(self._pool(places, key, row), row)
                    touched[key, row[self._instant]] = None
        known = [self._held(key, instant) for key, instant in touched]
        for place, pool in places.items():
            self._settle(place, pool)
        made = []
        for (key, instant), old in zip(touched, known, strict=True):
            new = self._held(key, instant)
            until = min(old.until, new.until)
            was, given = self._given(old.row, instant, until), self._given(new.row, instant, until)
            if was != given:
                made.append((key, was, given))
        return made

    def _pool(self, places: dict[bytes, Pool], key: bytes, row: Row) -> Pool:
        place = _prefix(key, row[self._instant]) + _ordered_text(row[self._event_id]) + self._key(row)
        pool = places.get(place)
        if pool is None:
            known = self._events.get(place)
            pool = places[place] = Pool([] if known is None else [known])
        return pool

    def _settle(self, place: bytes, pool: Pool) -> None:
        if len(pool) > 1 or pool.owed:
            raise Fault(
                "an event of a key does not follow from the one before it",
                code="HW-P113",
                detail="a change took out what was never put in: the input repeats or lost records",
            )
        row = pool[0] if pool else None
        if row != self._events.get(place):
            self._events.put(place, row)

    def _held(self, key: bytes, instant: int) -> _Held:
        start, split = sized(key), _prefix(key, instant + 1)
        row = next((row for _, row in self._events.scan(start, split, reverse=True)), None)
        following = next((row for _, row in self._events.scan(split, after(start))), None)
        return _Held(row, OPEN if following is None else following[self._instant])

    def _given(self, row: Row | None, start: int, until: int) -> Row | None:
        if row is None:
            return None
        whole = (*row, start, None if until == OPEN else until)
        return tuple([whole[place] for place in self._gives])


def _prefix(key: bytes, instant: int) -> bytes:
    return sized(key) + ordered_integer(instant)


def _ordered_text(text: str) -> bytes:
    """Text with an end that nothing in it can be taken for, in the order of its bytes."""
    return text.encode().replace(b"\0", b"\0\xff") + b"\0\0"

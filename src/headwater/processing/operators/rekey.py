"""`rekey`: a new key through an internal topic. Before goes to the old key's owner, after to the new key's.

A message holds its lane (the writing task), its tick and its number in the tick, and the rows; it carries no revision.
Many changes may lie in one (`column_rekey`). A mark says up to which recorded time a lane is complete: no value,
the lane as key, the time in a header.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headwater.errors import Fault
from headwater.ports.keys import partition_of
from headwater.ports.record import Header
from headwater.processing.field_types import FieldType
from headwater.processing.operators.core import Change, Row, key_function
from headwater.processing.packing import RowForm, pack, unpack

MARK_HEADER = "headwater.mark"
MANY_ROWS = b"\x01"  # how a message of many rows that come begins, as no JSON does
MANY_CHANGES = b"\x02"  # and one of rows of which some go
MANY = (MANY_ROWS, MANY_CHANGES)


@dataclass(frozen=True)
class RekeySpec:
    """A hand-over: columns and types of its rows, the columns of the new key, the partitions of the topic."""

    columns: tuple[str, ...]
    types: tuple[FieldType, ...]
    key: tuple[str, ...]
    partitions: int


class Moved(NamedTuple):
    """A change on its way to its new key, or many on theirs; `rows` are so many."""

    partition: int
    key: bytes
    value: bytes
    rows: int = 1


class Arrived(NamedTuple):
    """A message of a rekey topic, read: a change, or a mark (`through`, without rows)."""

    lane: int
    tick: int
    number: int
    before: Row | None
    after: Row | None
    through: int | None


class Rekey:
    """Changes of one task to messages."""

    def __init__(self, spec: RekeySpec, lane: int) -> None:
        columns = {name: index for index, name in enumerate(spec.columns)}
        self._lane = lane
        self._partitions = spec.partitions
        self._form = RowForm(spec.types)
        self._key = key_function([columns[name] for name in spec.key])

    def tick(self, changes: Iterable[Change], tick: int, first: int = 0) -> list[Moved]:
        """The messages of a tick, numbered on from `first`."""
        messages: list[Moved] = []
        for _, before, after in changes:
            old = None if before is None else self._key(before)
            new = None if after is None else self._key(after)
            if old == new:
                assert new is not None
                self._move(messages, new, (tick, first), (before, after))
                continue
            if old is not None:
                self._move(messages, old, (tick, first), (before, None))
            if new is not None:
                self._move(messages, new, (tick, first), (None, after))
        return messages

    def marks(self) -> list[Moved]:
        """The mark of this lane for every partition; its header comes from `mark_header`."""
        return [Moved(partition, str(self._lane).encode(), b"") for partition in range(self._partitions)]

    def _move(
        self, messages: list[Moved], key: bytes, place: tuple[int, int], rows: tuple[Row | None, Row | None]
    ) -> None:
        form, (tick, first) = self._form, place
        value = pack([self._lane, tick, first + len(messages), form.write(rows[0]), form.write(rows[1])])
        messages.append(Moved(partition_of(key, self._partitions), key, value))


def mark_header(through: int) -> tuple[Header, ...]:
    """The header of a mark."""
    return ((MARK_HEADER, str(through).encode()),)


def read(spec_form: RowForm, key: bytes, value: bytes | None, headers: Sequence[Header]) -> Arrived:
    """A message of a rekey topic.

    >>> arrived = read(RowForm([]), b"3", None, mark_header(999))
    >>> arrived.lane, arrived.through
    (3, 999)
    """
    if value is None:
        through = next((content for name, content in headers if name == MARK_HEADER), None)
        if through is None:
            raise Fault("a message of a rekey topic has neither rows nor a mark", code="HW-P043")
        return Arrived(int(key), 0, 0, None, None, int(through))
    lane, tick, number, before, after = unpack(value)
    return Arrived(lane, tick, number, spec_form.read(before), spec_form.read(after), None)

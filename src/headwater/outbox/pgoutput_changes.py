"""Bytes of `pgoutput` to changes of any table: inserts, updates, deletes with what the log has of the old row; pure.

Beside `pgoutput.py`, which reads the inserts of an outbox and is made for speed. A cell is text, null, or not sent: an
update leaves out a large value that it did not touch. Where the log has the old row whole, it is taken from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from headwater.outbox.pg_values import FromText, converter
from headwater.outbox.pgoutput import BODY

UPDATE, DELETE, TRUNCATE = b"U"[0], b"D"[0], b"T"[0]
_KEY_PART, _OLD, _NEW = b"K"[0], b"O"[0], b"N"[0]
_NULL, _UNSENT = b"n"[0], b"u"[0]


class Unsent:
    """The mark of a value that the log does not have. There is one, `UNSENT`."""

    def __repr__(self) -> str:
        return "UNSENT"


UNSENT: Final = Unsent()
Cell = bytes | Unsent | None
Cells = tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table as the changes that follow have it. `identity` are the columns that an old row always has."""

    id: int
    schema: str
    name: str
    columns: tuple[str, ...]
    types: tuple[int, ...]
    identity: frozenset[str]

    @cached_property
    def converters(self) -> tuple[FromText, ...]:
        """From text to Python's value, by column."""
        return tuple(converter(type_) for type_ in self.types)

    def values(self, cells: Cells) -> dict[str, Any]:
        """A row's cells as Python's values; what was not sent is left out."""
        return {
            name: None if cell is None else read(cell)
            for name, cell, read in zip(self.columns, cells, self.converters, strict=True)
            if not isinstance(cell, Unsent)
        }

    def texts(self, cells: Cells | None) -> Mapping[str, str | None] | None:
        """A row's cells as PostgreSQL printed them, for people and for quarantine."""
        if cells is None:
            return None
        pairs = zip(self.columns, cells, strict=True)
        return {
            name: None if cell is None else cell.decode("utf-8", "replace")
            for name, cell in pairs
            if not isinstance(cell, Unsent)
        }


@dataclass(frozen=True, slots=True)
class RowChange:
    """One change of a table in the log. `old` and `new` have a cell for each column; an old row that is only the
    identity's columns has the others not sent."""

    table: Table
    op: Literal["insert", "update", "delete", "snapshot"]
    old: Cells | None
    new: Cells | None

    @property
    def missing(self) -> list[str]:
        """The columns of the new row that the log has nowhere."""
        if self.new is None:
            return []
        return [name for name, cell in zip(self.table.columns, self.new, strict=True) if isinstance(cell, Unsent)]


def table(message: bytes) -> Table:
    """Read an `R`, with flags and types."""
    position = BODY + 5
    identifier = int.from_bytes(message[BODY + 1 : position], "big")
    schema, position = _text(message, position)
    name, position = _text(message, position)
    count = int.from_bytes(message[position + 1 : position + 3], "big")
    position += 3
    columns, types, identity = [], [], []
    for _ in range(count):
        column, after = _text(message, position + 1)
        if message[position] & 1:
            identity.append(column)
        columns.append(column)
        types.append(int.from_bytes(message[after : after + 4], "big"))
        position = after + 8
    return Table(identifier, schema, name, tuple(columns), tuple(types), frozenset(identity))


def change(message: bytes, of: Table) -> RowChange:
    """Read an `I`, `U` or `D` of a table."""
    tag, position = message[BODY], BODY + 5
    old: Cells | None = None
    if message[position] in (_KEY_PART, _OLD):
        part = message[position] == _KEY_PART
        old, position = _cells(message, position + 1)
        if part:  # columns outside the identity come as nulls
            old = tuple(cell if name in of.identity else UNSENT for name, cell in zip(of.columns, old, strict=True))
    if tag == DELETE:
        return RowChange(of, "delete", old, None)
    assert message[position] == _NEW
    new, _ = _cells(message, position + 1)
    if tag == UPDATE and old is not None and UNSENT in new:
        new = tuple(before if isinstance(cell, Unsent) else cell for cell, before in zip(new, old, strict=True))
    return RowChange(of, "update" if tag == UPDATE else "insert", old, new)


def relation_id(message: bytes) -> int:
    """The table of an `I`, `U` or `D`."""
    return int.from_bytes(message[BODY + 1 : BODY + 5], "big")


def truncated(message: bytes) -> Sequence[int]:
    """The tables of a `T`."""
    count = int.from_bytes(message[BODY + 1 : BODY + 5], "big")
    start = BODY + 6
    return [int.from_bytes(message[start + 4 * at : start + 4 * at + 4], "big") for at in range(count)]


def _cells(message: bytes, position: int) -> tuple[Cells, int]:
    count = int.from_bytes(message[position : position + 2], "big")
    position += 2
    cells: list[Cell] = []
    for _ in range(count):
        kind = message[position]
        position += 1
        if kind == _NULL:
            cells.append(None)
        elif kind == _UNSENT:
            cells.append(UNSENT)
        else:
            start = position + 4
            position = start + int.from_bytes(message[position:start], "big")
            cells.append(message[start:position])
    return tuple(cells), position


def _text(message: bytes, start: int) -> tuple[str, int]:
    end = message.index(0, start)
    return message[start:end].decode(), end + 1

"""The other side of `pgoutput`: changes to the bytes that a server sends; for the store in memory and for tests."""

from __future__ import annotations

from collections.abc import Container, Sequence
from struct import Struct

from headwater.outbox.pgoutput import Begin, Commit, Keepalive, LogicalMessage, Relation
from headwater.outbox.pgoutput_changes import Cells

_EPOCH_2000 = 946_684_800_000_000
_HEAD = Struct(">cqqq")
_FEEDBACK = Struct(">cqqqq?")


def data(body: bytes, *, lsn: int, sent_at: int) -> bytes:
    """A `w` around a message of the plug-in."""
    return _HEAD.pack(b"w", lsn, lsn, sent_at - _EPOCH_2000) + body


def begin(begin: Begin, *, transaction: int = 1) -> bytes:
    """A `B`."""
    return b"B" + Struct(">qqi").pack(begin.commit_lsn, begin.committed_at - _EPOCH_2000, transaction)


def commit(commit: Commit, *, committed_at: int = _EPOCH_2000) -> bytes:
    """A `C`."""
    return b"C" + Struct(">bqqq").pack(0, commit.commit_lsn, commit.end_lsn, committed_at - _EPOCH_2000)


def relation(relation: Relation) -> bytes:
    """An `R`: all columns of type text."""
    columns = b"".join(
        Struct(">b").pack(0) + name.encode() + b"\0" + Struct(">ii").pack(25, -1) for name in relation.columns
    )
    names = relation.schema.encode() + b"\0" + relation.table.encode() + b"\0"
    return b"R" + Struct(">i").pack(relation.id) + names + b"n" + Struct(">h").pack(len(relation.columns)) + columns


def insert(relation_id: int, values: Sequence[bytes | None]) -> bytes:
    """An `I` of text values."""
    cells = b"".join(b"n" if value is None else b"t" + Struct(">i").pack(len(value)) + value for value in values)
    return b"I" + Struct(">i").pack(relation_id) + b"N" + Struct(">h").pack(len(values)) + cells


def logical_message(message: LogicalMessage) -> bytes:
    """An `M`."""
    head = Struct(">bq").pack(int(message.transactional), message.lsn) + message.prefix.encode() + b"\0"
    return b"M" + head + Struct(">i").pack(len(message.content)) + message.content


def keepalive(keepalive: Keepalive) -> bytes:
    """A `k`."""
    return Struct(">cqq?").pack(b"k", keepalive.end_lsn, keepalive.sent_at - _EPOCH_2000, keepalive.reply)


def acknowledged(feedback: bytes) -> tuple[int, bool]:
    """What a client's feedback says: all before which position, and whether it asks for a keepalive."""
    _tag, _written, flushed, _applied, _now, reply = _FEEDBACK.unpack(feedback)
    return flushed, reply


def typed_relation(
    identifier: int, schema: str, table: str, columns: Sequence[tuple[str, int]], identity: Container[str]
) -> bytes:
    """An `R` with the columns' types, and flags for those of the replica identity."""
    cells = b"".join(
        Struct(">b").pack(name in identity) + name.encode() + b"\0" + Struct(">ii").pack(type_, -1)
        for name, type_ in columns
    )
    names = schema.encode() + b"\0" + table.encode() + b"\0"
    return b"R" + Struct(">i").pack(identifier) + names + b"n" + Struct(">h").pack(len(columns)) + cells


def update(relation_id: int, new: Cells, *, old: Cells | None = None, whole: bool = True) -> bytes:
    """A `U`, with the old row whole, or the old key, or nothing of it."""
    before = b"" if old is None else (b"O" if whole else b"K") + _tuple(old)
    return b"U" + Struct(">i").pack(relation_id) + before + b"N" + _tuple(new)


def delete(relation_id: int, old: Cells, *, whole: bool = True) -> bytes:
    """A `D`, with the old row whole or its key."""
    return b"D" + Struct(">i").pack(relation_id) + (b"O" if whole else b"K") + _tuple(old)


def truncate(relation_ids: Sequence[int]) -> bytes:
    """A `T`."""
    packed = b"".join(Struct(">i").pack(identifier) for identifier in relation_ids)
    return b"T" + Struct(">ib").pack(len(relation_ids), 0) + packed


def _tuple(cells: Cells) -> bytes:
    parts = [Struct(">h").pack(len(cells))]
    for cell in cells:
        if isinstance(cell, bytes):
            parts.append(b"t" + Struct(">i").pack(len(cell)) + cell)
        else:
            parts.append(b"n" if cell is None else b"u")
    return b"".join(parts)

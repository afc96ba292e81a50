"""The other side of `pgoutput`: changes to the bytes that a server sends; for the store in memory and for tests."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from headwater.outbox.pgoutput import Begin, Commit, Keepalive, LogicalMessage, Relation

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

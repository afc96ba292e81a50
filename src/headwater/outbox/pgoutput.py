"""Bytes of PostgreSQL's replication stream to changes, and back; pure.

The stream is a row of CopyData messages. `w` carries one message of the plug-in `pgoutput` (protocol version 1, which
sends each transaction whole, in commit order), `k` is a keepalive. Integers are big-endian; instants count microseconds
from 2000-01-01. An outbox needs begin, commit, relation, insert and logical message; what else may come is passed over.

Inserts are the hot path: `row_reader` makes one function per relation that reads only the columns asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from struct import Struct

from headwater.errors import Fault
from headwater.timeline.instant import Instant

# The second character of a message's meaning stands behind this many bytes: `w`, start, end and time of sending.
BODY = 25
DATA, KEEPALIVE, FEEDBACK = b"w"[0], b"k"[0], b"r"[0]
BEGIN, COMMIT, RELATION, INSERT, MESSAGE = b"B"[0], b"C"[0], b"R"[0], b"I"[0], b"M"[0]
_EPOCH_2000 = 946_684_800_000_000
_DATA_HEAD = Struct(">cqqq")
_KEEPALIVE = Struct(">cqq?")
_FEEDBACK = Struct(">cqqqq?")
_BEGIN = Struct(">qqi")
_COMMIT = Struct(">bqqq")
_MESSAGE = Struct(">bq")
_LENGTH = Struct(">i")

Row = tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """A committed transaction starts: where its commit record stands, and its commit time."""

    commit_lsn: int
    committed_at: Instant


@dataclass(frozen=True, slots=True)
class Commit:
    """The transaction is whole; `end_lsn` is what may be acknowledged once it is published."""

    commit_lsn: int
    end_lsn: int


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, as the inserts that follow have it: their first column is the first name here."""

    id: int
    schema: str
    table: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogicalMessage:
    """What `pg_logical_emit_message` wrote: part of its transaction, or there whatever becomes of that."""

    prefix: str
    content: bytes
    lsn: int = 0
    transactional: bool = True


@dataclass(frozen=True, slots=True)
class Keepalive:
    """All before `end_lsn` was sent; `sent_at` is the server's clock; `reply` asks for feedback at once."""

    end_lsn: int
    sent_at: Instant
    reply: bool


def begin(message: bytes) -> Begin:
    """Read a `B`."""
    commit_lsn, committed_at, _transaction = _BEGIN.unpack_from(message, BODY + 1)
    return Begin(commit_lsn, Instant(committed_at + _EPOCH_2000))


def commit(message: bytes) -> Commit:
    """Read a `C`."""
    _flags, commit_lsn, end_lsn, _committed_at = _COMMIT.unpack_from(message, BODY + 1)
    return Commit(commit_lsn, end_lsn)


def logical_message(message: bytes) -> LogicalMessage:
    """Read an `M`."""
    flags, lsn = _MESSAGE.unpack_from(message, BODY + 1)
    prefix, position = _text(message, BODY + 10)
    (length,) = _LENGTH.unpack_from(message, position)
    content = message[position + 4 : position + 4 + length]
    return LogicalMessage(prefix, content, lsn, transactional=bool(flags & 1))


def keepalive(message: bytes) -> Keepalive:
    """Read a `k`."""
    _tag, end_lsn, sent_at, reply = _KEEPALIVE.unpack(message)
    return Keepalive(end_lsn, Instant(sent_at + _EPOCH_2000), reply)


def sent_at(message: bytes) -> Instant:
    """The server's clock when it sent a `w`."""
    return Instant(_DATA_HEAD.unpack_from(message)[3] + _EPOCH_2000)


def relation(message: bytes) -> Relation:
    """Read an `R`."""
    (identifier,) = _LENGTH.unpack_from(message, BODY + 1)
    schema, position = _text(message, BODY + 5)
    table, position = _text(message, position)
    count = int.from_bytes(message[position + 1 : position + 3], "big")
    position += 3
    columns = []
    for _ in range(count):
        name, position = _text(message, position + 1)
        columns.append(name)
        position += 8
    return Relation(identifier, schema, table, tuple(columns))


def row_reader(relation: Relation, wanted: Sequence[str], optional: Container[str] = ()) -> Callable[[bytes], Row]:
    """A function that reads an `I` of this relation: the values of the columns wanted, as text, None where null.

    An optional column that the table lacks is null in every row. Raises `Fault` HW-O001 where it lacks another one.
    """
    missing = [name for name in wanted if name not in relation.columns]
    if lacking := [name for name in missing if name not in optional]:
        raise Fault(
            f"the table {relation.schema}.{relation.table} lacks {', '.join(lacking)}",
            code="HW-O001",
            detail="the outbox table is not as `headwater apply` makes it",
            hint="add the columns as docs/concepts/outbox.md has them",
        )
    places = [-1 if name in missing else relation.columns.index(name) for name in wanted]
    count = max(places) + 1
    in_order = places == list(range(count))
    if missing:
        places = [count if place < 0 else place for place in places]
    length = _LENGTH.unpack_from

    def read(message: bytes) -> Row:
        position = BODY + 8
        values: list[bytes | None] = []
        for _ in range(count):
            if message[position] == 116:  # `t`: text of the length that follows; else null, or not sent
                start = position + 5
                position = start + length(message, position + 1)[0]
                values.append(message[start:position])
            else:
                values.append(None)
                position += 1
        if in_order:
            return tuple(values)
        values.append(None)  # where the columns that are not there are looked up
        return tuple([values[place] for place in places])

    return read


def feedback(lsn: int, now: Instant, *, reply: bool = False) -> bytes:
    """The message that acknowledges all before `lsn`; `reply` asks the server for a keepalive."""
    return _FEEDBACK.pack(b"r", lsn, lsn, lsn, now - _EPOCH_2000, reply)


def lsn_text(lsn: int) -> str:
    """A log position as PostgreSQL writes it.

    >>> lsn_text(0x1_6B37_4000), lsn_from_text("1/6B374000") == 0x1_6B37_4000
    ('1/6B374000', True)
    """
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_from_text(text: str) -> int:
    """A log position from PostgreSQL's text."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def _text(message: bytes, start: int) -> tuple[str, int]:
    end = message.index(0, start)
    return message[start:end].decode(), end + 1

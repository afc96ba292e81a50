"""How an index lies in its store, for each partition of a topic: an ordered map of bytes.

| key | value |
| --- | --- |
| `h`, the record's key, its offset | the record's value as the topic has it: the versions of a key lie together |
| `n`, the first offset of a batch | up to when what lies before it was recorded, and the batch's keys: for retention |
| `u`, an offset | nothing: a value there could not be decoded |
| `p` | how far the index is, and in which topic |

All of a batch, its position too, is written as one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

Change = tuple[bytes, bytes | None]

RECORDS, RECORDS_END = b"h", b"i"
BATCHES, BATCHES_END = b"n", b"o"
UNREADABLE, UNREADABLE_END = b"u", b"v"
PLACE = b"p"
OFFSET = struct.Struct(">Q")
_BEFORE = struct.Struct(">q")
_LENGTH = struct.Struct(">I")


class Store(Protocol):
    """What an index is kept in, one for each partition. Written by one thread, read by many."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Entries with `start <= key < end` in order of their bytes, from the last backwards if `reverse`; lazily."""

    def apply(self, changes: Iterable[Change]) -> None:
        """Write all of these, as one."""

    def wipe(self) -> None:
        """Forget everything."""


class Stores(Protocol):
    """Where stores come from: one database for all products, so that its memory does not grow with their number."""

    def task(self, number: int, /) -> Store:
        """The store of this number."""

    def close(self) -> None:
        """Let go of all."""


class Reached(NamedTuple):
    """How far an index is: the next offset to read, when the newest record was recorded, and in which topic."""

    topic_identity: str
    offset: int
    newest: int


class Batch(NamedTuple):
    """Records that came together: the first offset, up to when what lies before was recorded, and where they lie."""

    first: int
    before: int
    keys: Sequence[bytes]


def stem_of(key: bytes | None) -> bytes:
    """What the rows of a key begin with; no stem is the beginning of another.

    >>> stem_of(b"a") < stem_of(b"a\\0") < stem_of(b"ab")
    True
    """
    return b"h\0" if key is None else b"h\1" + key.replace(b"\0", b"\0\xff") + b"\0\1"


def end_of(stem: bytes) -> bytes:
    """What lies behind all rows of a key."""
    return stem + b"\xff" * 9


def pack_batch(batch: Batch) -> Change:
    """The row of a batch."""
    keys = b"".join(_LENGTH.pack(len(key)) + key for key in batch.keys)
    return BATCHES + OFFSET.pack(batch.first), _BEFORE.pack(batch.before) + keys


def unpack_batch(key: bytes, value: bytes) -> Batch:
    """The batch of a row.

    >>> unpack_batch(*pack_batch(Batch(7, -1, [b"ab", b""])))
    Batch(first=7, before=-1, keys=[b'ab', b''])
    """
    keys, place = [], _BEFORE.size
    while place < len(value):
        (length,) = _LENGTH.unpack_from(value, place)
        place += _LENGTH.size + length
        keys.append(value[place - length : place])
    return Batch(OFFSET.unpack(key[1:])[0], before_of(value), keys)


def before_of(value: bytes) -> int:
    """Up to when what lies before a batch was recorded, out of its row."""
    before: int = _BEFORE.unpack_from(value)[0]
    return before


def pack_place(reached: Reached) -> Change:
    """The row that says how far the index is."""
    return PLACE, json.dumps(reached).encode()


def read_place(store: Store) -> Reached | None:
    """How far the index is; None where it is empty."""
    value = store.get(PLACE)
    return None if value is None else Reached(*json.loads(value))

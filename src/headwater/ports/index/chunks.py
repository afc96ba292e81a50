"""Versions out of an index's partition, in the order of their keys, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headwater.ports.index.layout import OFFSET, Store


class Span(NamedTuple):
    """What is wanted of a partition: rows from one key to before another, with offsets within bounds."""

    first: bytes
    last: bytes
    start: int
    end: int


class Chunk(NamedTuple):
    """Versions of some keys, each key's whole and in the order of offsets. `groups` numbers the keys, for each version.

    `stems` are the keys, as their rows begin.
    """

    stems: list[bytes]
    groups: list[int]
    offsets: list[int]
    values: list[bytes]


def chunks(store: Store, span: Span, size: int) -> Iterator[Chunk]:
    """Chunks of about so many versions; more where a key alone has more."""
    stem, group = b"", -1
    found = Chunk([], [], [], [])
    stems, groups, offsets, values = found
    start, end, unpack = span.start, span.end, OFFSET.unpack
    for full, value in store.scan(span.first, span.last):
        (offset,) = unpack(full[-8:])
        if not start <= offset < end:
            continue
        if full[:-8] != stem:
            if len(values) >= size:
                yield found
                found = Chunk([], [], [], [])
                stems, groups, offsets, values = found
                group = -1
            stem = full[:-8]
            stems.append(stem)
            group += 1
        groups.append(group)
        offsets.append(offset)
        values.append(value)
    if values:
        yield found

"""Who wrote what: the batch heads of a broker's log files, read without Kafka. They show whether a fence held.

A batch names its producer and the producer's epoch. A new relay of a source takes the next epoch of the same producer,
so in each partition epochs never fall, and no second producer is ever seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import NamedTuple

# base offset, length, leader epoch, magic, crc, attributes, last offset delta, two timestamps, producer, epoch
_HEAD = Struct(">qiibIhiqqqh")
_LENGTH_FROM = 12  # what the length counts begins behind base offset and length
_CONTROL, _TRANSACTIONAL = 0x20, 0x10


class Written(NamedTuple):
    """One batch of a transaction's records."""

    offset: int
    producer: int
    epoch: int


def batches(kafka_folder: Path, topic: str, partition: int) -> Iterator[Written]:
    """The transactional batches of a partition, control batches left out, in order of offsets."""
    for segment in sorted(kafka_folder.rglob(f"{topic}-{partition}/*.log")):
        data, at = segment.read_bytes(), 0
        while at + _HEAD.size <= len(data):
            offset, length, _, _, _, attributes, _, _, _, producer, epoch = _HEAD.unpack_from(data, at)
            if length <= 0:
                break  # the rest is room that the broker took in advance
            if attributes & _TRANSACTIONAL and not attributes & _CONTROL:
                yield Written(offset, producer, epoch)
            at += _LENGTH_FROM + length


def fence_breaks(kafka_folder: Path, places: Sequence[tuple[str, int]]) -> int:
    """How often a batch of an older epoch, or of another producer than before, follows in a partition."""
    breaks = 0
    for topic, partition in places:
        last: Written | None = None
        for written in batches(kafka_folder, topic, partition):
            if last is not None and (written.producer != last.producer or written.epoch < last.epoch):
                breaks += 1
            last = written
    return breaks

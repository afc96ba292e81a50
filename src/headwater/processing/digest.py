"""A digest of what a product has published: to show that it is still there, to the byte, after it was moved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from headwater.errors import CallerFault
from headwater.ports.protocol import Broker
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import EndOfPartition, Message, TopicPartition


@dataclass(frozen=True, slots=True)
class Digest:
    """Of one partition: its committed records from the first that is there up to before `end`."""

    partition: int
    start: int
    end: int
    records: int
    blake2b: str


def digest_of(broker: Broker, topic: str, ends: Mapping[int, int] | None = None) -> list[Digest]:
    """Of each partition, up to `ends` where they are given, else to where it is committed now.

    Keys, values, Kafka timestamps and offsets count: a repeat, a gap or another order makes another digest.
    """
    places = places_of(broker, topic)
    starts = broker.starts(places)
    stop = broker.stable_ends(places) if ends is None else {place: ends.get(place.partition, 0) for place in places}
    sums = {place: blake2b(digest_size=16) for place in places}
    counts = dict.fromkeys(places, 0)
    for item in read_to_end(broker, starts, stop):
        place = TopicPartition(item.topic, item.partition)
        if isinstance(item, EndOfPartition):
            continue
        counts[place] += 1
        sums[place].update(_bytes(item))
    return [
        Digest(place.partition, starts[place], stop[place], counts[place], sums[place].hexdigest()) for place in places
    ]


def read_digests(text: bytes) -> list[Digest]:
    """Digests as JSON holds them. Raises `CallerFault` HW-P221 where it does not.

    >>> read_digests(b'[{"partition": 0, "start": 0, "end": 7, "records": 5, "blake2b": "9f"}]')[0].records
    5
    """
    try:
        return [Digest(**entry) for entry in json.loads(text)]
    except (TypeError, ValueError):
        raise CallerFault(
            "this is no digest of a product", code="HW-P221", hint="headwater processing digest PRODUCT writes one"
        ) from None


def require_kept(broker: Broker, topic: str, before: Sequence[Digest]) -> list[Digest]:
    """The digests as they were, computed anew. Raises `CallerFault` HW-P220 where one is another now."""
    now = {digest.partition: digest for digest in digest_of(broker, topic, {one.partition: one.end for one in before})}
    for digest in before:
        if now.get(digest.partition) != digest:
            raise CallerFault(
                f"{topic} [{digest.partition}] is not what it was up to offset {digest.end}",
                code="HW-P220",
                detail="records are gone, or others stand in their place; retention removes the oldest ones too",
                hint="headwater tail shows what is there; compare from the first offset on",
            )
    return list(now.values())


def _bytes(message: Message) -> bytes:
    key, value = message.key or b"", message.value or b""
    head = f"{message.offset} {message.timestamp} {len(key)} {len(value)} ".encode()
    return head + key + value

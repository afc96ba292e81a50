"""Rows that are held back, read again from the quarantine topic when their turn has come; and entries by their id."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import NamedTuple

from headwater.errors import Fault
from headwater.outbox.aside import row_of
from headwater.outbox.parked import ParkedKey
from headwater.outbox.pgoutput import Row
from headwater.ports.protocol import Broker
from headwater.ports.quarantine_log import Entry, committed, read_letter
from headwater.ports.record import TopicPartition


class HeldRow(NamedTuple):
    """A row in the queue of its key, by its number; `after` is the offset behind it, 0 where it is not in a topic."""

    number: int
    row: Row
    after: int


def held_rows(broker: Broker, place: TopicPartition, key: bytes, parked: ParkedKey) -> Iterator[HeldRow]:
    """The rows of a key's queue that are not dealt with, in order: those of the topic, then those held just now.

    Raises `Fault` HW-O104 where some of them are gone.
    """
    done, in_topic = parked.dealt, parked.last - len(parked.fresh)
    if done < in_topic:
        for message in committed(broker, place.topic, start={place: parked.place}):
            if message.key != key:
                continue
            letter = read_letter(message)
            if isinstance(letter, Entry) and letter.state == "parked" and letter.sequence > done:
                done = letter.sequence
                yield HeldRow(done, row_of(message.key, message.value, message.headers), message.offset + 1)
                if done >= in_topic:
                    break
        if done < in_topic:
            raise Fault(
                f"{in_topic - done} rows that are held back are gone from {place.topic}",
                code="HW-O104",
                detail="their key cannot go on in order without them",
                hint="headwater relay reconcile names them; the outbox table still has them",
            )
    for number, row in list(parked.fresh):
        if number > done:
            yield HeldRow(number, row, 0)


def find_entries(broker: Broker, topic: str, wanted: Set[str]) -> dict[str, Entry]:
    """Entries by id, with what became of them so far. Reads the whole topic, and keeps only what is wanted."""
    found: dict[str, Entry] = {}
    for message in committed(broker, topic):
        letter = read_letter(message)
        if letter.id not in wanted:
            continue
        if isinstance(letter, Entry):
            found.setdefault(letter.id, letter)
        elif letter.id in found:
            found[letter.id].follow(letter)
    return found


def kept_row(broker: Broker, entry: Entry) -> Row:
    """The row of an entry, from its place; raises `Fault` HW-O104 where it is gone."""
    start = {TopicPartition(entry.topic, entry.partition): entry.offset}
    for message in committed(broker, entry.topic, start=start):
        if message.offset == entry.offset:
            return row_of(message.key, message.value, message.headers)
    raise Fault(
        f"the entry at {entry.topic} [{entry.partition}] {entry.offset} is gone",
        code="HW-O104",
        detail="retention has removed it since it was listed",
        hint="the outbox table still has the row, by its id",
    )

"""What a product says as of a valid and a recorded moment, folded from its topic: the plain port, that of the history.

Every answer tells up to which recorded moment it is settled: what was asked up to there can never change again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headwater.errors import Misfit
from headwater.mesh.products import ResolvedOutput, ResolvedProduct
from headwater.ports.access import WHOLE, View
from headwater.ports.keys import key_bytes, partition_of
from headwater.ports.marks import newest_marks
from headwater.ports.progress import Settled
from headwater.ports.protocol import Broker
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import EndOfPartition
from headwater.ports.serde import RecordReader
from headwater.schemas.registry import Registry
from headwater.timeline.bitemporal import Known, KnownEvents, KnownFacts, Record
from headwater.timeline.instant import Instant


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a product; None leaves a side open.

    `valid_at`: facts that hold then, events that have occurred by then. `recorded_at`: as known then. `key`: the values
    of the key fields, in their order. `ends`: read no further than an earlier answer did.
    """

    valid_at: Instant | None = None
    recorded_at: Instant | None = None
    key: tuple[object, ...] | None = None
    ends: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The records, and how firm they are.

    `settled_to` is the recorded moment up to which nothing can be added; `settled` whether the whole answer lies before
    it, so that the same question has the same answer for ever. `unreadable` counts records that could not be decoded.
    `ends` says where reading ended, by partition: a question that bears them is answered from the same records.
    """

    rows: tuple[Record, ...]
    settled_to: Instant
    settled: bool
    unreadable: int = 0
    ends: Mapping[int, int] = field(default_factory=dict)

    def firmness(self) -> str:
        """How many records, and whether that can still change, in words.

        >>> Answer((), Instant(-1), False).firmness()
        '0 records; nothing is settled yet: this answer may still change'
        """
        count = f"{len(self.rows):,} record{'' if len(self.rows) == 1 else 's'}"
        unread = f"; {self.unreadable:,} could not be read" if self.unreadable else ""
        return f"{count}; {firm(self.settled_to, self.settled)}{unread}"


class TopicAnswers:
    """Answers from a product's topic, from its first record on; `tick` is the mesh's, `view` what a reader may see."""

    def __init__(
        self, broker: Broker, registry: Registry, product: ResolvedProduct, *, tick: int, view: View = WHOLE
    ) -> None:
        self._broker = broker
        self._product = product
        self._tick = tick
        self._view = view
        self._reader = RecordReader(registry, subject=product.output.subject, schema=product.output.schema)

    def as_of(self, question: Question) -> Answer:
        """The answer to one question; reads committed records only."""
        known = of_shape(self._product.output)
        firmness = self._read(question, known.take)
        return Answer(self._view.rows(known.rows(question.valid_at)), *firmness)

    def history(self, question: Question) -> Answer:
        """Every record as it was published, of a key or of all, oldest first in each partition."""
        rows: list[Record] = []
        firmness = self._read(question, rows.append)
        return Answer(self._view.rows(rows), *firmness)

    def _read(self, question: Question, take: Callable[[Record], None]) -> tuple[Instant, bool, int, Mapping[int, int]]:
        """Hand over what was known then; how far all is settled, whether that is settled, how many are unread, ends."""
        key, until, ends = question.key, question.recorded_at, question.ends
        topic = self._product.output.topic
        places = places_of(self._broker, topic)
        wanted = None if key is None else key_bytes(key)
        if wanted is not None:
            places = [places[partition_of(wanted, len(places))]]
        numbers = [place.partition for place in places]
        settled = {number: Settled(self._tick) for number in numbers}
        newest, unreadable, reached = -1, 0, dict(ends or {})
        upto = None if ends is None else {place: ends.get(place.partition, 0) for place in places}
        for item in read_to_end(self._broker, self._broker.starts(places), upto):
            if isinstance(item, EndOfPartition):
                reached[item.partition] = item.offset if ends is None else ends[item.partition]
                settled[item.partition].reached(item.offset)
                continue
            try:
                record = self._reader.read(item.value)
            except Misfit:
                unreadable += 1
                continue
            recorded_at = record["recorded_at"]
            settled[item.partition].record(offset=item.offset, recorded_at=recorded_at)
            if (wanted is None or item.key == wanted) and (until is None or recorded_at <= until):
                newest = max(newest, recorded_at)
                take(record)
        for partition, (through, offset) in newest_marks(self._broker, self._product, numbers).items():
            settled[partition].mark(through=through, offset=offset)
        through = Instant(min(one.through for one in settled.values()))
        return through, (newest if until is None else until) <= through, unreadable, reached


def firm(settled_to: Instant, settled: bool) -> str:
    """Up to when nothing can be added, and whether an answer can still change, in words.

    >>> firm(Instant(0), True)
    'settled up to 1970-01-01T00:00:00.000000Z: this answer is final'
    """
    told = f"settled up to {settled_to.iso()}" if settled_to >= 0 else "nothing is settled yet"
    return f"{told}: {'this answer is final' if settled else 'this answer may still change'}"


def of_shape(output: ResolvedOutput) -> Known:
    """What is known of a product, before its first record.

    A record of a fact holds over an interval, one of an event has a revision: the shapes are folded each in its way.
    """
    return KnownEvents() if output.shape == "event" else KnownFacts(output.output.key)

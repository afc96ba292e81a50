"""What one batch does to parked keys: rows that are held back, and rows whose turn has come. One turn for one batch.

A turn works on slices of its batch. Ordinary rows go through the encoder in runs; a run in which a row of a `park-key`
product does not fit is halved until that row stands alone, since what follows it may be of its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from headwater.errors import Misfit
from headwater.naming import quarantine_topic
from headwater.outbox.aside import row_of, set_aside
from headwater.outbox.batching import Limits
from headwater.outbox.encode import Encoded, Encoder, Target
from headwater.outbox.held import HeldRow, held_rows
from headwater.outbox.parked import ParkedKey, ParkedKeys
from headwater.outbox.pgoutput import Row, lsn_text
from headwater.outbox.segment import Batch, Run, Segment
from headwater.ports.keys import partition_of
from headwater.ports.protocol import Broker
from headwater.ports.quarantine import (
    BEHIND,
    PARKS,
    PREFIX,
    RESOLUTION,
    SEQUENCE,
    Origin,
    Outcome,
    resolution_headers,
)
from headwater.ports.quarantine_log import Entry, Resolution, read_letter
from headwater.ports.record import Header, Message, Outgoing, TopicPartition

_CHUNK = 256  # held rows that are encoded at once


class Lines:
    """The rows of a segment, read, with the way to slices of it. A row that cannot be read is empty here."""

    def __init__(self, segment: Segment, source: str, system_id: str) -> None:
        self.segment = segment
        self._source, self._system_id = source, system_id
        self.rows = [_read(run, item) for run in segment.runs for item in run.items]

    def part(self, first: int, last: int) -> Segment:
        """The rows from `first` to before `last`, as they came."""
        runs, start = [], 0
        for run in self.segment.runs:
            items = run.items[max(0, first - start) : max(0, last - start)]
            if items:
                runs.append(replace(run, items=items))
            start += len(run.items)
        return replace(self.segment, ordinal=self.segment.ordinal + first, runs=runs)

    def origin(self, place: int) -> Origin:
        """Where a row stood in the source."""
        offset = f"{lsn_text(self.segment.commit_lsn)}+{self.segment.ordinal + place}"
        return Origin(self._source, self._system_id, offset, self.segment.recorded_at // 1_000)


@dataclass(slots=True)
class Scope:
    """What a relay knows of quarantine from one batch to the next. `parking` has the products whose keys are parked."""

    encoder: Encoder
    broker: Broker
    targets: Mapping[bytes, Target]
    parking: dict[bytes, ParkedKeys]
    source: str
    system_id: str
    limits: Limits

    def topic(self, product: bytes) -> str:
        """The quarantine topic of a product."""
        target = self.targets[product]
        return quarantine_topic(target.product.name, target.product.major)


@dataclass(slots=True)
class Turn:
    """One batch. `asked` are the entries that rows of it speak of, by product and id, as they stand by now."""

    scope: Scope
    batch: Batch
    records: list[Outgoing] = field(default_factory=list)
    misfits: list[tuple[str, str]] = field(default_factory=list)
    asked: dict[tuple[bytes, str], Entry | None] = field(default_factory=dict)
    asked_rows: dict[str, Row] = field(default_factory=dict)  # of entries that were made in this very batch
    held: list[tuple[bytes, bytes]] = field(default_factory=list)  # product and key, for each row held in this batch
    resolved: list[tuple[str, str]] = field(default_factory=list)  # product and outcome
    _rows_left: int = 0
    _bytes_left: int = 0
    _ends: Mapping[TopicPartition, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rows_left, self._bytes_left = self.scope.limits.rows, self.scope.limits.bytes

    def go_on(self) -> None:
        """Release more of the keys that have no head; what came before was committed."""
        segments = self.batch.segments
        recorded_at = segments[0].recorded_at if segments else self.batch.position.stamp.value
        for product, parked_keys in self.scope.parking.items():
            for key in [key for key, parked in parked_keys.keys.items() if parked.releasing]:
                self.release(product, key, recorded_at)

    def is_held(self, row: Row) -> bool:
        """Whether the row's key is parked, so that it must wait."""
        parked = self.scope.parking.get(row[1] or b"") if row else None
        return parked is not None and (row[2] or b"") in parked.keys

    def encode(self, segment: Segment) -> Encoded:
        """The rows of a segment or of a slice of one, nothing added."""
        return self.scope.encoder.encode(replace(self.batch, segments=(segment,)))

    def add(self, encoded: Encoded) -> None:
        """Send what was encoded; entries among it that somebody asks for are remembered."""
        self.records += encoded.records
        self.misfits += encoded.misfits
        if encoded.misfits and self.asked:
            for record in encoded.records:
                self._remember(record)

    def fits(self, encoded: Encoded) -> bool:
        """Whether no row of a product that parks keys is among the misfits."""
        return not any(product.encode() in self.scope.parking for product, _ in encoded.misfits)

    def park(self, encoded: Encoded, row: Row) -> None:
        """A single row that did not fit: its key is held back from here on."""
        product, key = (row[1] or b"", row[2] or b"") if row else (b"", b"")
        if key and product in self.scope.parking:
            encoded.records[-1] = _with(encoded.records[-1], (PARKS, b"1"))
            self.scope.parking[product].park(key, (row[0] or b"").decode(), self._end(product, key))
        self.add(encoded)

    def hold(self, row: Row, origin: Origin) -> None:
        """Put a row behind those of its key that wait already."""
        product, key = row[1] or b"", row[2] or b""
        parked = self.scope.parking[product].keys[key]
        parked.last += 1
        parked.fresh.append((parked.last, row))
        self.held.append((product, key))
        misfit = Misfit("an earlier row of its key is in quarantine", code="HW-O100", field="aggregateid")
        more: list[Header] = [(RESOLUTION, b"parked"), (SEQUENCE, str(parked.last).encode())]
        if parked.head is not None:
            more.append((BEHIND, parked.head.encode()))
        target = self.scope.targets[product]
        record = set_aside(row, target.product, misfit, "held", origin, more)
        self.records.append(record)
        self._remember(record)

    def release(self, product: bytes, key: bytes, recorded_at: int) -> None:
        """Publish what a key without a head holds, in order, until a row does not fit or the batch has enough."""
        parked = self.scope.parking[product].keys.get(key)
        if parked is None:
            return
        rows = self._queue(product, key, parked)
        while parked.head is None and (chunk := list(islice(rows, _CHUNK))):
            encoded = self._encode(chunk, recorded_at)
            if encoded.misfits:
                for held in chunk:
                    if parked.head is None:
                        self._deal(product, parked, [held], self._encode([held], recorded_at), recorded_at)
            else:
                self._deal(product, parked, chunk, encoded, recorded_at)
        self.scope.parking[product].done(key)

    def tell(
        self, product: bytes, identity: str, key: bytes, outcome: Outcome, recorded_at: int, **facts: str | None
    ) -> None:
        """Write what became of an entry."""
        entry = self.asked.get((product, identity))
        partition = entry.partition if entry is not None else -1
        headers = resolution_headers(identity, outcome, **facts)
        self.records.append((self.scope.topic(product), partition, key, None, recorded_at // 1_000, headers))
        self.resolved.append((product.decode(), outcome))
        if entry is not None:
            told = {name.replace("_", "."): value for name, value in facts.items() if value is not None}
            entry.follow(Resolution(identity, outcome, recorded_at // 1_000, told))

    def _queue(self, product: bytes, key: bytes, parked: ParkedKey) -> Iterator[HeldRow]:
        """The rows that may go out with this batch, those passed over left out."""
        topic = self.scope.topic(product)
        place = TopicPartition(topic, self._partition(product, key))
        for held in held_rows(self.scope.broker, place, key, parked):
            if (held.row[0] or b"").decode() in parked.passed:
                continue
            if self._rows_left <= 0 or self._bytes_left <= 0:
                return
            self._rows_left -= 1
            self._bytes_left -= len(held.row[4] or held.row[8] or b"")
            yield held

    def encode_row(self, row: Row, recorded_at: int) -> Encoded:
        """A row of an earlier batch, as if it had come now."""
        return self._encode([HeldRow(0, row, 0)], recorded_at)

    def _encode(self, chunk: Iterable[HeldRow], recorded_at: int) -> Encoded:
        rows = [held.row for held in chunk]
        clock = self.batch.position.stamp.clock
        return self.encode(Segment(0, clock, 0, recorded_at=recorded_at, runs=[Run.of_rows(rows)]))

    def _deal(
        self, product: bytes, parked: ParkedKey, chunk: list[HeldRow], encoded: Encoded, recorded_at: int
    ) -> None:
        """The turn of these rows has come: they are published, or the only one does not fit and becomes the head."""
        for held in chunk:
            identity, key, number = (held.row[0] or b"").decode(), held.row[2] or b"", str(held.number)
            parked.deal(held.number)
            parked.place = max(parked.place, held.after)
            if not encoded.misfits:
                self.tell(product, identity, key, "released", recorded_at, sequence=number)
                continue
            parked.head = identity
            self.misfits += encoded.misfits
            why = reasons(encoded)
            self.tell(product, identity, key, "refused", recorded_at, sequence=number, **why)
        if not encoded.misfits:
            self.records += encoded.records

    def _remember(self, record: Outgoing) -> None:
        topic, partition, key, value, timestamp, headers = record
        if not self.asked or not topic.endswith(".quarantine"):
            return
        letter = read_letter(Message(topic, partition, -1, key, value, timestamp, headers))
        for product, identity in self.asked:
            if identity == letter.id and isinstance(letter, Entry) and self.scope.topic(product) == topic:
                self.asked[product, identity] = self.asked[product, identity] or letter
                self.asked_rows[identity] = row_of(key, value, headers)

    def _partition(self, product: bytes, key: bytes) -> int:
        return partition_of(key, self.scope.targets[product].partitions)

    def _end(self, product: bytes, key: bytes) -> int:
        """An offset that nothing lies behind which this batch will write."""
        place = TopicPartition(self.scope.topic(product), self._partition(product, key))
        if place not in self._ends:
            self._ends = {**self._ends, **self.scope.broker.ends([place])}
        return self._ends[place]


def _read(run: Run, item: object) -> Row:
    try:
        return run.read(item)
    except (Misfit, ValueError, LookupError, TypeError, RecursionError, StopIteration):
        return ()


def reasons(encoded: Encoded) -> dict[str, str]:
    """The reason that the encoder gave for the last row that it set aside, as facts of a resolution."""
    headers = encoded.records[-1][5]
    wanted = ("class", "error.class", "error.code", "error.digest")
    found = {name.removeprefix(PREFIX): value.decode() for name, value in headers if name.startswith(PREFIX)}
    return {name.replace(".", "_"): found[name] for name in wanted}


def _with(record: Outgoing, header: Header) -> Outgoing:
    topic, partition, key, value, timestamp, headers = record
    return topic, partition, key, value, timestamp, [*headers, header]

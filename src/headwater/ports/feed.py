"""A product's records one after the other, from any place on; and a snapshot whose tail is such a feed.

A snapshot as of a settled moment T holds all that was recorded up to T and nothing after; its feed gives all that was
recorded after T and nothing before. So a reader who takes both has each record once, wherever writers stood meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from headwater.errors import CallerFault, Misfit
from headwater.mesh.products import ResolvedProduct
from headwater.ports.access import WHOLE, View
from headwater.ports.answers import Answer, of_shape
from headwater.ports.marks import newest_marks
from headwater.ports.progress import NOTHING
from headwater.ports.protocol import Broker, Reader
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import Fetched, Message, TopicPartition
from headwater.ports.serde import RecordReader
from headwater.schemas.registry import Registry
from headwater.schemas.unsure import Unsure
from headwater.timeline.bitemporal import Record
from headwater.timeline.instant import Instant

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE = 1_000
_COLUMNS_AT_ONCE = 20_000
_PATIENCE = 1.0  # seconds between two looks of an endless iteration
_CURSOR_LIMIT = 100_000  # characters; of 1,000 partitions it has 30,000


class Place(NamedTuple):
    """Where a feed stands: the next offset of each partition, and the moment up to which its reader knows all."""

    offsets: Mapping[int, int]
    known: Instant


class Feed:
    """Committed records from a place on, each partition in its order; ends only when it is closed.

    `cursor` is the place after the last record that was given, as text: a feed that is opened with it goes on there,
    so that a reader who keeps it together with its own work sees each record once. One thread at a time uses a feed.
    """

    def __init__(
        self, broker: Broker, records: RecordReader, product: ResolvedProduct, place: Place, *, view: View = WHOLE
    ) -> None:
        self.unreadable = 0  # records that could not be decoded, and were passed over
        self._broker = broker
        self._records = records
        self._topic, self._schema = product.output.topic, product.output.schema
        self._view = view
        self._offsets = dict(place.offsets)
        self._known = place.known
        self._reader: Reader | None = None
        self._waiting: deque[Message] = deque()
        self._closed = False

    @property
    def cursor(self) -> str:
        """Where the next record is taken from, to be kept and given back to `tail`."""
        return encode_cursor(self._topic, Place(self._offsets, self._known))

    def poll(self, wait: float = 0.0) -> Record | None:
        """The next record; None where none came within `wait` seconds, or the feed is closed."""
        while not self._closed:
            while self._waiting:
                message = self._waiting.popleft()
                self._offsets[message.partition] = message.offset + 1
                record = self._read(message.value)
                if record is not None:
                    return record
            items = self._opened().poll(_AT_ONCE, wait)
            if not items:
                break
            self._waiting.extend(item for item in items if isinstance(item, Message))
        return None

    def table(self, limit: int, wait: float = 0.0) -> pa.Table:
        """Up to `limit` records as columns, of each partition in its order; none where none came within `wait` seconds.

        Many at once cost a tenth of what they cost one by one.
        """
        # Here, so that who reads record by record does not wait for Arrow.
        import pyarrow as pa

        from headwater.ports.tables import tables
        from headwater.schemas.arrow import arrow_schema

        found: list[pa.Table] = []
        for values in self._values(limit, wait, lambda: any(len(one) for one in found)):
            some, unread = tables(self._schema, self._records, values)
            self.unreadable += unread
            found.append(self._beyond(some))
        schema = arrow_schema(self._view.schema(self._schema))
        return pa.concat_tables([one.select(schema.names) for one in found]) if found else schema.empty_table()

    def texts(self, limit: int, wait: float = 0.0) -> list[str]:
        """The same, each record as JSON text."""
        from headwater.ports.tables import table_of
        from headwater.schemas.arrow import arrow_schema
        from headwater.schemas.json_text import json_rows, json_text
        from headwater.schemas.payload import writer

        schema = self._view.schema(self._schema)
        names, convert = arrow_schema(schema).names, writer(schema)
        found: list[str] = []
        for values in self._values(limit, wait, lambda: bool(found)):
            try:
                some = table_of(self._schema, self._records.columns(values))
            except Unsure:
                records = [self._read(value) for value in values]
                found.extend(json_text(convert(record)) for record in records if record is not None)
            else:
                found.extend(json_rows(self._beyond(some).select(names)))
        return found

    def _values(self, limit: int, wait: float, found: Callable[[], bool]) -> Iterator[Sequence[bytes | None]]:
        """Values that come together, up to so many, and on until something is `found` in them or none are left; the
        place moves on behind what is taken."""
        if self._view.keeps is not None:
            raise TypeError("which records a view keeps is asked record by record")
        left, waits = limit, wait
        while not self._closed:
            if left <= 0:
                if found():
                    break
                left = limit  # all that there was is known to the reader already
            fetched = self._fetched(min(left, _COLUMNS_AT_ONCE), waits)
            if not fetched:
                break
            for one in fetched:
                self._offsets[one.partition] = one.offsets[-1] + 1
                left -= len(one)
                yield one.values
            waits = 0.0

    def _fetched(self, limit: int, wait: float) -> list[Fetched]:
        """What `poll` has left over, then what comes."""
        if self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
            runs = groupby(taken, lambda message: message.partition)
            return [Fetched.of(list(run)) for _, run in runs]
        while items := self._opened().fetch(limit, wait):
            found = [item for item in items if isinstance(item, Fetched)]
            if found:
                return found
        return []

    def _opened(self) -> Reader:
        if self._reader is None:
            places = {TopicPartition(self._topic, number): offset for number, offset in self._offsets.items()}
            self._reader = self._broker.reader(places)
        return self._reader

    def _beyond(self, some: pa.Table) -> pa.Table:
        """What was recorded after what the reader knows already; only its first records can be from before."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._known < 0 or not len(some):
            return some
        return some.filter(pc.greater(some.column("recorded_at").cast(pa.int64()), self._known))

    async def poll_async(self, wait: float = 0.0) -> Record | None:
        """As `poll`, beside an event loop."""
        return await asyncio.to_thread(self.poll, wait)

    def __iter__(self) -> Iterator[Record]:
        while not self._closed:
            record = self.poll(_PATIENCE)
            if record is not None:
                yield record

    async def __aiter__(self) -> AsyncIterator[Record]:
        while not self._closed:
            record = await self.poll_async(_PATIENCE)
            if record is not None:
                yield record

    def close(self) -> None:
        """End it, and every iteration over it."""
        self._closed = True
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, value: bytes | None) -> Record | None:
        try:
            record = self._records.read(value)
        except Misfit:
            self.unreadable += 1
            return None
        # At or before what the snapshot knows there is nothing new behind it but repeats.
        return self._view.record(record) if record["recorded_at"] > self._known else None


class Feeds:
    """Opens feeds of one product."""

    def __init__(self, broker: Broker, registry: Registry, product: ResolvedProduct, *, view: View = WHOLE) -> None:
        self._broker = broker
        self._product = product
        self._view = view
        self._records = RecordReader(registry, subject=product.output.subject, schema=product.output.schema)

    def tail(self, after: str = "end") -> Feed:
        """Records from a cursor on, or from the `start` of the topic, or those that come from now on: its `end`."""
        topic, places = self._product.output.topic, self._places()
        if after in ("start", "end"):
            found = self._broker.starts(places) if after == "start" else self._broker.ends(places)
            return self._feed(Place({place.partition: offset for place, offset in found.items()}, NOTHING))
        return self._feed(decode_cursor(after, topic, len(places)))

    def bootstrap(self, recorded: Instant | None = None) -> tuple[Answer, Feed]:
        """All that is known as of a settled recorded moment, the newest one if none is named, and the feed after it.

        Raises `CallerFault` HW-R021 where the moment is not settled yet.
        """
        output, places = self._product.output, self._places()
        marks = newest_marks(self._broker, self._product, range(len(places)))
        settled = min((marks[p.partition][0] if p.partition in marks else NOTHING for p in places), default=NOTHING)
        moment = settled if recorded is None else recorded
        if moment > settled:
            raise CallerFault(
                f"{self._product.name} is not settled at {moment.iso()}",
                code="HW-R021",
                detail=f"up to {settled.iso()} nothing can be added" if settled > NOTHING else "it has no marks yet",
                hint="ask for an earlier moment, or for none: then it is the newest settled one",
            )
        starts = self._broker.starts(places)
        # A mark says where its time ends in a partition: what was recorded up to the moment lies before that offset.
        ends = {place: marks[place.partition][1] if place.partition in marks else 0 for place in places}
        offsets = {place.partition: max(starts[place], ends[place]) for place in places}
        known, unreadable = of_shape(output), 0
        for item in read_to_end(self._broker, starts, ends):
            if not isinstance(item, Message) or item.offset >= offsets[item.partition]:
                continue
            try:
                record = self._records.read(item.value)
            except Misfit:
                unreadable += 1
                continue
            if record["recorded_at"] > moment:
                offsets[item.partition] = item.offset
            else:
                known.take(record)
        rows = self._view.rows(known.rows(None))
        return Answer(rows, settled, True, unreadable, offsets), self._feed(Place(offsets, moment))

    def _places(self) -> list[TopicPartition]:
        return places_of(self._broker, self._product.output.topic)

    def _feed(self, place: Place) -> Feed:
        return Feed(self._broker, self._records, self._product, place, view=self._view)


def encode_cursor(topic: str, place: Place) -> str:
    """A place in a topic as text.

    >>> decode_cursor(encode_cursor("a.b.v1", Place({0: 5, 1: 0}, Instant(7))), "a.b.v1", 2)
    Place(offsets={0: 5, 1: 0}, known=7)
    """
    offsets = [place.offsets[number] for number in range(len(place.offsets))]
    return base64.urlsafe_b64encode(json.dumps([topic, place.known, *offsets]).encode()).decode()


def decode_cursor(cursor: str, topic: str, partitions: int) -> Place:
    """The place; raises `CallerFault` HW-R022 where the text is no cursor of this topic."""
    try:
        if len(cursor) > _CURSOR_LIMIT:
            raise ValueError
        named, known, *offsets = json.loads(base64.b64decode(cursor.encode(), altchars=b"-_", validate=True))
        whole = all(type(number) is int and -1 <= number < 1 << 63 for number in (known, *offsets))
        if named != topic or len(offsets) != partitions or not whole or -1 in offsets:
            raise ValueError
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise CallerFault(
            f"this is no cursor of {topic}",
            code="HW-R022",
            detail="a cursor belongs to one topic, with all of its partitions",
            hint="give the text that a feed of this product had as its cursor, or start or end",
        ) from None
    return Place(dict(enumerate(offsets)), Instant(known))

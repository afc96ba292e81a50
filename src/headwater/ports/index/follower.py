"""The index of some products: follows their topics and marks with one reader, and keeps what it reads.

What it has lies on disk with its position, so that a restart goes on there. A topic that was made anew begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Thread

from headwater import naming
from headwater.errors import Fault, HeadwaterError, Unreachable
from headwater.hooks import Hooks
from headwater.mesh.products import ResolvedProduct
from headwater.ports.index.directory import Directory
from headwater.ports.index.layout import Stores
from headwater.ports.index.partition import IndexedPartition
from headwater.ports.kafka_errors import topic_missing
from headwater.ports.progress import decode_mark
from headwater.ports.protocol import Broker, Reader
from headwater.ports.reading import places_of
from headwater.ports.record import EndOfPartition, Fetched, TopicPartition
from headwater.ports.serde import RecordReader
from headwater.schemas.registry import Registry
from headwater.timeline.clock import Clock

_AT_ONCE = 5_000  # records of a batch
_POLL_SECONDS = 0.5
_MARKS_TAIL = 500  # offsets at the end of the marks' topic: the newest mark of a partition is among them
_LOOK_MICROSECONDS = 30_000_000  # between two looks whether topics were made anew, or records removed
_PAUSE_MICROSECONDS = 1_000_000  # after an error
_TELL_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Indexed:
    """One product's index, for those who answer from it."""

    product: ResolvedProduct
    records: RecordReader
    partitions: Sequence[IndexedPartition]

    def filled(self) -> float:
        """Which share of what there was when it was opened is taken in, from 0 to 1.

        Of a topic whose end is not known yet, none is.
        """
        if all(one.seen.ready for one in self.partitions):
            return 1.0
        there = sum(max(one.goal - one.seen.start, 0) for one in self.partitions)
        taken = sum(min(max(one.seen.end - one.seen.start, 0), one.goal) for one in self.partitions)
        return min(taken / there, 0.99) if there else 0.0


class Index:
    """Keeps products in stores. One thread calls `step`, or `start` makes one; all threads may ask `of`."""

    def __init__(
        self,
        products: Iterable[ResolvedProduct],
        broker: Broker,
        registry: Registry,
        stores: Stores,
        *,
        tick: int,
        clock: Clock,
        hooks: Hooks | None = None,
    ) -> None:
        self._products = {product.output.topic: product for product in products}
        self._broker, self._registry, self._stores = broker, registry, stores
        self._directory = Directory(stores)
        self._tick, self.clock, self._hooks = tick, clock, hooks or Hooks()
        self._indexed: dict[str, Indexed] = {}
        self._missing: frozenset[str] = frozenset()  # topics that nobody has created yet
        self._identities: dict[str, str] = {}
        self._records: dict[TopicPartition, IndexedPartition] = {}
        self._marks: dict[TopicPartition, IndexedPartition] = {}
        self._reader: Reader | None = None
        self._looked, self._told = 0, 0
        self._ending = False
        self._thread: Thread | None = None
        self._flaw: BaseException | None = None

    def of(self, topic: str) -> Indexed:
        """The index of a topic; raises where it is not opened yet, is not there, or the index has failed for good."""
        if topic in self._missing:
            raise topic_missing(topic)
        found = self._indexed.get(topic)
        if found is None or self._flaw is not None:
            raise self._absent(topic)
        return found

    def ready(self, topic: str) -> bool:
        """Whether all that was there when it began is taken in."""
        found = self._indexed.get(topic)
        return found is not None and self._flaw is None and found.filled() >= 1

    def step(self, seconds: float = 0.0) -> bool:
        """Take in what has come, waiting up to `seconds` for it; whether there was anything."""
        if self._reader is None:
            self._open()
        assert self._reader is not None
        items = self._reader.fetch(_AT_ONCE, seconds)
        for item in items:
            place = TopicPartition(item.topic, item.partition)
            if place in self._marks:
                self._mark(self._marks[place], item)
            elif isinstance(item, EndOfPartition):
                self._records[place].ended(item.offset)
            else:
                self._records[place].take(item)
        now = self.clock.monotonic()
        if now - self._looked > _LOOK_MICROSECONDS:
            self._looked = now
            self._look()
        if now - self._told > _TELL_MICROSECONDS:
            self._told = now
            self._tell()
        return bool(items)

    def start(self) -> None:
        """Follow in a thread of its own until `close`. What is away is waited for, and said as `index.waiting`."""
        self._thread = Thread(target=self._run, name="index", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and let go of reader and stores."""
        self._ending = True
        if self._thread is not None:
            self._thread.join()
        self._leave()
        self._stores.close()

    def _run(self) -> None:
        while not self._ending:
            try:
                self.step(_POLL_SECONDS)
            except HeadwaterError as error:
                self._leave()
                self._hooks.announce("index.waiting", code=error.code, reason=error.message)
                self.clock.sleep(_PAUSE_MICROSECONDS)
            except BaseException as error:
                self._flaw = error
                raise

    def _open(self) -> None:
        """Read on from where each store is; done anew after each error, whatever has become of the topics."""
        there = self._broker.describe(list(self._products))
        self._missing = frozenset(self._products) - set(there)
        topics = {topic: places_of(self._broker, topic) for topic in there}
        marks = {naming.progress_topic(one.name, one.major): one for one in self._there()}
        marked = self._broker.describe(list(marks))
        places = [place for some in topics.values() for place in some]
        if not self._missing:  # a topic that is deleted to be made anew is no reason to forget others
            self._directory.keep_only(places)
        starts, ends = self._broker.starts(places), self._broker.ends(places)
        self._identities = {topic: self._broker.identity(topic) for topic in topics}
        offsets: dict[TopicPartition, int] = {}
        for topic, some in topics.items():
            self._indexed[topic] = self._opened(topic, some)
            for one in self._indexed[topic].partitions:
                offsets[one.place] = one.open(self._identities[topic], starts[one.place], ends[one.place])
                self._records[one.place] = one
        beside = {
            TopicPartition(name, place.partition): self._records[place]
            for name, product in marks.items()
            if name in marked
            for place in topics[product.output.topic][: marked[name].partitions]
        }
        first, last = self._broker.starts(list(beside)), self._broker.ends(list(beside))
        offsets |= {place: max(first[place], last[place] - _MARKS_TAIL) for place in beside}
        self._marks = beside
        self._looked = self.clock.monotonic()
        self._reader = self._broker.reader(offsets)

    def _opened(self, topic: str, places: Sequence[TopicPartition]) -> Indexed:
        """The same partitions as before, so that who answers from them goes on; more, where the topic has more."""
        product = self._products[topic]
        before = self._indexed.get(topic)
        if before is not None and len(before.partitions) == len(places):
            return before
        records = RecordReader(self._registry, subject=product.output.subject, schema=product.output.schema)
        partitions = [
            IndexedPartition(place, self._directory.store(place), records, tick=self._tick) for place in places
        ]
        return Indexed(product, records, partitions)

    def _mark(self, one: IndexedPartition, item: Fetched | EndOfPartition) -> None:
        if isinstance(item, Fetched):
            for value in item.values:
                if value is not None:
                    through, offset = decode_mark(value)
                    one.mark(through, offset)

    def _look(self) -> None:
        for topic, identity in self._identities.items():
            if self._broker.identity(topic) != identity:
                raise _anew(topic)
        for place, start in self._broker.starts(list(self._records)).items():
            self._records[place].trim(start)
        marks = [naming.progress_topic(one.name, one.major) for one in self._there()]
        created = set(self._broker.describe([*marks, *self._missing]))
        if created - {place.topic for place in self._marks}:
            self._leave()  # a product has come, or its first mark was written: it is read from now on

    def _there(self) -> list[ResolvedProduct]:
        return [one for topic, one in self._products.items() if topic not in self._missing]

    def _tell(self) -> None:
        for one in self._indexed.values():
            share = one.filled()
            if share < 1:
                records = sum(part.seen.end for part in one.partitions)
                self._hooks.announce(
                    "index.filling", product=str(one.product.name), records=records, percent=int(share * 100)
                )

    def _leave(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _absent(self, topic: str) -> HeadwaterError:
        if self._flaw is not None:
            return Fault("the index has ended", code="HW-R039", detail=type(self._flaw).__name__, hint="restart")
        return filling(topic, 0.0)


def filling(product: str, share: float) -> Unreachable:
    """The one message for a question that the index cannot answer yet."""
    return Unreachable(
        f"the index of {product} is being filled: {share:.0%}",
        code="HW-R038",
        detail="it reads the topic once from its start; after that it goes on from where it was",
        hint="ask again as Retry-After says; a question as of an earlier recorded moment is answered sooner",
    )


def _anew(topic: str) -> Unreachable:
    return Unreachable(
        f"the topic {topic} was made anew",
        code="HW-R040",
        detail="what the index had of it is forgotten, and it is read again",
        hint="nothing: answers come once it is read",
    )

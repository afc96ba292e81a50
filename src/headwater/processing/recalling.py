"""What is remembered of inputs brought back from the inputs themselves, in short steps, once a changelog is read.

A state's last closed tick says up to which record: all before it was remembered in the transaction that closed it, and
nothing behind it. How far it came is written beside what it has made, so that a kill costs the rest only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from headwater.errors import Unreachable
from headwater.hooks import Hooks
from headwater.ports.protocol import Broker, Reader
from headwater.ports.record import EndOfPartition, Fetched, TopicPartition
from headwater.ports.serde import RecordReader
from headwater.processing.recollection import Recollection
from headwater.processing.state_form import StateForm
from headwater.processing.state_rocksdb import Position, RocksStore
from headwater.processing.steps import FORM_KEY, Stage
from headwater.timeline.clock import Clock

FETCH_MESSAGES = 10_000
FETCH_SECONDS = 0.2
BATCH_RECORDS = 50_000
SHOWN_MICROSECONDS = 1_000_000
SILENCE_MICROSECONDS = 120_000_000


@dataclass(slots=True)
class _Behind:
    """One input of a partition on its way: where it began, where it stands, where its partition ends."""

    store: RocksStore
    recollection: Recollection
    first: int
    offset: int
    end: int
    started: int
    shown: int
    unwritten: int = 0
    records: int = 0

    def write(self, topic: str) -> None:
        """What it remembers, with how far it came."""
        position = self.store.position or Position()
        reached = replace(position, recalled={**position.recalled, topic: self.offset})
        self.store.commit(self.recollection.changes(), reached)
        self.unwritten = 0


class Recall:
    """Brings back what stores remember of their stage's inputs. One thread uses it.

    Each of these stores is up to date with its changelog; those whose form says so miss what the inputs hold.
    """

    def __init__(
        self,
        stage: Stage,
        product: str,
        broker: Broker,
        readers: Mapping[str, RecordReader],
        form: StateForm,
        *,
        clock: Clock,
        hooks: Hooks,
    ) -> None:
        self._stage, self._product = stage, product
        self._broker = broker
        self._readers = readers
        self._form = form
        self._clock = clock
        self._hooks = hooks
        self._behind: dict[TopicPartition, _Behind] = {}
        self._reader: Reader | None = None
        self._heard = 0
        # Where each was left, and up to which tick it was: copies are looked at every few seconds.
        self._through: dict[TopicPartition, tuple[int, int]] = {}

    def begin(self, stores: Mapping[int, RocksStore], committed: Mapping[int, Mapping[str, int]]) -> set[int]:
        """Take these on; the partitions that miss something. Raises `CallerFault` HW-P301 where an input has lost it.

        `committed` are the group's offsets, where they are known: nothing that a closed tick holds lies behind them.
        """
        recalled = {number: store for number, store in stores.items() if self._form.recalls(store.get(FORM_KEY))}
        if not recalled:
            return set()
        places = [TopicPartition(topic, number) for number in recalled for topic in self._stage.recalled_from]
        ends = self._broker.ends(places)
        begun = set()
        now = self._clock.monotonic()
        for place in places:
            store = recalled[place.partition]
            position = store.position or Position()
            offset = position.recalled.get(place.topic, 0)
            end = min(ends[place], committed.get(place.partition, {}).get(place.topic, ends[place]))
            recollection = Recollection(self._stage, place.topic, place.partition, store, self._readers[place.topic])
            known = self._through.get(place) == (offset, recollection.closed)
            if offset < end and not recollection.nothing and not known:
                self._behind[place] = _Behind(store, recollection, offset, offset, end, now, now)
                begun.add(place.partition)
        if begun:
            self._form.require_records({place: one.offset for place, one in self._behind.items()}, self._broker)
            self._stop_reading()
            self._heard = now
        return begun

    def step(self, seconds: float) -> list[int]:
        """Read on for about so long; the partitions that miss nothing any more. Raises `Unreachable` HW-P302 after two
        minutes of silence.
        """
        if not self._behind:
            return []
        before = {place.partition for place in self._behind}
        until = self._clock.monotonic() + int(seconds * 1_000_000)
        while self._behind:
            if self._reader is None:
                self._reader = self._broker.reader({place: one.offset for place, one in self._behind.items()})
            found = self._reader.fetch(FETCH_MESSAGES, min(FETCH_SECONDS, seconds))
            for item in found:
                self._take(item)
            now = self._clock.monotonic()
            if found:
                self._heard = now
            elif now - self._heard > SILENCE_MICROSECONDS:
                raise self._silent()
            if now >= until:
                break
        if not self._behind:  # until then what lies behind one that is done is read and left: cheaper than a new reader
            self._stop_reading()
        return sorted(before - {place.partition for place in self._behind})

    def percents(self) -> Mapping[int, int]:
        """How much of what each partition missed is remembered again: that of the input that is furthest behind."""
        percents: dict[int, int] = {}
        for place, one in self._behind.items():
            percent = 100 * (one.offset - one.first) // max(1, one.end - one.first)
            percents[place.partition] = min(percent, percents.get(place.partition, 100))
        return percents

    def forget(self, partitions: Iterable[int]) -> None:
        """These are somebody else's now. What is written of them stays, and is gone on with should they come back."""
        numbers = set(partitions)
        gone = [place for place in self._behind if place.partition in numbers]
        for place in gone:
            del self._behind[place]
        if gone:
            self._stop_reading()

    def close(self) -> None:
        """Let go."""
        self._behind.clear()
        self._stop_reading()

    def _take(self, item: Fetched | EndOfPartition) -> None:
        place = TopicPartition(item.topic, item.partition)
        one = self._behind.get(place)
        if one is None:
            return
        if isinstance(item, EndOfPartition):
            if item.offset >= one.end:
                one.offset = max(one.offset, item.offset)
                self._finish(place, one)
            return
        beyond = one.recollection.take(item)
        one.offset = item.offsets[-1] + 1 if beyond is None else beyond
        taken = len(item) if beyond is None else sum(offset < beyond for offset in item.offsets)
        one.records += taken
        one.unwritten += taken
        if beyond is not None or one.offset >= one.end:
            self._finish(place, one)
        elif one.unwritten >= BATCH_RECORDS:
            one.write(place.topic)
            self._show(place, one)

    def _finish(self, place: TopicPartition, one: _Behind) -> None:
        one.write(place.topic)
        self._through[place] = one.offset, one.recollection.closed
        del self._behind[place]
        self._hooks.announce(
            "stage.recalled",
            product=self._product,
            stage=self._stage.name,
            partition=place.partition,
            topic=place.topic,
            records=one.records,
            seconds=(self._clock.monotonic() - one.started) / 1_000_000,
        )

    def _show(self, place: TopicPartition, one: _Behind) -> None:
        now = self._clock.monotonic()
        if now - one.shown >= SHOWN_MICROSECONDS:
            one.shown = now
            self._hooks.announce(
                "stage.restoring",
                product=self._product,
                stage=self._stage.name,
                partition=place.partition,
                entries=one.records,
                left=max(0, one.end - one.offset),
                percent=self.percents()[place.partition],
            )

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _silent(self) -> Unreachable:
        topics = ", ".join(sorted({place.topic for place in self._behind}))
        return Unreachable(
            f"what {self._stage.group} remembers of {topics} could not be read back",
            code="HW-P302",
            detail="its inputs were not read up to what it has committed",
            hint="look whether a transaction hangs in them; the runner tries again by itself",
        )

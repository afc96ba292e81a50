"""State brought back from its changelog in short steps, so that whoever waits for it can do other things in between.

A restore reads to the high watermark, open transactions included, and waits there: one that stops at the last stable
offset misses what was committed behind another writer's open transaction. How far it came is written beside what it
has read: after a kill, or a hand-over and back, only the rest is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from headwater.errors import Unreachable
from headwater.hooks import Hooks
from headwater.ports.protocol import Broker, Reader
from headwater.ports.record import EndOfPartition, Fetched, TopicPartition
from headwater.processing.state_rocksdb import Position, RocksStore
from headwater.processing.steps import TOMBSTONES_KEPT_MS
from headwater.timeline.clock import Clock

BATCH_ENTRIES = 50_000
FETCH_MESSAGES = 10_000
FETCH_SECONDS = 0.2
SHOWN_MICROSECONDS = 1_000_000  # between two words about one partition's progress
TRUSTED_MICROSECONDS = TOMBSTONES_KEPT_MS * 1_000 // 2
SILENCE_MICROSECONDS = 120_000_000  # far above any transaction's timeout; nothing read for so long is an outage


@dataclass(slots=True)
class _Behind:
    """A store on its way: where it began, where it stands, where it must get to, and what is read but not written."""

    store: RocksStore
    first: int
    offset: int
    end: int
    history: str
    before: Mapping[str, int]
    sources: Mapping[str, int]
    at: int
    recalled: Mapping[str, int]
    started: int
    shown: int
    entries: int = 0
    pending: dict[bytes, bytes | None] = field(default_factory=dict)

    def write(self, position: Position) -> None:
        self.store.commit(self.pending.items(), position)
        self.pending.clear()


class Restore:
    """Brings the stores of partitions up to what their changelog holds. One thread uses it.

    A store that reflects more than the group has committed, or more than the changelog holds, or another changelog of
    the same name (a broker that was set up anew), is not of this history: it is wiped and built anew. So is one that is
    behind and was written half as long ago as tombstones are kept: the changelog may not say what was deleted since.
    """

    def __init__(self, broker: Broker, topic: str, *, clock: Clock, hooks: Hooks, names: tuple[str, str]) -> None:
        """`names` are the product's and the stage's, as happenings tell them."""
        self._broker = broker
        self._topic = topic
        self._clock = clock
        self._hooks = hooks
        self._names = names
        self._behind: dict[int, _Behind] = {}
        self._reader: Reader | None = None
        self._heard = 0

    def begin(self, stores: Mapping[int, RocksStore], committed: Mapping[int, Mapping[str, int]]) -> set[int]:
        """Take these on; the partitions that miss something. Those that miss nothing are up to date at once.

        `committed` are the group's offsets: {partition: {source topic: next offset}}.
        """
        places = [TopicPartition(self._topic, partition) for partition in stores]
        ends, starts = self._broker.ends(places), self._broker.starts(places)
        history, now = self._broker.identity(self._topic), self._clock.monotonic()
        begun = set()
        for place in places:
            partition = place.partition
            store, known = stores[partition], committed.get(partition, {})
            wall = self._clock.now()
            offset = max(_start_of(store, known, ends[place], history, wall), starts[place])
            position = store.position
            before, at = (position.sources, position.at) if position is not None else ({}, wall)
            recalled = position.recalled if position is not None else {}
            # A group's offsets expire when nobody has been a member for long: what the store reflects is still known.
            after = {**before, **known}
            behind = _Behind(store, offset, offset, ends[place], history, before, after, at, recalled, now, now)
            if offset >= ends[place]:
                self._finish(partition, behind)
                continue
            self._behind[partition] = behind
            begun.add(partition)
        if begun:
            self._stop_reading()
            self._heard = now
        return begun

    def step(self, seconds: float) -> list[int]:
        """Read on for about so long; the partitions that are up to date now. Raises `Unreachable` HW-P032 after two
        minutes of silence.
        """
        if not self._behind:
            return []
        until = self._clock.monotonic() + int(seconds * 1_000_000)
        done: list[int] = []
        if self._reader is None:
            at = {TopicPartition(self._topic, number): one.offset for number, one in self._behind.items()}
            self._reader = self._broker.reader(at)
        while self._behind:
            found = self._reader.fetch(FETCH_MESSAGES, min(FETCH_SECONDS, seconds))
            done += self._take(found)
            now = self._clock.monotonic()
            if found:
                self._heard = now
            elif now - self._heard > SILENCE_MICROSECONDS:
                raise self._silent()
            if now >= until:
                break
        if not self._behind:
            self._stop_reading()
        return done

    def percents(self) -> Mapping[int, int]:
        """How much of each partition's state has been read of what it missed."""
        return {
            number: 100 * (one.offset - one.first) // max(1, one.end - one.first)
            for number, one in self._behind.items()
        }

    def forget(self, partitions: Iterable[int]) -> None:
        """These are somebody else's now. What is written of them stays, and is gone on with should they come back."""
        gone = [number for number in partitions if self._behind.pop(number, None) is not None]
        if gone:
            self._stop_reading()

    def close(self) -> None:
        """Let go."""
        self._behind.clear()
        self._stop_reading()

    def _take(self, found: Sequence[Fetched | EndOfPartition]) -> list[int]:
        done = []
        for item in found:
            behind = self._behind.get(item.partition)
            if behind is None:
                continue
            if isinstance(item, EndOfPartition):
                if item.offset >= behind.end:
                    self._finish(item.partition, self._behind.pop(item.partition))
                    done.append(item.partition)
                continue
            behind.pending.update(zip(item.keys, item.values, strict=True))  # type: ignore[arg-type]  # all have keys
            behind.entries += len(item)
            behind.offset = item.offsets[-1] + 1
            if len(behind.pending) >= BATCH_ENTRIES:
                # With how far it came, and the sources it came from: the group's are true of the whole only.
                reached = min(behind.offset, behind.end - 1)
                behind.write(Position(reached, behind.before, behind.history, behind.at, behind.recalled))
            self._show(item.partition, behind)
        return done

    def _finish(self, partition: int, behind: _Behind) -> None:
        behind.write(Position(max(behind.first, behind.end), behind.sources, behind.history, recalled=behind.recalled))
        now = self._clock.monotonic()
        product, stage = self._names
        if behind.end > behind.first:
            self._announce(partition, behind, 0)
        self._hooks.announce(
            "stage.restored",
            product=product,
            stage=stage,
            partition=partition,
            entries=behind.entries,
            seconds=(now - behind.started) / 1_000_000,
        )

    def _show(self, partition: int, behind: _Behind) -> None:
        now = self._clock.monotonic()
        if now - behind.shown >= SHOWN_MICROSECONDS:
            behind.shown = now
            self._announce(partition, behind, max(0, behind.end - behind.offset))

    def _announce(self, partition: int, behind: _Behind, left: int) -> None:
        product, stage = self._names
        total = behind.end - behind.first
        self._hooks.announce(
            "stage.restoring",
            product=product,
            stage=stage,
            partition=partition,
            entries=behind.entries,
            left=left,
            percent=100 * (total - left) // total,
        )

    def _stop_reading(self) -> None:
        """Another reader goes on from where each store stands: what is read and not written yet is kept."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _silent(self) -> Unreachable:
        return Unreachable(
            f"the changelog {self._topic} could not be read to its end",
            code="HW-P032",
            hint="look whether a transaction hangs in it",
        )


def _start_of(store: RocksStore, committed: Mapping[str, int], end: int, history: str, now: int) -> int:
    position = store.position
    if position is not None:
        ahead = any(offset > committed.get(topic, offset) for topic, offset in position.sources.items())
        old = position.changelog < end and now - position.at > TRUSTED_MICROSECONDS
        if not ahead and not old and position.changelog <= end and position.history == history:
            return position.changelog
    store.wipe()
    return 0

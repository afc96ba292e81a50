"""A sampling read_committed reader: what is visible when. It finds torn transactions (C5), stalls and recoveries (C10).

It asks for the last stable offset of every partition, many times a second. Once the records are known, each sample is
the set of records that a reader could see at that moment.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from confluent_kafka import IsolationLevel as Isolation
from confluent_kafka import KafkaException
from tests.chaos.checkers import Entry, Seen
from tests.chaos.topics import ends, places_of

EVERY_SECONDS = 0.025
# A commit reaches the partitions one after the other, so a reader of all may see a part of it for a moment. Where the
# machine is busy the moment is longer, but then samples are fewer too: both must be many.
TORN_SECONDS, TORN_SAMPLES = 1.0, 20


@dataclass
class Watch:
    """Samples in a thread, from `with` to its end."""

    bootstrap: str
    topics: Sequence[str]
    partitions: int
    times: list[float] = field(default_factory=list)
    stable: list[dict[tuple[str, int], int]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _sample(self) -> None:
        places = places_of(self.topics, self.partitions)
        while not self._stopping.wait(EVERY_SECONDS):
            try:
                sample = ends(self.bootstrap, places, Isolation.READ_COMMITTED)
            except KafkaException:
                continue  # the broker may be stopped for a while: nobody reads then
            self.times.append(time.monotonic())
            self.stable.append(sample)


class Sight:
    """The samples of a watch over the records that there are."""

    def __init__(self, watch: Watch, seen: Sequence[Seen]) -> None:
        self._times = watch.times
        self._ends = {
            place: [sample[place] for sample in watch.stable] for place in (watch.stable[0] if watch.stable else {})
        }
        offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
        for one in seen:
            offsets[one.topic, one.partition].append(one.offset)
        self._visible = [
            sum(bisect_left(offsets[place], end) for place, end in sample.items()) for sample in watch.stable
        ]

    def recoveries(self, restarts: Sequence[float]) -> list[float]:
        """Seconds from each restart to the first record after it; those cut short by the next restart are left out."""
        found = []
        for at, until in zip(restarts, [*restarts[1:], float("inf")], strict=True):
            start = bisect_right(self._times, at)
            before = self._visible[start - 1] if start else 0
            after = next((n for n in range(start, len(self._times)) if self._visible[n] > before), None)
            if after is not None and self._times[after] < until:
                found.append(self._times[after] - at)
        return found

    def longest_stall(self, from_: float, to: float) -> float:
        """The longest time in which a reader saw nothing new."""
        last, longest, count = from_, 0.0, 0
        for at, visible in zip(self._times, self._visible, strict=True):
            if visible > count and from_ <= at <= to:
                longest, last = max(longest, at - last), at
            count = max(count, visible)
        return longest

    def torn(self, seen: Sequence[Seen], ledger: Sequence[Entry], cap: int) -> int:
        """Transactions of fewer rows than the cap of which a reader saw a part: for a while, or across a marker."""
        assert self._times, "the watch has no sample, so nothing can be said of what was visible when"
        xids = {entry.row_id: entry.xid for entry in ledger}
        sizes: dict[str, int] = defaultdict(int)
        for entry in ledger:
            sizes[entry.xid] += 1
        parts: dict[str, list[Seen]] = defaultdict(list)
        for one in seen:
            if one.row_id in xids and sizes[xids[one.row_id]] < cap:
                parts[xids[one.row_id]].append(one)
        return sum(self._partly(rows) or _split(rows) for rows in parts.values())

    def _partly(self, rows: Sequence[Seen]) -> bool:
        appeared = [bisect_right(self._ends[one.topic, one.partition], one.offset) for one in rows]
        first, last = min(appeared, default=0), max(appeared, default=0)
        if last >= len(self._times) or last - first < TORN_SAMPLES:
            return False
        return self._times[last] - self._times[first] > TORN_SECONDS


def _split(rows: Sequence[Seen]) -> bool:
    """Whether something that no reader sees, a marker, stands between the rows of a transaction in a partition."""
    last: dict[tuple[str, int], int] = {}
    for one in rows:
        place = (one.topic, one.partition)
        if place in last and one.offset != last[place] + 1:
            return True
        last[place] = one.offset
    return False


def percentiles(values: Sequence[float]) -> Mapping[str, float]:
    """p50, p95 and the greatest, in milliseconds.

    >>> percentiles([0.1, 0.2, 0.3])
    {'n': 3, 'p50_ms': 200.0, 'p95_ms': 300.0, 'max_ms': 300.0}
    """
    if not values:
        return {"n": 0, "p50_ms": 0.0, "p95_ms": 0.0, "max_ms": 0.0}
    rising = sorted(values)
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "max_ms": 1.0}
    at = {name: rising[min(len(rising) - 1, int(len(rising) * share))] for name, share in shares.items()}
    return {"n": len(rising), **{name: round(value * 1_000, 1) for name, value in at.items()}}

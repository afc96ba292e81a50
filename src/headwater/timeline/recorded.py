"""Recorded time at a source: one stamp per transaction, never going back over all partitions of that source.

After the source's clock stepped back the stamp goes on at half the clock's pace until the clock has caught up: a frozen
stamp would hold a tick open for as long as the step (`docs/concepts/time.md`, source time).
"""

from __future__ import annotations

from dataclasses import dataclass

from headwater.timeline.instant import Instant


@dataclass(frozen=True, slots=True)
class Stamp:
    """The last stamp given, the clock's reading it was given at, and the last mark. Part of the relay's position.

    >>> stamp = Stamp.start().next(1_000)
    >>> stamp.value, stamp.next(1_500).value
    (1000, 1500)
    >>> back = Stamp.start().next(10_000).next(4_000)      # the clock stepped back by 6,000
    >>> back.value, back.next(5_000).value                 # goes on at half pace
    (10000, 10500)
    >>> Stamp.start().next(1_000).mark(2_000).next(1_500).value   # above every mark
    2001
    """

    value: Instant
    clock: Instant
    marked: Instant

    @classmethod
    def start(cls) -> Stamp:
        """Before the first transaction of a source."""
        return cls(Instant(-1), Instant(-1), Instant(-1))

    def next(self, committed_at: int) -> Stamp:
        """The stamp of a transaction that committed at this reading of the source's clock."""
        if committed_at >= self.value:
            value = committed_at
        else:
            value = self.value + max(0, committed_at - self.clock) // 2
        return Stamp(Instant(max(value, self.value, self.marked + 1)), Instant(committed_at), self.marked)

    def mark(self, clock: int) -> Stamp:
        """After a progress mark at this reading of the source's clock; `marked` says what the mark may promise."""
        moved = self.next(clock)
        return Stamp(moved.value, moved.clock, moved.value)

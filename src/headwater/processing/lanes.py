"""Lanes of a task's inputs: what waits for its tick, how far each lane has come, where to read on after a crash.

A tick closes when every lane has shown a record of a later tick or a mark at its end: nothing else closes one. A lane
that was not heard of since the task began has come nowhere, whatever it had shown before a crash.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import Fault

NEVER = -(1 << 62)  # a tick before all ticks


@dataclass(slots=True)
class Lane:
    """What one writer wrote into one partition."""

    topic: str
    # The ticks that wait, oldest first: the offset of the first record, and all records in their order.
    waiting: dict[int, tuple[int, list[Any]]] = field(default_factory=dict)
    # The last tick that this lane is known to have passed.
    passed: int = NEVER
    # The offset of the message that said so: read again after a crash, it says so again.
    passed_offset: int = -1
    # The last tick that a mark promised to be complete, and the last place of a record: neither may be undercut.
    marked: int = NEVER
    last: tuple[int, int] = (NEVER, 0)

    def take(self, offset: int, tick: int, place: tuple[int, int], item: Any) -> None:
        """A record of a tick that is not closed yet."""
        if tick <= self.marked:
            raise Fault(
                "a record came after a mark had promised that none would",
                code="HW-P060",
                detail=f"topic {self.topic}, offset {offset}: its tick was closed, so it cannot be taken in",
                hint="the writer of this topic is at fault; keep the topic as it is and report it",
            )
        if place <= self.last:
            raise Fault(
                "a lane went back",
                code="HW-P061",
                detail=f"topic {self.topic}, offset {offset}: recorded time never goes back, and no place comes twice",
                hint="the writer of this topic is at fault; keep the topic as it is and report it",
            )
        self.last = place
        entry = self.waiting.get(tick)
        if entry is None:
            self.waiting[tick] = (offset, [item])
            if tick - 1 > self.passed:
                self.passed, self.passed_offset = tick - 1, offset
        else:
            entry[1].append(item)

    def mark(self, offset: int, tick: int) -> None:
        """Nothing of this tick or an earlier one follows."""
        self.marked = max(self.marked, tick)
        if tick > self.passed:
            self.passed, self.passed_offset = tick, offset

    def resume(self, closed: int) -> int | None:
        """The offset from which this lane must be read after a crash; None where it holds nothing back."""
        offsets = [offset for offset, _ in self.waiting.values()][:1]
        if self.passed > closed and self.passed_offset >= 0:
            offsets.append(self.passed_offset)
        return min(offsets, default=None)


def frontier_of(lanes: Iterable[Lane]) -> int:
    """The last tick that every lane has passed: it can close, and all before it."""
    return min(lane.passed for lane in lanes)


@dataclass(slots=True)
class Position:
    """How far a topic's partition was read, and the letters that wait until a commit passes them."""

    next_offset: int
    letters: list[tuple[int, Any]] = field(default_factory=list)

    def release(self, offset: int) -> list[Any]:
        """The letters before an offset, which is about to be committed."""
        ready = [letter for at, letter in self.letters if at < offset]
        self.letters = [entry for entry in self.letters if entry[0] >= offset]
        return ready

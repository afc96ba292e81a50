"""Housekeeping of an outbox: partitions made ahead, old ones dropped once all is published, and a look at what waits.

Nothing here is needed for a row to be published. It runs beside the relay, over a connection of its own, and what it
may not or cannot do it leaves for the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from headwater.errors import CallerFault, HeadwaterError
from headwater.hooks import Hooks
from headwater.outbox.position import Position
from headwater.outbox.store import SlotState
from headwater.timeline.clock import Clock

LOOK_EVERY = 10_000_000  # as the relay's heartbeat
TIDY_EVERY = 3_600_000_000
ALARM_BYTES_DEFAULT = 1024**3  # where the server itself states no limit; else half of that
_PATIENCE = 100_000

Outcome = Literal["due", "done", "busy", "not published yet", "rows of it are in the partition for the rest"]


@dataclass(frozen=True, slots=True)
class Pulse:
    """What waits and what it costs. `waiting` and `oldest_at` are None where the table is too slow to ask."""

    now: int
    slot: SlotState | None
    waiting: int | None
    oldest_at: int | None
    partitions: int


@dataclass(frozen=True, slots=True)
class Partitions:
    """The days that have a partition, the days from today on that should have one, and the days that are old."""

    there: tuple[str, ...]
    wanted: tuple[str, ...]
    old: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chore:
    """One thing that was due, and what came of it."""

    text: str
    outcome: Outcome


class Housekeeper(Protocol):
    """Keeps one outbox table in order. Raises `CallerFault` HW-O086 or HW-O087 where it cannot be or may not."""

    def look(self, published_at: int) -> Pulse:
        """What was created since the newest published commit, and what the slot holds back."""

    def partitions(self, retention: int) -> Partitions:
        """What there is, by the database's clock."""

    def make(self, day: str) -> Outcome:
        """Make the partition of a day; no writer waits for it."""

    def drop(self, day: str, published: Callable[[], int]) -> Outcome:
        """Drop the partition of a day, if all of its rows lie before what is `published`: a log position."""

    def close(self) -> None:
        """Let go."""


def tidy(keeper: Housekeeper, published: Callable[[], int], *, retention: int, dry: bool = False) -> Iterator[Chore]:
    """Do what is due, one chore after the other."""
    partitions = keeper.partitions(retention)
    for day in partitions.wanted:
        if day not in partitions.there:
            yield Chore(f"make the partition of {day}", "due" if dry else keeper.make(day))
    for day in partitions.old:
        yield Chore(f"drop the partition of {day}", "due" if dry else keeper.drop(day, published))


class Housekeeping:
    """Beside one relay, in a thread of its own: tells what waits, raises the alarm, and tidies each hour."""

    def __init__(
        self,
        source: str,
        keeper: Callable[[], Housekeeper],
        position: Callable[[], Position | None],
        *,
        clock: Clock,
        hooks: Hooks,
        retention: int,
        alarm_bytes: int | None = None,
    ) -> None:
        self._source = source
        self._keeper = keeper
        self._read_position = position
        self._clock = clock
        self._hooks = hooks
        self._retention = retention
        self._alarm_bytes = alarm_bytes
        self._alarmed = False
        self._said = ""
        self._position: Position | None = None

    def run(self, stopping: Callable[[], bool]) -> None:
        """Until told to stop. What is away is tried again: the relay says so already."""
        tidy_at: int = self._clock.monotonic() + LOOK_EVERY
        look_at: int = self._clock.monotonic()
        while not stopping():
            now = self._clock.monotonic()
            if now >= look_at:
                look_at = now + LOOK_EVERY
                if self.once(tidying=now >= tidy_at) and now >= tidy_at:
                    tidy_at = now + TIDY_EVERY
            self._clock.sleep(_PATIENCE)

    def once(self, *, tidying: bool) -> bool:
        """One look, and one round; whether it came to its end."""
        try:
            keeper = self._keeper()
            try:
                self._look(keeper)
                if tidying:
                    for chore in tidy(keeper, self._published, retention=self._retention):
                        self._hooks.announce(
                            "relay.tidied", source=self._source, chore=chore.text, outcome=chore.outcome
                        )
            finally:
                keeper.close()
        except CallerFault as error:
            if self._said != error.code:
                self._said = error.code
                self._hooks.announce(
                    "relay.untidy", source=self._source, code=error.code, reason=error.message, hint=error.hint
                )
            return True
        except HeadwaterError:
            return False
        return True

    def _look(self, keeper: Housekeeper) -> None:
        position = self._newest_position()
        pulse = keeper.look(position.stamp.clock if position is not None else 0)
        slot, waiting = pulse.slot, pulse.waiting
        published_at = position.stamp.clock if position is not None else pulse.now
        self._hooks.announce(
            "relay.pulse",
            source=self._source,
            readable=int(slot is not None and not slot.lost),
            retained_bytes=slot.retained if slot is not None else 0,
            waiting_rows=waiting,
            waiting_seconds=None if waiting is None else max(0, pulse.now - published_at) / 1e6 if waiting else 0.0,
            oldest_seconds=None if waiting is None else max(0, pulse.now - (pulse.oldest_at or pulse.now)) / 1e6,
            partitions=pulse.partitions,
        )
        if slot is None:
            return
        alarm = self._alarm_bytes or (slot.limit // 2 if slot.limit else ALARM_BYTES_DEFAULT)
        if slot.retained >= alarm and not self._alarmed:
            self._hooks.announce(
                "relay.retaining",
                source=self._source,
                retained_bytes=slot.retained,
                alarm_bytes=alarm,
                limit_bytes=slot.limit,
            )
        # Told again only once it was well below: else a slot at the limit would tell each time.
        self._alarmed = slot.retained >= alarm or (self._alarmed and slot.retained >= alarm // 2)

    def _newest_position(self) -> Position | None:
        # Where the broker is away, what was known last still tells what waits at most.
        with suppress(HeadwaterError):
            self._position = self._read_position() or self._position
        return self._position

    def _published(self) -> int:
        position = self._read_position()
        return position.end_lsn if position is not None and position.lane == "native" else 0

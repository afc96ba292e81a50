"""A watch over a Faust application, from outside its loop: a silent stop raises an alarm and ends the process.

Four things may stop without an error: the loop, held by what never gives it back; the group, which Faust's client was
seen to give up for good while the broker was not sure of itself; a stage, of whose input nothing comes though there is
more; and an agent of the user's own, whose oldest message is never acknowledged. None of them can be mended from
within, since what would mend it may be what hangs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headwater.errors import HeadwaterError, Unreachable
from headwater.hooks import Hooks
from headwater.ports.record import TopicPartition
from headwater.timeline.clock import Clock

STALLED_EXIT = 75  # sysexits' "temporary failure": whoever started the process starts it again
LOOK_SECONDS = 1.0
NOWHERE = TopicPartition("", 0)


@dataclass(slots=True)
class Seen:
    """What the watch looks at, each replaced whole. `beat` is when the loop answered last, by the monotonic clock.

    `oldest` are the oldest messages that the user's own agents have not acknowledged, by partition.
    """

    beat: int
    oldest: Mapping[TopicPartition, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watched:
    """An application under watch. `ask` makes its loop write into `seen`; `shared` is whether its group has said who
    has which partitions, `stands` how far its stages came, and `ends` how far they could. `stopped` is called once,
    with the error that tells what stands.
    """

    product: str
    seen: Seen
    ask: Callable[[], None]
    shared: Callable[[], bool]
    stands: Callable[[], Mapping[TopicPartition, int]]
    ends: Callable[[list[TopicPartition]], Mapping[TopicPartition, int]]
    stopped: Callable[[HeadwaterError], None]


class FaustWatch:
    """Looks about once a second."""

    def __init__(self, watched: Watched, *, hooks: Hooks, clock: Clock, stall_seconds: int) -> None:
        self._product, self._seen, self._watched = watched.product, watched.seen, watched
        self._hooks = hooks
        self._clock = clock
        self._limit = stall_seconds * 1_000_000
        self._since: dict[tuple[TopicPartition, str], tuple[int, int]] = {}  # where it stood, and since when
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faust-watch", daemon=True)

    def start(self) -> None:
        """In a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()

    def look(self) -> HeadwaterError | None:
        """Once; the error, announced as `faust.stalled`, where something stands for too long."""
        self._watched.ask()
        now = self._clock.monotonic()
        silent = now - self._seen.beat
        if silent >= self._limit:
            return self._stall("loop", NOWHERE, 0, silent)
        stands = dict(self._watched.stands())
        try:
            ends = self._watched.ends(list(stands)) if stands else {}
        except HeadwaterError:
            return None  # a broker that is away is no fault of the application
        lags = {place: max(0, ends[place] - offset) for place, offset in stands.items() if place in ends}
        for topic in {place.topic for place in lags}:
            records = sum(lag for place, lag in lags.items() if place.topic == topic)
            self._hooks.announce("faust.lag", product=self._product, topic=topic, records=records)
        waiting = {(place, "stage"): stands[place] for place, lag in lags.items() if lag}
        waiting |= {(place, "agent"): offset for place, offset in self._seen.oldest.items()}
        waiting |= {} if self._watched.shared() else {(NOWHERE, "group"): 0}
        before, self._since = self._since, {}
        for about, offset in waiting.items():
            at, since = before.get(about, (offset, now))
            self._since[about] = (offset, since if at == offset else now)
            stood = now - self._since[about][1]
            if stood >= self._limit:
                place, what = about
                return self._stall(what, place, lags.get(place, 0), stood)
        return None

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            error = self.look()
            if error is not None and not self._over.is_set():
                self._watched.stopped(error)
                return

    def _stall(self, what: str, place: TopicPartition, lag: int, stood: int) -> HeadwaterError:
        seconds = stood / 1_000_000
        where = f"{place.topic} [{place.partition}]" if place.topic else ""
        self._hooks.announce(
            "faust.stalled", product=self._product, what=what, where=where, lag=lag, seconds=seconds, code="HW-P216"
        )
        said = {
            "loop": "Faust's loop does not answer: something in it never gives control back",
            "group": "its group does not say who has which partitions",
            "stage": f"nothing comes of {where} though {lag} offsets wait",
            "agent": f"an agent of your own holds the oldest message of {where} and does not acknowledge it",
        }[what]
        return Unreachable(
            f"{self._product} stands still for {seconds:.0f} s: {said}",
            code="HW-P216",
            detail="the process ends, so that another can go on from the last commit; nothing is lost",
            hint="headwater run starts it again by itself; look at the agents and timers of your own first",
        )

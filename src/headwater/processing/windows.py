"""Valid-time intervals that an aggregate folds over: a window is a value, which makes the function that finds them.

Intervals are half-open and lie side by side, so any two of one window are equal or disjoint (a grid). Those of a
hopping window too: a fact holds for the last hop of the time that it measures, where with all of that time as its
interval neighbours would override each other, and what a reader sees would hang on which was recorded last.
Of a session window no instant has an interval by itself: its sessions follow from all rows of a key, and are disjoint
at any one moment of recorded time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from headwater.errors import CallerFault
from headwater.timeline.instant import Duration, Instant

WHOLE_START = int(Instant.parse("0001-01-01T00:00:00Z"))  # the first instant that ISO 8601 text can say
Unit = Literal["hour", "day", "month"]
HOPS_LIMIT = 1_440  # intervals that one row counts in: each is a cell that the row changes
_CACHE_LIMIT = 4_096


@dataclass(frozen=True, slots=True)
class Window:
    """How an instant finds its interval. Made by `tumbling`, `hopping`, `calendar`, `session` and `whole`.

    `length` is in microseconds (tumbling), `unit` and `zone` say a calendar's; both empty: all of time. An instant
    counts in `hops` intervals: its own and those of the same length that follow it (more than one: hopping). With a
    `gap`, in microseconds, intervals are those of sessions, which `operators/sessions` finds.
    """

    length: int = 0
    unit: str = ""
    zone: str = ""
    hops: int = 1
    gap: int = field(default=0, repr=False)  # what other windows' state is laid out by says nothing of it

    def intervals(self) -> Callable[[int], tuple[int, int | None]]:
        """A function from an instant to the interval it lies in: start and end, the end None where it is open."""
        assert not self.gap, "a session's interval follows from all rows of its key"
        length = self.length
        if length:
            return lambda at: ((start := at // length * length), start + length)
        if not self.unit:
            return lambda at: (WHOLE_START, None)
        return _calendar_intervals(self.unit, ZoneInfo(self.zone))

    def text(self) -> str:
        """As plans show it."""
        if self.gap:
            return f"session {Duration(self.gap).text()}"
        if self.hops > 1:
            return f"hopping {Duration(self.length * self.hops).text()} every {Duration(self.length).text()}"
        if self.length:
            return f"tumbling {Duration(self.length).text()}"
        return f"calendar {self.unit} {self.zone}" if self.unit else "whole"


def tumbling(length: str) -> Window:
    """Intervals of one length, side by side from the Unix epoch: "1h", "15min", "30s".

    >>> start, end = tumbling("1h").intervals()(Instant.parse("2013-01-05T14:05:00Z"))
    >>> Instant(start).iso(), Instant(end).iso()
    ('2013-01-05T14:00:00.000000Z', '2013-01-05T15:00:00.000000Z')
    """
    duration = Duration.parse(length)
    if duration <= 0:
        raise CallerFault("a window has a length above zero", code="HW-P014", hint='for example tumbling("1h")')
    return Window(length=int(duration))


def hopping(length: str, *, every: str) -> Window:
    """What the last `length` held, said anew `every` so often: `hopping("1h", every="15min")`.

    A fact holds for one step of `every`, and its measures are over the `length` that ends with that step; so facts lie
    side by side, and at any instant one of them holds. A row counts in length / every of them.

    >>> window = hopping("1h", every="15min")
    >>> start, end = window.intervals()(Instant.parse("2013-01-05T14:05:00Z"))
    >>> Instant(start).iso()[11:16], Instant(end).iso()[11:16], window.hops
    ('14:00', '14:15', 4)
    """
    whole_length, step = Duration.parse(length), Duration.parse(every)
    if step <= 0 or whole_length < step or whole_length % step:
        raise CallerFault(
            f"a window of {length} does not hop every {every}",
            code="HW-P120",
            detail="its length is a whole number of steps, one or more, so that each row counts in as many intervals",
            hint='for example hopping("1h", every="15min")',
        )
    hops = int(whole_length // step)
    if hops > HOPS_LIMIT:
        raise CallerFault(
            f"each row would count in {hops} intervals",
            code="HW-P121",
            detail=f"a row changes every interval that it counts in; {HOPS_LIMIT} are the most",
            hint="take a longer step",
        )
    return Window(length=int(step), hops=hops)


def calendar(unit: Unit, *, zone: str = "UTC") -> Window:
    """Hours, days or months of a time zone; a day of 23 or 25 hours is one interval.

    >>> start, end = calendar("day", zone="America/New_York").intervals()(Instant.parse("2013-03-10T12:00:00Z"))
    >>> (end - start) // 3_600_000_000
    23
    """
    if unit not in ("hour", "day", "month"):
        raise CallerFault(f"there is no calendar unit '{unit}'", code="HW-P014", hint="hour, day or month")
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise CallerFault(
            f"there is no time zone '{zone[:40]}'", code="HW-P015", hint="for example UTC or America/New_York"
        ) from None
    if zone == "UTC" and unit != "month":
        return Window(length=3_600_000_000 if unit == "hour" else 86_400_000_000)
    return Window(unit=unit, zone=zone)


def session(gap: str) -> Window:
    """Runs of a key's events with less than `gap` from each to the next: `session("30min")`.

    A session holds from its first event to `gap` after its last one. An event that comes late may extend a session or
    merge two; one that is moved or retracted may shrink or split one: intervals that are no more are retracted.

    >>> session("30min").text()
    'session 30min'
    """
    duration = Duration.parse(gap)
    if duration <= 0:
        raise CallerFault("a session has a gap above zero", code="HW-P014", hint='for example session("30min")')
    return Window(gap=int(duration))


def whole() -> Window:
    """One interval for all of time, open at its end.

    >>> whole().intervals()(5)
    (-62135596800000000, None)
    """
    return Window()


def _calendar_intervals(unit: str, zone: ZoneInfo) -> Callable[[int], tuple[int, int | None]]:
    # Finding an interval in a zone costs microseconds; neighbouring events share theirs, and so the last ones are kept.
    known: dict[int, tuple[int, int]] = {}

    def interval(at: int) -> tuple[int, int | None]:
        # No zone changes its offset twice within a quarter of an hour, and none is off by less than that.
        quarter = at // 900_000_000
        found = known.get(quarter)
        if found is not None and found[0] <= at < found[1]:
            return found
        found = _hour(at, zone) if unit == "hour" else _days(at, unit, zone)
        if len(known) >= _CACHE_LIMIT:
            known.clear()
        known[quarter] = found
        return found

    return interval


def _hour(at: int, zone: ZoneInfo) -> tuple[int, int]:
    shift = _offset(at, zone)
    start = (at + shift) // 3_600_000_000 * 3_600_000_000 - shift
    end = start + 3_600_000_000
    # Where clocks are set by less than an hour (Lord Howe) two grids meet: the hour is cut where they do.
    if _offset(start, zone) != shift:
        start = _change(start, at, zone)
    if _offset(end - 1, zone) != shift:
        end = _change(at, end - 1, zone)
    return start, end


def _offset(at: int, zone: ZoneInfo) -> int:
    offset = Instant(at).to_datetime().astimezone(zone).utcoffset() or timedelta(0)
    return offset // timedelta(microseconds=1)


def _change(before: int, after: int, zone: ZoneInfo) -> int:
    """The first instant with the offset of `after`, where `before` has another."""
    wanted = _offset(after, zone)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(middle, zone) == wanted:
            after = middle
        else:
            before = middle
    return after


def _days(at: int, unit: str, zone: ZoneInfo) -> tuple[int, int]:
    local = Instant(at).to_datetime().astimezone(zone)
    first = datetime(local.year, local.month, local.day if unit == "day" else 1)  # noqa: DTZ001 - made local below
    following = _following(first, unit)
    start, end = _midnight(first, zone), _midnight(following, zone)
    while at >= end:  # a clock set back over midnight shows a day again that has ended
        following = _following(following, unit)
        start, end = end, _midnight(following, zone)
    return start, end


def _following(first: datetime, unit: str) -> datetime:
    if unit == "day":
        return first + timedelta(days=1)
    return datetime(first.year + first.month // 12, first.month % 12 + 1, 1)  # noqa: DTZ001 - made local by the caller


def _midnight(local: datetime, zone: ZoneInfo) -> int:
    """One that comes twice counts when it first comes; one that is skipped, at the instant that skips it."""
    found = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    at = int(Instant.from_datetime(found))
    if found.astimezone(zone).replace(tzinfo=None) == local:
        return at
    return _change(int(Instant.from_datetime(local.replace(tzinfo=zone, fold=1))), at, zone)

"""Windows: every instant has one interval, and intervals lie side by side."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import CallerFault
from headwater.processing.windows import Window, calendar, hopping, tumbling, whole
from headwater.timeline.instant import Instant

WINDOWS = [
    tumbling("1h"),
    tumbling("7s"),
    hopping("1h", every="15min"),
    calendar("hour", zone="Asia/Kathmandu"),
    calendar("hour", zone="Australia/Lord_Howe"),
    calendar("day"),
    calendar("day", zone="America/New_York"),
    calendar("day", zone="Pacific/Apia"),
    calendar("day", zone="America/St_Johns"),
    calendar("month"),
    calendar("month", zone="Europe/Berlin"),
]
INSTANTS = st.integers(0, 2_000_000_000_000_000)


@pytest.mark.parametrize("window", WINDOWS, ids=Window.text)
def test_an_interval_holds_its_instant_and_its_bounds_belong_to_neighbours(window: Window) -> None:
    @given(INSTANTS)
    def holds(at: int) -> None:
        interval = window.intervals()
        start, end = interval(at)
        assert end is not None and start <= at < end
        assert interval(start) == (start, end) == interval(end - 1)
        assert interval(end)[0] == end and interval(start - 1)[1] == start

    holds()


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "America/Sao_Paulo"])
def test_a_day_is_that_of_the_zone(zone: str) -> None:
    @given(INSTANTS)
    def holds(at: int) -> None:
        start = calendar("day", zone=zone).intervals()(at)[0]
        local = Instant(at).to_datetime().astimezone(ZoneInfo(zone))
        assert Instant(start).to_datetime().astimezone(ZoneInfo(zone)).date() == local.date()

    holds()


def test_a_month_is_that_of_the_calendar() -> None:
    at = Instant.from_datetime(datetime(2013, 2, 28, 23, 59, 59, tzinfo=UTC))
    start, end = calendar("month").intervals()(at)
    assert (Instant(start).iso()[:10], Instant(end or 0).iso()[:10]) == ("2013-02-01", "2013-03-01")


def test_hours_meet_where_a_clock_is_set_by_half_an_hour() -> None:
    """Lord Howe, 2013-10-05: at 15:30 UTC its clocks went from 02:00 to 02:30."""
    interval = calendar("hour", zone="Australia/Lord_Howe").intervals()
    change = Instant.parse("2013-10-05T15:30:00Z")
    assert interval(change - 1) == (change - 3_600_000_000, change)
    assert interval(change) == (change, change + 1_800_000_000)


SET_OVER_MIDNIGHT = [
    ("America/St_Johns", "2009-11-01T02:31:00Z", "2009-11-01T02:30:00Z"),  # from 00:01 back to 23:01
    ("America/Toronto", "1919-03-31T04:30:00Z", "1919-03-31T04:30:00Z"),  # from 23:30 to 00:30
    ("America/Juneau", "1867-10-19T00:31:13Z", "1867-10-18T08:57:41Z"),  # by a day back
    ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z"),  # by a day ahead
]


@pytest.mark.parametrize(("zone", "change", "begins"), SET_OVER_MIDNIGHT)
@pytest.mark.parametrize("unit", ["hour", "day", "month"])
def test_a_clock_set_over_midnight_leaves_no_instant_without_its_interval(
    zone: str, change: str, begins: str, unit: Literal["hour", "day", "month"]
) -> None:
    """However many were looked up before: what a window says of an instant hangs on nothing else."""
    window, at = calendar(unit, zone=zone), int(Instant.parse(change))
    instants = [at + minutes * 60_000_000 for minutes in range(-1_500, 1_500, 7)] + [at - 1, at]
    shared = window.intervals()
    for instant in sorted(instants):
        start, end = shared(instant)
        assert end is not None and start <= instant < end
        assert window.intervals()(instant) == (start, end) == window.intervals()(end - 1)
        assert shared(start) == (start, end) and shared(end)[0] == end
    if unit == "day":
        assert shared(at)[0] == Instant.parse(begins)


def test_a_window_that_hops_by_its_own_length_tumbles() -> None:
    assert hopping("1h", every="1h") == tumbling("1h")
    assert hopping("1h", every="15min").text() == "hopping 1h every 15min"


def test_the_whole_of_time_is_open() -> None:
    assert whole().intervals()(5)[1] is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: tumbling("0s"),
        lambda: tumbling("an hour"),
        lambda: hopping("1h", every="25min"),
        lambda: hopping("15min", every="1h"),
        lambda: hopping("1h", every="0s"),
        lambda: hopping("1d", every="1s"),
        lambda: calendar("week"),
        lambda: calendar("day", zone="Moon"),
    ],  # type: ignore[arg-type]
)
def test_windows_that_make_no_sense_are_refused(make: object) -> None:
    with pytest.raises(CallerFault):
        make()  # type: ignore[operator]

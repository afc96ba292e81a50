"""Windows: every instant has one interval, and intervals lie side by side."""

from __future__ import annotations

from datetime import UTC, datetime
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

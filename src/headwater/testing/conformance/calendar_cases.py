"""Folds over hours, days and months of a calendar, each with its history and its answer by the oracle.

Events occur beside the borders of days and months in New York, over the change to its summer time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from headwater.processing.flow import Stream, count, count_distinct, maximum, minimum
from headwater.processing.windows import Window, calendar
from headwater.testing.conformance.runner_cases import DEPARTURES, Case, Histories, small
from headwater.testing.harness import product
from headwater.testing.oracles import Record, Snapshot, aggregate_as_of, events_as_of
from headwater.testing.strategies import event_histories

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
BORDERS = (
    datetime(2013, 2, 28, 23, 30, tzinfo=UTC),
    datetime(2013, 3, 1, 4, 59, 59, 999_999, tzinfo=UTC),
    datetime(2013, 3, 1, 5, tzinfo=UTC),
    datetime(2013, 3, 10, 5, tzinfo=UTC),
    datetime(2013, 3, 10, 5, 40, tzinfo=UTC),
    datetime(2013, 3, 11, 3, 59, 59, 999_999, tzinfo=UTC),
    datetime(2013, 3, 11, 4, tzinfo=UTC),
)
TEXTS = ("N1", "\ufffd", "\U0001f6eb", None)  # of the last two texts UTF-16 has the other order
MEASURES = ("flights", "planes", "delays", "least", "most")
FIELDS = {
    "origin": "string",
    "flights": "long",
    "planes": "long",
    "delays": "long",
    "least": ["null", "string"],
    "most": ["null", "string"],
}

Interval = Callable[[datetime], tuple[datetime, datetime]]


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _hour(at: datetime) -> tuple[datetime, datetime]:
    start = at.replace(minute=0, second=0, microsecond=0)
    return start, start + timedelta(hours=1)


def _day_there(at: datetime) -> tuple[datetime, datetime]:
    day = at.astimezone(NEW_YORK).date()
    start, end = (datetime(one.year, one.month, one.day, tzinfo=NEW_YORK) for one in (day, day + timedelta(days=1)))
    return start.astimezone(UTC), end.astimezone(UTC)


def _month(at: datetime) -> tuple[datetime, datetime]:
    start = datetime(at.year, at.month, 1, tzinfo=UTC)
    return start, datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)


def _measured(members: list[Record]) -> tuple[Any, ...]:
    planes = {event["tailnum"] for event in members} - {None}
    delays = {event["delay"] for event in members} - {None}
    return len(members), len(planes), len(delays), min(planes, default=None), max(planes, default=None)


def _snapshot(interval: Interval) -> Callable[[Histories, int], Snapshot]:
    def within(event: Record) -> tuple[int, int]:
        start, end = interval(EPOCH + timedelta(microseconds=event["occurred_at"]))
        return _micros(start), _micros(end)

    def snapshot(histories: Histories, at: int) -> Snapshot:
        folded = aggregate_as_of(
            events_as_of(histories[DEPARTURES.topic], at),
            group=lambda event: (event["origin"],),
            interval=within,
            value=_measured,
        )
        return {
            ((origin,), start, end): {
                "origin": origin,
                "valid_from": start,
                "valid_to": end,
                **dict(zip(MEASURES, value, strict=True)),
            }
            for ((origin,), start, end), value in folded.items()
        }

    return snapshot


def _flow(window: Window) -> Callable[[Stream], Stream]:
    return lambda stream: stream.aggregate(
        by=["origin"],
        window=window,
        flights=count(),
        planes=count_distinct("tailnum"),
        delays=count_distinct("delay"),
        least=minimum("tailnum"),
        most=maximum("tailnum"),
    )


bordering = event_histories(
    {
        "origin": st.sampled_from(["JFK", "LGA"]),
        "tailnum": st.sampled_from(TEXTS),
        "delay": st.one_of(st.none(), small),
        "number": small,
    },
    key="flight_id",
    occurred=st.sampled_from([_micros(moment) for moment in BORDERS]),
)


def _case(name: str, topic: str, window: Window, interval: Interval) -> Case:
    output = product(f"airports.{topic}", shape="fact", key=["origin"], fields=FIELDS)
    histories = st.fixed_dictionaries({DEPARTURES.topic: bordering})
    return Case(name, _flow(window), (DEPARTURES,), output, histories, _snapshot(interval))


HOURS = _case("a fold over hours", "by_hour", calendar("hour"), _hour)
DAYS = _case("a fold over days of a time zone", "by_day", calendar("day", zone=str(NEW_YORK)), _day_there)
MONTHS = _case("a fold over months", "by_month", calendar("month"), _month)
CALENDAR_CASES = (HOURS, DAYS, MONTHS)

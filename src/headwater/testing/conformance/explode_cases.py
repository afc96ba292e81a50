"""Flows that explode arrays, each with its history and its answer by the oracle."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from headwater.processing.expressions import col
from headwater.processing.flow import count, total
from headwater.processing.windows import tumbling
from headwater.testing.conformance.runner_cases import NULLABLE, WEATHER, WIDTH, Case, Histories, small, weather
from headwater.testing.harness import product
from headwater.testing.oracles import Record, Snapshot, aggregate_as_of, events_as_of, exploded, fact_as_of
from headwater.testing.strategies import event_histories

LEG = {
    "type": "record",
    "name": "Leg",
    "fields": [{"name": "origin", "type": "string"}, {"name": "minutes", "type": NULLABLE}],
}
TRIPS = product(
    "trips.booked",
    shape="event",
    key=["trip"],
    fields={
        "trip": "string",
        "number": "long",
        "tags": ["null", {"type": "array", "items": ["null", "string"]}],
        "legs": {"type": "array", "items": LEG},
    },
)
leg = st.fixed_dictionaries({"origin": st.sampled_from(["JFK", "LGA"]), "minutes": st.one_of(st.none(), small)})
trips = event_histories(
    {
        "number": small,
        "tags": st.one_of(st.none(), st.lists(st.sampled_from(["a", "b", None]), max_size=3)),
        "legs": st.lists(leg, max_size=3),
    },
    key="trip",
)
TAGS = product(
    "trips.tags",
    shape="event",
    key=["trip"],
    fields={"trip": "string", "tag": ["null", "string"], "place": "long", "number": "long"},
)


def _tags(histories: Histories, at: int) -> Snapshot:
    rows = exploded(events_as_of(histories[TRIPS.topic], at), "tags")
    return {
        ((row["trip"],), row["event_id"]): {
            "trip": row["trip"],
            "event_id": row["event_id"],
            "occurred_at": row["occurred_at"],
            "tag": row["tags"],
            "place": row["position"],
            "number": row["number"],
        }
        for row in rows
        if row["number"] >= 0
    }


SCALARS = Case(
    "an array of text as rows",
    lambda stream: stream.explode("tags", into="tag", position="place").filter(col("number") >= 0),
    (TRIPS,),
    TAGS,
    st.fixed_dictionaries({TRIPS.topic: trips}),
    _tags,
)

MINUTES = product(
    "airports.minutes",
    shape="fact",
    key=["origin"],
    fields={"origin": "string", "legs": "long", "minutes": NULLABLE},
)


def _legs(histories: Histories, at: int) -> list[dict[str, Any]]:
    return [
        {**row, **row["legs"], "trip": row["trip"]}
        for row in exploded(events_as_of(histories[TRIPS.topic], at), "legs")
    ]


def _minutes(histories: Histories, at: int) -> Snapshot:
    def interval(row: Record) -> tuple[int, int]:
        start = row["occurred_at"] // WIDTH * WIDTH
        return start, start + WIDTH

    def sums(members: list[Record]) -> tuple[int, int | None]:
        known = [row["minutes"] for row in members if row["minutes"] is not None]
        return len(members), sum(known) if known else None

    folded = aggregate_as_of(_legs(histories, at), group=lambda row: (row["origin"],), interval=interval, value=sums)
    return {
        (group, start, end): {
            "origin": group[0],
            "valid_from": start,
            "valid_to": end,
            "legs": legs,
            "minutes": minutes,
        }
        for (group, start, end), (legs, minutes) in folded.items()
    }


FOLDED = Case(
    "a fold over elements",
    lambda stream: stream.explode("legs").aggregate(
        by=["origin"], window=tumbling(f"{WIDTH}us"), legs=count(), minutes=total("minutes")
    ),
    (TRIPS,),
    MINUTES,
    st.fixed_dictionaries({TRIPS.topic: trips}),
    _minutes,
)

WINDY_LEGS = product(
    "trips.windy_legs",
    shape="event",
    key=["trip"],
    fields={"trip": "string", "airport": "string", "wind": NULLABLE},
)


def _windy_legs(histories: Histories, at: int) -> Snapshot:
    rows = {}
    for row in _legs(histories, at):
        wind = fact_as_of(histories[WEATHER.topic], {"origin": row["origin"]}, row["occurred_at"], at)
        rows[((row["trip"],), row["event_id"])] = {
            "trip": row["trip"],
            "event_id": row["event_id"],
            "occurred_at": row["occurred_at"],
            "airport": row["origin"],
            "wind": wind["wind"] if wind else None,
        }
    return rows


JOINED = Case(
    "elements joined to facts",
    lambda stream, facts: stream.explode("legs", take={"airport": "origin"}).join_as_of(
        facts, on={"airport": "origin"}, take={"wind": "wind"}
    ),
    (TRIPS, WEATHER),
    WINDY_LEGS,
    st.fixed_dictionaries({TRIPS.topic: trips, WEATHER.topic: weather}),
    _windy_legs,
)

EXPLODE_CASES = (SCALARS, FOLDED, JOINED)

"""Flows that unite inputs whose ids and keys are the same, each with its history and its answer by the oracle."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from headwater.processing.expressions import col
from headwater.processing.flow import count, total
from headwater.processing.windows import tumbling
from headwater.testing.conformance.runner_cases import (
    HOURLY,
    NULLABLE,
    WEATHER,
    WIDTH,
    Case,
    Histories,
    hourly,
    small,
    weather,
)
from headwater.testing.harness import product
from headwater.testing.oracles import (
    Record,
    Snapshot,
    aggregate_as_of,
    events_as_of,
    fact_as_of,
    grid_as_of,
    united,
)
from headwater.testing.strategies import event_histories

FIELDS = {"flight": "string", "origin": "string", "delay": NULLABLE}
EAST = product("east.flights", shape="event", key=["flight"], fields=FIELDS)
WEST = product("west.flights", shape="event", key=["flight"], fields={**FIELDS, "delay": "long", "crew": "long"})
ALL = product("all.flights", shape="event", key=["flight"], fields={**FIELDS, "coast": "string", "wind": NULLABLE})
east = event_histories(
    {"origin": st.sampled_from(["JFK", "LGA"]), "delay": st.one_of(st.none(), small)}, key="flight", length=12
)
west = event_histories(
    {"origin": st.sampled_from(["JFK", "SFO"]), "delay": small, "crew": small}, key="flight", length=12
)
BOTH = {EAST.topic: east, WEST.topic: west}


def _flights(histories: Histories, at: int) -> list[dict[str, Any]]:
    kept = [event for event in events_as_of(histories[WEST.topic], at) if event["crew"] >= 0]
    return united({"east.flights": events_as_of(histories[EAST.topic], at), "west.flights": kept})


def _all(histories: Histories, at: int) -> Snapshot:
    rows = {}
    for row in _flights(histories, at):
        wind = fact_as_of(histories[WEATHER.topic], {"origin": row["origin"]}, row["occurred_at"], at)
        value = {name: row[name] for name in ("event_id", "occurred_at", *FIELDS)}
        value |= {"coast": row["input"], "wind": wind["wind"] if wind else None}
        rows[((row["flight"],), row["event_id"])] = value
    return rows


EVENTS = Case(
    "events of two inputs, joined",
    lambda east, west, facts: east.union(
        west.filter(col("crew") >= 0).select("flight", "origin", "delay"), named="coast"
    ).join_as_of(facts, on={"origin": "origin"}, take={"wind": "wind"}),
    (EAST, WEST, WEATHER),
    ALL,
    st.fixed_dictionaries({**BOTH, WEATHER.topic: weather}),
    _all,
)

PASSED = product("all.passed", shape="event", key=["flight"], fields=FIELDS)


def _passed(histories: Histories, at: int) -> Snapshot:
    return {
        ((row["flight"],), row["event_id"]): {name: row[name] for name in ("event_id", "occurred_at", *FIELDS)}
        for row in _flights(histories, at)
        if row["delay"] is not None
    }


UNITED = Case(
    "events of two inputs",
    lambda east, west: east.union(west.filter(col("crew") >= 0).select("flight", "origin", "delay")).filter(
        col("delay").is_not_null()
    ),
    (EAST, WEST),
    PASSED,
    st.fixed_dictionaries(BOTH),
    _passed,
)

TOTALS = product(
    "all.totals", shape="fact", key=["origin"], fields={"origin": "string", "flights": "long", "delay": NULLABLE}
)


def _totals(histories: Histories, at: int) -> Snapshot:
    def interval(row: Record) -> tuple[int, int]:
        start = row["occurred_at"] // WIDTH * WIDTH
        return start, start + WIDTH

    def sums(members: list[Record]) -> tuple[int, int | None]:
        known = [row["delay"] for row in members if row["delay"] is not None]
        return len(members), sum(known) if known else None

    folded = aggregate_as_of(_flights(histories, at), group=lambda row: (row["origin"],), interval=interval, value=sums)
    return {
        (group, start, end): {
            "origin": group[0],
            "valid_from": start,
            "valid_to": end,
            "flights": flights,
            "delay": delay,
        }
        for (group, start, end), (flights, delay) in folded.items()
    }


FOLDED_UNION = Case(
    "a fold over two inputs",
    lambda east, west: east.union(west.filter(col("crew") >= 0).select("flight", "origin", "delay")).aggregate(
        by=["origin"], window=tumbling(f"{WIDTH}us"), flights=count(), delay=total("delay")
    ),
    (EAST, WEST),
    TOTALS,
    st.fixed_dictionaries(BOTH),
    _totals,
)

COASTAL = product(
    "coast.hourly",
    shape="fact",
    key=["origin"],
    fields={"origin": "string", "flights": "long", "delay": NULLABLE},
    grid=True,
)
SAID = product(
    "all.hourly",
    shape="fact",
    key=["whose", "origin"],
    fields={"whose": "string", "origin": "string", "flights": "long", "delay": NULLABLE},
)


def _said(histories: Histories, at: int) -> Snapshot:
    rows = united({str(port.product): grid_as_of(histories[port.topic], ["origin"], at) for port in (HOURLY, COASTAL)})
    names = ("origin", "valid_from", "valid_to", "flights", "delay")
    return {
        ((row["input"], row["origin"]), row["valid_from"], row["valid_to"]): {
            "whose": row["input"],
            **{name: row[name] for name in names},
        }
        for row in rows
    }


FACTS = Case(
    "facts of two inputs",
    lambda first, second: first.union(second, named="whose"),
    (HOURLY, COASTAL),
    SAID,
    st.fixed_dictionaries({HOURLY.topic: hourly, COASTAL.topic: hourly}),
    _said,
)

UNION_CASES = (UNITED, EVENTS, FOLDED_UNION, FACTS)

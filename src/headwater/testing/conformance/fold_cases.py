"""Flows of every kind of window and measure, each with its history and its answer by the oracle."""

from __future__ import annotations

from statistics import median
from typing import Any

from hypothesis import strategies as st

from headwater.processing.expressions import lit
from headwater.processing.flow import count, count_distinct, first, fold, last, maximum, total
from headwater.processing.windows import hopping, tumbling
from headwater.testing.conformance.runner_cases import (
    DEPARTURES,
    HOURLY,
    NULLABLE,
    WIDTH,
    Case,
    Histories,
    departures,
    hourly,
    small,
)
from headwater.testing.harness import product
from headwater.testing.oracles import (
    Record,
    Snapshot,
    aggregate_as_of,
    edge_of,
    events_as_of,
    grid_as_of,
    rolling_as_of,
)
from headwater.testing.strategies import event_histories

LENGTH, EVERY = 30, 10
ROLLING = product(
    "airports.rolling",
    shape="fact",
    key=["origin"],
    fields={"origin": "string", "flights": "long", "delay": NULLABLE, "worst": NULLABLE},
)


def _delays(members: list[Record]) -> tuple[int, int | None, int | None]:
    delays = [record["delay"] for record in members if record["delay"] is not None]
    return len(members), sum(delays) if delays else None, max(delays, default=None)


def _rolling(histories: Histories, at: int) -> Snapshot:
    folded = rolling_as_of(
        events_as_of(histories[DEPARTURES.topic], at),
        group=lambda event: (event["origin"],),
        length=LENGTH,
        every=EVERY,
        value=_delays,
    )
    return {
        ((origin,), start, end): {
            "origin": origin,
            "valid_from": start,
            "valid_to": end,
            "flights": flights,
            "delay": delay,
            "worst": worst,
        }
        for ((origin,), start, end), (flights, delay, worst) in folded.items()
    }


HOPPING = Case(
    "a fold over hopping windows",
    lambda stream: stream.aggregate(
        by=["origin"],
        window=hopping(f"{LENGTH}us", every=f"{EVERY}us"),
        flights=count(),
        delay=total("delay"),
        worst=maximum("delay"),
    ),
    (DEPARTURES,),
    ROLLING,
    st.fixed_dictionaries({DEPARTURES.topic: departures}),
    _rolling,
)

PEAKS = product("airports.peaks", shape="fact", key=["origin"], fields={"origin": "string", "peak": "long"})


def _peaks(histories: Histories, at: int) -> Snapshot:
    folded = aggregate_as_of(
        _rolling(histories, at).values(),
        group=lambda fact: (fact["origin"],),
        interval=lambda fact: (fact["valid_from"] // 40 * 40, fact["valid_from"] // 40 * 40 + 40),
        value=lambda facts: max(fact["flights"] for fact in facts),
    )
    return {
        ((origin,), start, end): {"origin": origin, "valid_from": start, "valid_to": end, "peak": peak}
        for ((origin,), start, end), peak in folded.items()
    }


HOPPING_PEAKS = Case(
    "the peaks of a hopping window",
    lambda stream: stream.aggregate(
        by=["origin"], window=hopping(f"{LENGTH}us", every=f"{EVERY}us"), name="rolling", flights=count()
    ).aggregate(by=["origin"], window=tumbling("40us"), peak=maximum("flights")),
    (DEPARTURES,),
    PEAKS,
    st.fixed_dictionaries({DEPARTURES.topic: departures}),
    _peaks,
)

TEXT = ["null", "string"]
ENDS = product(
    "airports.ends",
    shape="fact",
    key=["origin"],
    fields={
        "origin": "string",
        "planes": "long",
        "delays": "long",
        "first_plane": TEXT,
        "last_plane": TEXT,
        "first_delay": NULLABLE,
        "last_delay": NULLABLE,
    },
)
# Many events of few instants, so that identities decide which is the first.
crowded = event_histories(
    {
        "origin": st.sampled_from(["JFK", "LGA"]),
        "tailnum": st.sampled_from(["N1", "N2", None]),
        "delay": st.one_of(st.none(), small),
        "number": small,
    },
    key="flight_id",
    events=6,
    occurred=st.sampled_from([0, 3, 25]),
)


def _ends(histories: Histories, at: int) -> Snapshot:
    def ends(members: list[Record]) -> tuple[object, ...]:
        order = ("occurred_at", "event_id")
        return (
            len({event["tailnum"] for event in members} - {None}),
            len({event["delay"] for event in members} - {None}),
            edge_of(members, "tailnum", order),
            edge_of(members, "tailnum", order, last=True),
            edge_of(members, "delay", order),
            edge_of(members, "delay", order, last=True),
        )

    folded = aggregate_as_of(
        events_as_of(histories[DEPARTURES.topic], at),
        group=lambda event: (event["origin"],),
        interval=lambda event: (event["occurred_at"] // WIDTH * WIDTH, event["occurred_at"] // WIDTH * WIDTH + WIDTH),
        value=ends,
    )
    names = ("planes", "delays", "first_plane", "last_plane", "first_delay", "last_delay")
    return {
        (group, start, end): {
            "origin": group[0],
            "valid_from": start,
            "valid_to": end,
            **dict(zip(names, value, strict=True)),
        }
        for (group, start, end), value in folded.items()
    }


FIRST_AND_LAST = Case(
    "first, last and how many are different",
    lambda stream: stream.aggregate(
        by=["origin"],
        window=tumbling(f"{WIDTH}us"),
        planes=count_distinct("tailnum"),
        delays=count_distinct("delay"),
        first_plane=first("tailnum"),
        last_plane=last("tailnum"),
        first_delay=first("delay"),
        last_delay=last("delay"),
    ),
    (DEPARTURES,),
    ENDS,
    st.fixed_dictionaries({DEPARTURES.topic: crowded}),
    _ends,
)

EVERYWHERE = product(
    "airports.everywhere",
    shape="fact",
    key=["place"],
    fields={"place": "string", "first_flights": "long", "last_origin": "string", "origins": "long"},
)


def _everywhere(histories: Histories, at: int) -> Snapshot:
    order = ("valid_from", "valid_to", "origin")
    folded = aggregate_as_of(
        grid_as_of(histories[HOURLY.topic], ["origin"], at),
        group=lambda fact: ("all",),
        interval=lambda fact: (fact["valid_from"] // 60 * 60, fact["valid_from"] // 60 * 60 + 60),
        value=lambda facts: (
            edge_of(facts, "flights", order),
            edge_of(facts, "origin", order, last=True),
            len({fact["origin"] for fact in facts}),
        ),
    )
    return {
        (group, start, end): {
            "place": "all",
            "valid_from": start,
            "valid_to": end,
            "first_flights": flights,
            "last_origin": origin,
            "origins": origins,
        }
        for (group, start, end), (flights, origin, origins) in folded.items()
    }


FIRST_OF_FACTS = Case(
    "the first and last of facts of several keys",
    lambda facts: facts.map(place=lit("all")).aggregate(
        by=["place"],
        window=tumbling("60us"),
        first_flights=first("flights"),
        last_origin=last("origin"),
        origins=count_distinct("origin"),
    ),
    (HOURLY,),
    EVERYWHERE,
    st.fixed_dictionaries({HOURLY.topic: hourly}),
    _everywhere,
)

OWN = product(
    "airports.own",
    shape="fact",
    key=["origin"],
    fields={"origin": "string", "weighed": ["null", "double"], "middle": ["null", "double"]},
)
SUMS = {"weighed": "long", "weight": "long"}


def weigh(state: dict[str, Any], delay: int | None, number: int) -> dict[str, Any]:
    """Put a row in."""
    return {"weighed": state["weighed"] + (delay or 0) * number, "weight": state["weight"] + number}


def unweigh(state: dict[str, Any], delay: int | None, number: int) -> dict[str, Any]:
    """Take it out."""
    return {"weighed": state["weighed"] - (delay or 0) * number, "weight": state["weight"] - number}


def enter(state: dict[str, Any], delay: int | None) -> dict[str, Any]:
    """Put a value among the others, in order."""
    return state if delay is None else {"all": sorted([*state["all"], delay])}


def leave(state: dict[str, Any], delay: int | None) -> dict[str, Any]:
    """Take one of this value out, in place: a state is the function's own."""
    if delay is not None:
        state["all"].remove(delay)
    return state


def _own(histories: Histories, at: int) -> Snapshot:
    def measured(members: list[Record]) -> tuple[float | None, float | None]:
        weight = sum(event["number"] for event in members)
        delays = [event["delay"] for event in members if event["delay"] is not None]
        weighed = sum((event["delay"] or 0) * event["number"] for event in members)
        return weighed / weight if weight else None, float(median(delays)) if delays else None

    folded = rolling_as_of(
        events_as_of(histories[DEPARTURES.topic], at),
        group=lambda event: (event["origin"],),
        length=LENGTH,
        every=EVERY,
        value=measured,
    )
    return {
        (group, start, end): {
            "origin": group[0],
            "valid_from": start,
            "valid_to": end,
            "weighed": weighed,
            "middle": middle,
        }
        for (group, start, end), (weighed, middle) in folded.items()
    }


def _middle(state: dict[str, Any]) -> float | None:
    known, half = state["all"], len(state["all"]) // 2
    if not known:
        return None
    return float(known[half]) if len(known) % 2 else (known[half - 1] + known[half]) / 2


OWN_FOLDS = Case(
    "folds of the author's own over hopping windows",
    lambda stream: stream.aggregate(
        by=["origin"],
        window=hopping(f"{LENGTH}us", every=f"{EVERY}us"),
        weighed=fold(
            {"weighed": 0, "weight": 0},
            weigh,
            unweigh,
            lambda state: state["weighed"] / state["weight"] if state["weight"] else None,
            of=["delay", "number"],
            state=SUMS,
            type=["null", "double"],
        ),
        middle=fold(
            {"all": []},
            enter,
            leave,
            _middle,
            of=["delay"],
            state={"all": {"type": "array", "items": "long"}},
            type=["null", "double"],
        ),
    ),
    (DEPARTURES,),
    OWN,
    st.fixed_dictionaries({DEPARTURES.topic: departures}),
    _own,
)

FOLD_CASES = (HOPPING, HOPPING_PEAKS, FIRST_AND_LAST, FIRST_OF_FACTS, OWN_FOLDS)

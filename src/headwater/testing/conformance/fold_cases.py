"""Flows of every kind of window and measure, each with its history and its answer by the oracle."""

from __future__ import annotations

from hypothesis import strategies as st

from headwater.processing.flow import count, maximum, total
from headwater.processing.windows import hopping, tumbling
from headwater.testing.conformance.runner_cases import DEPARTURES, NULLABLE, Case, Histories, departures
from headwater.testing.harness import product
from headwater.testing.oracles import Record, Snapshot, aggregate_as_of, events_as_of, rolling_as_of

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

FOLD_CASES = (HOPPING, HOPPING_PEAKS)

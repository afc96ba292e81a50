"""A preview is what the engine makes of a sample: the same records, with an account of what made them."""

from __future__ import annotations

from typing import Any

from headwater import Stream, count, total, tumbling
from headwater.processing.flow import source
from headwater.processing.graph import Graph
from headwater.processing.preview import preview
from headwater.testing.harness import Harness, product
from headwater.timeline.instant import Instant

TICK = 100_000
FIELDS = {"flight_id": "string", "origin": "string", "delay": ["null", "int"]}
DEPARTURES = product("flights.departures", shape="event", key=["flight_id"], fields=FIELDS)
HOURLY = product(
    "airports.hourly", shape="fact", key=["origin"],
    fields={"origin": "string", "flights": "long", "delay": ["null", "long"]},
)  # fmt: skip
AT = int(Instant.parse("2013-01-05T14:05:00Z"))


def flow(departures: Stream) -> Stream:
    return departures.aggregate(by=["origin"], window=tumbling("1h"), flights=count(), delay=total("delay"))


def departure(flight: str, recorded: int, *, at: int = AT, revision: int = 1, kind: str = "assert") -> dict[str, Any]:
    return {
        "event_id": flight, "flight_id": flight, "origin": "JFK", "delay": 5 * revision, "occurred_at": at,
        "recorded_at": recorded, "kind": kind, "revision": revision,
    }  # fmt: skip


SAMPLE = [
    departure("F1", AT),
    departure("F2", AT + TICK),
    departure("F1", AT + 2 * TICK, at=AT - 60_000_000, revision=2, kind="correct"),
    departure("F2", AT + 3 * TICK, revision=2, kind="retract"),
]


def test_it_is_what_the_engine_makes_of_the_same_records() -> None:
    made = preview(Graph(flow(source(0)).node, (DEPARTURES,), HOURLY), [SAMPLE], tick=TICK)
    harness = Harness(flow, inputs=[DEPARTURES], output=HOURLY)
    for record in SAMPLE:
        harness.at(record["recorded_at"]).give(DEPARTURES, **{n: v for n, v in record.items() if n != "recorded_at"})
    assert [dict(record) for record in made.records] == harness.records()
    assert [(record["flights"], record["kind"]) for record in made.records] == [
        (1, "assert"), (2, "correct"), (2, "correct"), (1, "correct"),
    ]  # fmt: skip


def test_it_says_what_the_sample_was_like() -> None:
    made = preview(Graph(flow(source(0)).node, (DEPARTURES,), HOURLY), [SAMPLE], tick=TICK)
    (one,) = made.inputs
    assert (one.records, one.out_of_order, one.kinds) == (4, 1, {"assert": 2, "correct": 1, "retract": 1})
    assert (one.first_recorded, one.last_recorded) == (AT, AT + 3 * TICK)
    assert made.kinds() == {"assert": 1, "correct": 3}


def test_nothing_makes_nothing() -> None:
    made = preview(Graph(flow(source(0)).node, (DEPARTURES,), HOURLY), [[]], tick=TICK)
    assert made.records == () and made.inputs[0].first_recorded is None

"""What is said of a flow before anything runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headwater.errors import CallerFault, InvalidFiles
from headwater.processing.expressions import col, when
from headwater.processing.flow import Stream, average, count, count_distinct, first, last, maximum, source, total
from headwater.processing.graph import Graph, Port
from headwater.processing.validation import lineage, validate
from headwater.processing.windows import tumbling, whole
from headwater.testing.harness import plan_of, product

FLIGHTS = product(
    "flights.departures",
    shape="event",
    key=["flight_id"],
    fields={"flight_id": "string", "origin": "string", "delay": "long", "fuel": "double", "gate": ["null", "long"]},
)
WEATHER = product(
    "weather.observations", shape="fact", key=["origin"], fields={"origin": "string", "wind": ["null", "long"]}
)
HOURLY = product(
    "airports.hourly", shape="fact", key=["origin"], fields={"origin": "string", "n": "long", "delay": "long"}
)
FEATURES = product(
    "planning.features", shape="event", key=["flight_id"], fields={"flight_id": "string", "wind": ["null", "long"]}
)


def hourly(stream: Stream) -> Stream:
    return stream.aggregate(by=["origin"], window=tumbling("1h"), n=count(), delay=total("delay"))


def codes(flow: Callable[..., Stream], output: Port, *inputs: Port) -> list[str]:
    ports = inputs or (FLIGHTS,)
    stream = flow(*(source(index) for index in range(len(ports))))
    return [finding.code for finding in validate(Graph(stream.node, ports, output))]


def test_a_right_flow_has_no_findings() -> None:
    assert codes(hourly, HOURLY) == []
    assert (
        codes(lambda a, b: a.join_as_of(b, on={"origin": "origin"}, take={"wind": "wind"}), FEATURES, FLIGHTS, WEATHER)
        == []
    )


@pytest.mark.parametrize(
    ("flow", "code"),
    [
        (lambda s: hourly(s.filter(col("dely") > 1)), "HW-P010"),
        (lambda s: hourly(s.filter(col("delay") + 1)), "HW-P071"),
        (lambda s: hourly(s.map(recorded_at=col("delay"))), "HW-P072"),
        (lambda s: hourly(s.map(occurred_at=col("delay"))), "HW-P072"),
        (lambda s: s.aggregate(by=["gait"], window=whole(), n=count()), "HW-P010"),
        (lambda s: s.aggregate(by=["fuel"], window=whole(), n=count()), "HW-P074"),
        (lambda s: s.aggregate(by=["origin"], window=whole(), n=count(), delay=total("fuel")), "HW-P075"),
        (lambda s: s.aggregate(by=["origin"], window=whole(), n=count()), "HW-P051"),
        (lambda s: s.aggregate(by=["origin"], window=whole(), n=count(), delay=average("delay")), "HW-P052"),
        (lambda s: s.aggregate(by=["origin"], window=whole(), n=count(), delay=maximum("gate")), "HW-P052"),
        (lambda s: s.aggregate(by=["origin"], window=whole(), n=count_distinct("gait"), delay=count()), "HW-P010"),
        (
            lambda s: s.aggregate(by=["origin"], window=whole(), n=count_distinct("gate"), delay=first("gate")),
            "HW-P052",
        ),
        (lambda s: s.aggregate(by=["origin"], window=whole(), n=count(), delay=last("origin")), "HW-P052"),
        (lambda s: s, "HW-P050"),
        (lambda s: s.aggregate(by=["origin", "gate"], window=whole(), n=count(), delay=total("delay")), "HW-P053"),
        (lambda s: hourly(s).aggregate(by=["origin"], window=whole(), n=count(), delay=total("delay")), "HW-P070"),
        (lambda s: s.aggregate(by=["origin"], window=whole(), name="Fold", n=count(), delay=total("delay")), "HW-P069"),
    ],
)
def test_what_is_wrong_is_found_with_its_line(flow: Callable[..., Stream], code: str) -> None:
    assert code in codes(flow, HOURLY)


@pytest.mark.parametrize(
    ("flow", "code"),
    [
        (lambda a, b: a.join_as_of(b, on={"flight_id": "wind"}, take={"wind": "wind"}), "HW-P078"),
        (lambda a, b: a.join_as_of(b, on={"delay": "origin"}, take={"wind": "wind"}), "HW-P079"),
        (lambda a, b: a.join_as_of(b, on={"origin": "origin"}, take={"delay": "wind"}), "HW-P072"),
        (lambda a, b: a.join_as_of(a, on={"origin": "origin"}, take={"wind": "wind"}), "HW-P076"),
        (lambda a, b: a.select("origin").join_as_of(b, on={"origin": "origin"}, take={"wind": "wind"}), "HW-P077"),
        (lambda a, b: b.aggregate(by=["origin"], window=whole(), wind=maximum("wind")), "HW-P073"),
    ],
)
def test_what_is_wrong_with_a_join_is_found(flow: Callable[..., Stream], code: str) -> None:
    assert code in codes(flow, FEATURES, FLIGHTS, WEATHER)


def test_what_only_maps_stays_in_its_partitions() -> None:
    narrow = product("flights.ids", shape="event", key=["flight_id"], fields={"flight_id": "string"}, partitions=2)
    assert codes(lambda s: s, narrow) == ["HW-P054"]


def test_a_key_may_be_renamed() -> None:
    renamed = product("flights.named", shape="event", key=["flight"], fields={"flight": "string"})
    assert codes(lambda s: s.select(flight=col("flight_id")), renamed) == []


def test_a_flow_that_is_not_valid_makes_no_plan() -> None:
    with pytest.raises(InvalidFiles):
        plan_of(lambda s: s, [FLIGHTS], HOURLY, tick=100)


def test_lineage_names_the_input_fields_of_each_output_field() -> None:
    stream = source(0).map(late=when(col("delay") > 15).then(1).otherwise(0))
    stream = stream.aggregate(by=["origin"], window=whole(), n=count(), delay=total("late"))
    edges = lineage(Graph(stream.node, (FLIGHTS,), HOURLY))
    assert edges["delay"] == {("flights.departures", "delay")}
    assert edges["origin"] == {("flights.departures", "origin")}


@pytest.mark.parametrize(
    "build",
    [
        lambda s: s.filter(True),
        lambda s: s.aggregate(by="origin", window=whole(), n=count()),
        lambda s: s.aggregate(by=["origin"], window="1h", n=count()),
        lambda s: s.aggregate(by=["origin"], window=whole()),
        lambda s: s.join_as_of(s, on={}, take={"a": "b"}),
    ],
)
def test_a_step_that_is_called_wrongly_is_refused_at_once(build: Callable[[Stream], Stream]) -> None:
    with pytest.raises(CallerFault) as fault:
        build(source(0))
    assert fault.value.code == "HW-P016" and fault.value.hint


def test_stages_are_named_by_steps_and_cut_where_the_key_changes() -> None:
    flow = lambda a, b: a.join_as_of(b, on={"origin": "origin"}, take={"wind": "wind"})  # noqa: E731
    plan = plan_of(flow, [FLIGHTS, WEATHER], FEATURES, tick=100)
    assert [(stage.name, stage.output.topic) for stage in plan.stages] == [
        ("changes", "planning.features.v1.changes.rekey"),
        ("join_weather_observations", "planning.features.v1.join_weather_observations.rekey"),
        ("publish", "planning.features.v1"),
    ]

"""Flows of every kind that runners must carry, each with its history and its answer by the oracle."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from headwater.ports.keys import key_bytes
from headwater.processing.expressions import col, when
from headwater.processing.flow import Stream, average, count, maximum, minimum, total
from headwater.processing.graph import Port
from headwater.processing.runners.memory import MemoryRunner
from headwater.processing.steps import Plan
from headwater.processing.windows import tumbling, whole
from headwater.testing.harness import plan_of, product
from headwater.testing.oracles import (
    Record,
    Snapshot,
    aggregate_as_of,
    events_as_of,
    expected_log,
    fact_as_of,
    grid_as_of,
)
from headwater.testing.strategies import event_histories, fact_histories

TICK = 10
WIDTH = 20
Histories = Mapping[str, list[dict[str, Any]]]
NULLABLE = ["null", "long"]


@dataclass(frozen=True)
class Case:
    """A flow, its products, its histories, and what is true of it at an instant: identity to the value's fields."""

    name: str
    flow: Callable[..., Stream]
    inputs: tuple[Port, ...]
    output: Port
    histories: st.SearchStrategy[Histories]
    snapshot: Callable[[Histories, int], Snapshot]
    moving: bool = field(
        default=False, kw_only=True
    )  # facts that give way to others: of a tick and key, what is taken back is said first

    def identity(self, record: Record) -> tuple[Any, ...]:
        """What tells a record from others, as the snapshot has it."""
        key = tuple(record[name] for name in self.output.key)
        return (
            (key, record["event_id"])
            if self.output.shape == "event"
            else (key, record["valid_from"], record["valid_to"])
        )

    def value(self, record: Record) -> dict[str, Any]:
        """The fields that a record says something with."""
        return {name: record[name] for name in self.output.fields if name not in ("recorded_at", "kind", "revision")}

    def order(self, identity: tuple[Any, ...]) -> tuple[Any, ...]:
        """What a tick's records are sorted by."""
        rest = [1 << 62 if part is None else part for part in identity[1:]]
        return (key_bytes(identity[0]), *rest)

    def place(self, record: Record) -> tuple[Any, ...]:
        """Where a record stands in its partition."""
        key, *rest = self.order(self.identity(record))
        return (record["recorded_at"], key, self.moving and record["kind"] != "retract", *rest)

    def expected(self, histories: Histories) -> list[dict[str, Any]]:
        """The exact log, by the oracle."""
        recorded = [record["recorded_at"] for history in histories.values() for record in history]
        return expected_log(lambda at: self.snapshot(histories, at), recorded, tick=TICK, order=self.order)


@dataclass
class Run:
    """How a run is cut and disturbed; nothing of it may be seen in the log."""

    partitions: int = 4
    batch: int = 500
    seed: int = 0
    marks: bool = False
    crashes: bool = False

    def of(self, case: Case, histories: Histories) -> MemoryRunner:
        """The run."""
        chance = random.Random(self.seed)
        runner = MemoryRunner(self.plan(case), batch=self.batch, choose=chance.randrange)
        self.fill(runner, case, histories, chance)
        return runner

    def plan(self, case: Case) -> Plan:
        """The case's flow over so many partitions."""
        inputs = [_parted(port, self.partitions) for port in case.inputs]
        return plan_of(case.flow, inputs, _parted(case.output, self.partitions), tick=TICK)

    def fill(self, runner: MemoryRunner, case: Case, histories: Histories, chance: random.Random) -> None:
        """Write the histories, and run to their end, disturbed as this run is."""
        if self.crashes:
            runner.crash = lambda: chance.random() < 0.3
        for port in case.inputs:
            last = -1
            for record in histories[port.topic]:
                if self.marks and last < record["recorded_at"] - 1:
                    runner.mark(port.topic, record["recorded_at"] - 1, partition=chance.randrange(self.partitions))
                runner.write(port.topic, [record[name] for name in port.key], record)
                last = record["recorded_at"]
        if self.crashes or self.marks:
            runner.run()
        for port in case.inputs:
            runner.mark(port.topic, 100_000)
        runner.run()


def log_of(case: Case, runner: MemoryRunner) -> list[dict[str, Any]]:
    """What a run published, in the form and order of the oracle's log."""
    entries = [
        {
            "identity": case.identity(record),
            "value": case.value(record),
            "kind": record["kind"],
            "revision": record["revision"],
            "recorded_at": record["recorded_at"],
        }
        for record in runner.records()
    ]
    return sorted(entries, key=lambda entry: (entry["recorded_at"], case.order(entry["identity"])))


def _parted(port: Port, partitions: int) -> Port:
    return replace(port, partitions=partitions)


def _interval(record: Record) -> tuple[int, int]:
    start = record["occurred_at"] // WIDTH * WIDTH
    return start, start + WIDTH


DEPARTURES = product(
    "flights.departures",
    shape="event",
    key=["flight_id"],
    fields={
        "flight_id": "string",
        "origin": "string",
        "tailnum": ["null", "string"],
        "delay": NULLABLE,
        "number": "long",
    },
)
AIRCRAFT = product(
    "fleet.aircraft", shape="fact", key=["tailnum"], fields={"tailnum": "string", "seats": "long", "model": NULLABLE}
)
WEATHER = product("weather.observations", shape="fact", key=["origin"], fields={"origin": "string", "wind": NULLABLE})
HOURLY = product(
    "airports.hourly",
    shape="fact",
    key=["origin"],
    fields={"origin": "string", "flights": "long", "delay": NULLABLE},
    grid=True,
)
small = st.integers(-2, 3)
departures = event_histories(
    {
        "origin": st.sampled_from(["JFK", "LGA", "EWR"]),
        "tailnum": st.sampled_from(["N1", "N2", None]),
        "delay": st.one_of(st.none(), small),
        "number": small,
    },
    key="flight_id",
)
aircraft = fact_histories(
    {"seats": st.integers(1, 2), "model": st.one_of(st.none(), small)}, key="tailnum", keys=["N1", "N2"]
)
weather = fact_histories({"wind": st.one_of(st.none(), small)}, key="origin", keys=["JFK", "LGA"], grid=WIDTH)
hourly = fact_histories(
    {"flights": st.integers(1, 3), "delay": st.one_of(st.none(), small)}, key="origin", keys=["JFK", "LGA"], grid=WIDTH
)


def _measured(members: list[Record]) -> tuple[Any, ...]:
    delays = [record["delay"] for record in members if record["delay"] is not None]
    return (
        len(members),
        len(delays),
        sum(delays) if delays else None,
        min(delays, default=None),
        max(delays, default=None),
        sum(delays) / len(delays) if delays else None,
    )


MEASURES = ("flights", "known", "delay", "least", "worst", "mean")
MEASURE_FIELDS = {
    "flights": "long",
    "known": "long",
    "delay": NULLABLE,
    "least": NULLABLE,
    "worst": NULLABLE,
    "mean": ["null", "double"],
}
PUNCTUALITY = product(
    "airports.punctuality", shape="fact", key=["origin"], fields={"origin": "string", **MEASURE_FIELDS}
)


def _measures(stream: Stream, by: list[str], window: Any) -> Stream:
    return stream.aggregate(
        by=by,
        window=window,
        flights=count(),
        known=count("delay"),
        delay=total("delay"),
        least=minimum("delay"),
        worst=maximum("delay"),
        mean=average("delay"),
    )


def _rows(snapshot: Snapshot, key: tuple[str, ...]) -> Snapshot:
    return {
        (group, start, end): {
            **dict(zip(key, group, strict=True)),
            "valid_from": start,
            "valid_to": end,
            **dict(zip(MEASURES, value, strict=True)),
        }
        for (group, start, end), value in snapshot.items()
    }


def _punctuality(histories: Histories, at: int) -> Snapshot:
    events = [event for event in events_as_of(histories[DEPARTURES.topic], at) if event["number"] >= 0]
    folded = aggregate_as_of(events, group=lambda event: (event["origin"],), interval=_interval, value=_measured)
    return _rows(folded, ("origin",))


AGGREGATE = Case(
    "aggregate",
    lambda stream: _measures(stream.filter(col("number") >= 0), ["origin"], tumbling(f"{WIDTH}us")),
    (DEPARTURES,),
    PUNCTUALITY,
    st.fixed_dictionaries({DEPARTURES.topic: departures}),
    _punctuality,
)

FLIGHTS = product("flights.totals", shape="fact", key=["flight_id"], fields={"flight_id": "string", **MEASURE_FIELDS})


def _own_key(histories: Histories, at: int) -> Snapshot:
    events = events_as_of(histories[DEPARTURES.topic], at)
    start = -62135596800000000
    return _rows(
        aggregate_as_of(
            events, group=lambda event: (event["flight_id"],), interval=lambda event: (start, None), value=_measured
        ),
        ("flight_id",),
    )


OWN_KEY = Case(
    "aggregate by the input's own key",
    lambda stream: _measures(stream, ["flight_id"], whole()),
    (DEPARTURES,),
    FLIGHTS,
    st.fixed_dictionaries({DEPARTURES.topic: departures}),
    _own_key,
)

FEATURES = product(
    "planning.features",
    shape="event",
    key=["flight_id"],
    fields={
        "flight_id": "string",
        "origin": "string",
        "number": "long",
        "wind": NULLABLE,
        "seats": NULLABLE,
        "large": "boolean",
    },
)


def _featured(histories: Histories, at: int) -> list[dict[str, Any]]:
    rows = []
    for event in events_as_of(histories[DEPARTURES.topic], at):
        wind = fact_as_of(histories[WEATHER.topic], {"origin": event["origin"]}, event["occurred_at"], at)
        tail = event["tailnum"]
        plane = tail and fact_as_of(histories[AIRCRAFT.topic], {"tailnum": tail}, event["occurred_at"], at)
        rows.append({**event, "wind": wind["wind"] if wind else None, "seats": plane["seats"] if plane else None})
    return rows


def _features(histories: Histories, at: int) -> Snapshot:
    names = ("event_id", "occurred_at", "flight_id", "origin", "number", "wind", "seats")
    return {
        ((row["flight_id"],), row["event_id"]): {**{name: row[name] for name in names}, "large": row["seats"] == 2}
        for row in _featured(histories, at)
    }


def _joined(stream: Stream, weather_stream: Stream, aircraft_stream: Stream) -> Stream:
    return stream.join_as_of(weather_stream, on={"origin": "origin"}, take={"wind": "wind"}).join_as_of(
        aircraft_stream, on={"tailnum": "tailnum"}, take={"seats": "seats"}
    )


JOIN = Case(
    "two joins in a row",
    lambda *streams: _joined(*streams).map(large=when(col("seats") > 1).then(True).otherwise(False)),
    (DEPARTURES, WEATHER, AIRCRAFT),
    FEATURES,
    st.fixed_dictionaries({DEPARTURES.topic: departures, WEATHER.topic: weather, AIRCRAFT.topic: aircraft}),
    _features,
)

BY_SEATS = product(
    "planning.by_seats", shape="fact", key=["seats"], fields={"seats": "long", "flights": "long", "wind": NULLABLE}
)


def _by_seats(histories: Histories, at: int) -> Snapshot:
    rows = [row for row in _featured(histories, at) if row["seats"] is not None]

    def winds(members: list[Record]) -> tuple[int, int | None]:
        known = [row["wind"] for row in members if row["wind"] is not None]
        return len(members), sum(known) if known else None

    folded = aggregate_as_of(rows, group=lambda row: (row["seats"],), interval=_interval, value=winds)
    return {
        (group, start, end): {"seats": group[0], "valid_from": start, "valid_to": end, "flights": flights, "wind": wind}
        for (group, start, end), (flights, wind) in folded.items()
    }


JOIN_AND_FOLD = Case(
    "a fold over joins",
    lambda *streams: (
        _joined(*streams)
        .filter(col("seats").is_not_null())
        .map(seats_known=col("seats").coalesce(0))
        .select("wind", seats=col("seats_known"))
        .aggregate(by=["seats"], window=tumbling(f"{WIDTH}us"), flights=count(), wind=total("wind"))
    ),
    (DEPARTURES, WEATHER, AIRCRAFT),
    BY_SEATS,
    st.fixed_dictionaries({DEPARTURES.topic: departures, WEATHER.topic: weather, AIRCRAFT.topic: aircraft}),
    _by_seats,
)

WINDY = product(
    "airports.windy",
    shape="fact",
    key=["origin"],
    fields={"origin": "string", "flights": "long", "delay": NULLABLE, "wind": NULLABLE},
)


def _windy(histories: Histories, at: int) -> Snapshot:
    rows = {}
    for fact in grid_as_of(histories[HOURLY.topic], ["origin"], at):
        wind = fact_as_of(histories[WEATHER.topic], {"origin": fact["origin"]}, fact["valid_from"], at)
        names = ("origin", "valid_from", "valid_to", "flights", "delay")
        value = {**{name: fact[name] for name in names}, "wind": wind["wind"] if wind else None}
        rows[((fact["origin"],), fact["valid_from"], fact["valid_to"])] = value
    return rows


FACT_JOIN = Case(
    "facts joined to facts in one stage",
    lambda facts, other: facts.join_as_of(
        other.filter(col("wind").is_not_null()), on={"origin": "origin"}, take={"wind": "wind"}
    ),
    (HOURLY, WEATHER),
    WINDY,
    st.fixed_dictionaries({HOURLY.topic: hourly, WEATHER.topic: weather}),
    _windy,
)

DAILY = product(
    "airports.daily", shape="fact", key=["origin"], fields={"origin": "string", "flights": "long", "hours": "long"}
)


def _daily(histories: Histories, at: int) -> Snapshot:
    def interval(fact: Record) -> tuple[int, int]:
        start = fact["valid_from"] // 60 * 60
        return start, start + 60

    folded = aggregate_as_of(
        grid_as_of(histories[HOURLY.topic], ["origin"], at),
        group=lambda fact: (fact["origin"],),
        interval=interval,
        value=lambda members: (sum(fact["flights"] for fact in members), len(members)),
    )
    return {
        (group, start, end): {
            "origin": group[0],
            "valid_from": start,
            "valid_to": end,
            "flights": flights,
            "hours": hours,
        }
        for (group, start, end), (flights, hours) in folded.items()
    }


GRID_FOLD = Case(
    "a fold over facts on a grid",
    lambda facts: facts.aggregate(by=["origin"], window=tumbling("60us"), flights=total("flights"), hours=count()),
    (HOURLY,),
    DAILY,
    st.fixed_dictionaries({HOURLY.topic: hourly}),
    _daily,
)

CASES = (AGGREGATE, OWN_KEY, JOIN, JOIN_AND_FOLD, FACT_JOIN, GRID_FOLD)

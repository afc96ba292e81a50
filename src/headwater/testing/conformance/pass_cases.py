"""Flows that only map and filter, each with its history and its answer: no ticks, one record in and at most one out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from headwater.processing.expressions import col
from headwater.testing.conformance.runner_cases import (
    AIRCRAFT,
    DEPARTURES,
    NULLABLE,
    Case,
    Histories,
    aircraft,
    departures,
)
from headwater.testing.harness import product
from headwater.testing.oracles import Record, Snapshot


def _unused(histories: Histories, at: int) -> Snapshot:
    raise AssertionError("what only passes is told record by record, whatever is known of it")


@dataclass(frozen=True)
class PassCase(Case):
    """A flow of one input. `makes` says what it makes of a record, `keeps` whether its filters are true of it.

    `overrides` is true of facts that may override each other: one that fails a filter takes back what it overrides.
    """

    makes: Callable[[Record], dict[str, Any]] = dict
    keeps: Callable[[Record], bool] = bool
    overrides: bool = False

    def expected(self, histories: Histories) -> list[dict[str, Any]]:
        """The exact log: each record as it comes, with its recorded time, revision and kind; repeats are repeats."""
        (port,) = self.inputs
        log = []
        for record in histories[port.topic]:
            kind = record["kind"] if self.keeps(record) else "retract"
            if kind == "retract" != record["kind"] and record["revision"] == 1 and not self.overrides:
                continue  # nothing of it was ever said
            made = self.makes(record)
            platform = {"kind": kind, "revision": record["revision"], "recorded_at": record["recorded_at"]}
            log.append({"identity": self.identity(made), "value": made, **platform})
        return sorted(log, key=lambda entry: (entry["recorded_at"], self.order(entry["identity"])))


LATE = product(
    "flights.late",
    shape="event",
    key=["flight_id"],
    fields={"flight_id": "string", "origin": "string", "late": ["null", "boolean"], "twice": NULLABLE},
)


def _late(event: Record) -> dict[str, Any]:
    delay = event["delay"]
    named = {name: event[name] for name in ("event_id", "occurred_at", "flight_id", "origin")}
    return {
        **named,
        "late": None if delay is None else delay > 1,
        "twice": None if delay is None else delay * 2 - event["number"],
    }


PASSED = PassCase(
    "events mapped and filtered",
    lambda stream: stream.filter(col("number") >= 0).select(
        "flight_id", "origin", late=col("delay") > 1, twice=col("delay") * 2 - col("number")
    ),
    (DEPARTURES,),
    LATE,
    st.fixed_dictionaries({DEPARTURES.topic: departures}),
    _unused,
    _late,
    lambda event: event["number"] >= 0,
)

LARGE = product(
    "fleet.large", shape="fact", key=["tailnum"], fields={"tailnum": "string", "seats": "long", "model": "long"}
)


def _large(fact: Record) -> dict[str, Any]:
    named = {name: fact[name] for name in ("tailnum", "seats", "valid_from", "valid_to")}
    return {**named, "model": 7 if fact["model"] is None else fact["model"]}


PASSED_FACTS = PassCase(
    "facts that override each other, mapped and filtered",
    lambda facts: facts.map(model=col("model").coalesce(7)).filter(col("seats") > 1),
    (AIRCRAFT,),
    LARGE,
    st.fixed_dictionaries({AIRCRAFT.topic: aircraft}),
    _unused,
    _large,
    lambda fact: fact["seats"] > 1,
    overrides=True,
)

PASS_CASES = (PASSED, PASSED_FACTS)

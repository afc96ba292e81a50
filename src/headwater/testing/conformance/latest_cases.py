"""Flows that make states of events, each with its history and its answer by the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from headwater.processing.expressions import col
from headwater.testing.conformance.runner_cases import NULLABLE, TICK, Case, Histories, small
from headwater.testing.harness import product
from headwater.testing.oracles import Record, Snapshot, events_as_of, latest_log
from headwater.testing.strategies import event_histories

SIGHTINGS = product(
    "fleet.sightings",
    shape="event",
    key=["report"],
    fields={"report": "string", "plane": "string", "airport": "string", "fuel": NULLABLE},
)
sightings = event_histories(
    {
        "plane": st.sampled_from(["N1", "N2"]),
        "airport": st.sampled_from(["JFK", "LGA"]),
        "fuel": st.one_of(st.none(), small),
    },
    key="report",
    occurred=st.integers(0, 12),
)
PLACES = product(
    "fleet.places", shape="fact", key=["plane"], fields={"plane": "string", "airport": "string", "fuel": NULLABLE}
)
KNOWN = product("fleet.known", shape="fact", key=["plane"], fields={"plane": "string", "airport": "string"})
REPORTS = product("fleet.reports", shape="fact", key=["report"], fields={"report": "string", "airport": "string"})


def _unused(histories: Histories, at: int) -> Snapshot:
    raise AssertionError("states are not told by a snapshot of identities: their pieces override each other")


@dataclass(frozen=True)
class LatestCase(Case):
    """A flow of states; `says` are the fields that a state says something with, None where it is filtered out."""

    says: Callable[[Record], dict[str, Any] | None] = dict

    def expected(self, histories: Histories) -> list[dict[str, Any]]:
        """The exact log, by the oracle."""
        history = histories[SIGHTINGS.topic]
        log = latest_log(
            lambda at: events_as_of(history, at),
            [record["recorded_at"] for record in history],
            tick=TICK,
            by=lambda event: tuple(event[name] for name in self.output.key),
            value=self.says,
            order=self.order,
        )
        return [
            {**entry, "value": {**entry["value"], "valid_from": entry["identity"][1], "valid_to": entry["identity"][2]}}
            for entry in log
        ]


def _place(event: Record) -> dict[str, Any]:
    return {name: event[name] for name in ("plane", "airport", "fuel")}


def _known(event: Record) -> dict[str, Any] | None:
    return {name: event[name] for name in ("plane", "airport")} if event["fuel"] is not None else None


HISTORIES = st.fixed_dictionaries({SIGHTINGS.topic: sightings})
STATES = LatestCase(
    "states by another key",
    lambda stream: stream.latest(by=["plane"]),
    (SIGHTINGS,),
    PLACES,
    HISTORIES,
    _unused,
    _place,
)
FILTERED_STATES = LatestCase(
    "states, mapped and filtered",
    lambda stream: stream.latest(by=["plane"]).filter(col("fuel").is_not_null()).select("plane", "airport"),
    (SIGHTINGS,),
    KNOWN,
    HISTORIES,
    _unused,
    _known,
)
OWN_STATES = LatestCase(
    "states by the input's own key",
    lambda stream: stream.latest(by=["report"]),
    (SIGHTINGS,),
    REPORTS,
    HISTORIES,
    _unused,
    lambda event: {name: event[name] for name in ("report", "airport")},
)
LATEST_CASES = (STATES, FILTERED_STATES, OWN_STATES)

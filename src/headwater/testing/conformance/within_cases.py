"""Flows that pair events of two inputs, each with its history and its answer by the oracle."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from headwater.processing.expressions import col
from headwater.processing.flow import count, total
from headwater.processing.windows import tumbling
from headwater.testing.conformance.runner_cases import NULLABLE, WIDTH, Case, Histories, small
from headwater.testing.harness import product
from headwater.testing.oracles import Record, Snapshot, aggregate_as_of, events_as_of, paired
from headwater.testing.strategies import event_histories

DISTANCE = 8
CALLS = product(
    "desk.calls", shape="event", key=["call"], fields={"call": "string", "gate": ["null", "string"], "size": "long"}
)
BOARDINGS = product("gate.boardings", shape="event", key=["gate"], fields={"gate": "string", "seats": NULLABLE})
WAITS = product(
    "desk.waits",
    shape="event",
    key=["call"],
    fields={
        "call": "string",
        "gate": ["null", "string"],
        "size": "long",
        "seats": NULLABLE,
        "boarded_at": {"type": "long", "logicalType": "timestamp-micros"},
    },
)
calls = event_histories({"gate": st.sampled_from(["key0", "key1", None]), "size": small}, key="call", length=14)
boardings = event_histories({"seats": st.one_of(st.none(), small)}, key="gate", length=14)
HISTORIES = st.fixed_dictionaries({CALLS.topic: calls, BOARDINGS.topic: boardings})


def _pairs(histories: Histories, at: int) -> list[dict[str, Any]]:
    left = events_as_of(histories[CALLS.topic], at)
    right = [event for event in events_as_of(histories[BOARDINGS.topic], at) if (event["seats"] or 0) >= 0]
    rows = paired(left, right, on="gate", distance=DISTANCE, take={"seats": "seats", "boarded_at": "occurred_at"})
    return [row for row in rows if row["size"] != 1]


def _waits(histories: Histories, at: int) -> Snapshot:
    names = ("event_id", "occurred_at", "call", "gate", "size", "seats", "boarded_at")
    return {((row["call"],), row["event_id"]): {name: row[name] for name in names} for row in _pairs(histories, at)}


PAIRED = Case(
    "events paired within a distance",
    lambda calls, boardings: calls.join_within(
        boardings.filter(col("seats").coalesce(0) >= 0),
        within=f"{DISTANCE}us",
        on={"gate": "gate"},
        take={"seats": "seats", "boarded_at": "occurred_at"},
    ).filter(col("size") != 1),
    (CALLS, BOARDINGS),
    WAITS,
    HISTORIES,
    _waits,
)

COUNTS = product(
    "desk.counts", shape="fact", key=["call"], fields={"call": "string", "pairs": "long", "seats": NULLABLE}
)


def _counts(histories: Histories, at: int) -> Snapshot:
    def interval(row: Record) -> tuple[int, int]:
        start = row["occurred_at"] // WIDTH * WIDTH
        return start, start + WIDTH

    def sums(members: list[Record]) -> tuple[int, int | None]:
        known = [row["seats"] for row in members if row["seats"] is not None]
        return len(members), sum(known) if known else None

    pairs = _pairs(histories, at)
    folded = aggregate_as_of(pairs, group=lambda row: (row["call"],), interval=interval, value=sums)
    return {
        (group, start, end): {"call": group[0], "valid_from": start, "valid_to": end, "pairs": number, "seats": seats}
        for (group, start, end), (number, seats) in folded.items()
    }


FOLDED_PAIRS = Case(
    "a fold over pairs",
    lambda calls, boardings: (
        calls.filter(col("size") != 1)
        .join_within(
            boardings.filter(col("seats").coalesce(0) >= 0),
            within=f"{DISTANCE}us",
            on={"gate": "gate"},
            take={"seats": "seats"},
        )
        .aggregate(by=["call"], window=tumbling(f"{WIDTH}us"), pairs=count(), seats=total("seats"))
    ),
    (CALLS, BOARDINGS),
    COUNTS,
    HISTORIES,
    _counts,
)

WITHIN_CASES = (PAIRED, FOLDED_PAIRS)

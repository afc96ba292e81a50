"""Unions as columns against the row road: the same histories, cut anyhow, give the same bytes and state."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.roads import Log, Logs, compared
from tests.simulation.test_column_changes import EVENTS, SUMS, TICK, amended, every_batch
from tests.simulation.test_column_join import ORDERS
from tests.simulation.test_recall import LEFT, OTHERS, PAYMENTS, SCHEMAS, STATE, both

from headwater.errors import Fault
from headwater.processing import column_events, column_expressions
from headwater.processing.column_changes import Split
from headwater.processing.column_events import EventsSide
from headwater.processing.columns import reads_columns
from headwater.processing.expressions import col
from headwater.processing.flow import Stream, count, total
from headwater.processing.named_ids import OfInput
from headwater.processing.windows import tumbling
from headwater.testing.harness import plan_of


def sums(rows: Stream, payments: Stream) -> Stream:
    folded = both(rows, payments).map(seen=col("n") * 2)
    return folded.aggregate(by=["k"], window=tumbling("20us"), events=count(), n=total("n"), seen=total("seen"))


def state(rows: Stream, payments: Stream) -> Stream:
    return rows.select("k", "n").union(payments.filter(col("n") != 2)).latest(by=["k"])


STAGES = {
    "folded": plan_of(sums, [EVENTS, PAYMENTS], SUMS, tick=TICK).stages[0],
    "one never corrected": plan_of(sums, [ORDERS, PAYMENTS], SUMS, tick=TICK).stages[0],
    "state": plan_of(state, [EVENTS, PAYMENTS], STATE, tick=TICK).stages[0],
}
EVERY_STAGE = pytest.mark.parametrize("name", STAGES)


@EVERY_STAGE
@settings(max_examples=25, deadline=None)
@given(left=amended(), right=amended(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(name: str, left: Log, right: Log, seed: int) -> None:
    if name == "one never corrected":
        left = never_corrected(left)
    with every_batch():
        compared(STAGES[name], {LEFT: left, OTHERS: right}, SCHEMAS, seed)


def never_corrected(log: Log) -> Log:
    """The same events, each said once."""
    return [
        (key, said if key is None else {**said, "event_id": f"e{number}", "kind": "assert", "revision": 1})
        for number, (key, said) in enumerate(log)
    ]


def busy() -> Logs:
    """Two inputs that give the same ids, with corrections, and some of them late."""
    chance = random.Random(3)
    logs: dict[str, Log] = {}
    for topic in (LEFT, OTHERS):
        log: list[tuple[bytes | None, Any]] = []
        for number in range(400):
            key = f"k{chance.randrange(40)}"
            said = {"recorded_at": number // 4, "kind": "assert", "revision": 1, "event_id": f"e{number}", "k": key}
            said |= {"occurred_at": number - chance.randrange(3), "n": number % 5, "ok": True, "note": None}
            if number > 9 and not number % 19:
                before = log[chance.randrange(len(log))][1]
                said = {**before, "recorded_at": number // 4, "kind": "correct", "revision": 2, "n": -number}
            log.append((said["k"].encode(), said))
        log.append((None, 10_000))
        logs[topic] = log
    return logs


@pytest.mark.parametrize("name", ["folded", "state"])
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    assert reads_columns(STAGES[name]) == (LEFT, OTHERS)
    with every_batch():
        assert compared(STAGES[name], busy(), SCHEMAS, 5) > 600


# Saboteurs: each makes of two inputs what is not what both say.


def _leaves_ids_as_they_are(patch: pytest.MonkeyPatch) -> None:
    whole = column_expressions._made

    def made(expression: Any, *more: Any) -> Any:
        return (lambda columns: columns["event_id"]) if isinstance(expression, OfInput) else whole(expression, *more)

    patch.setattr(column_expressions, "_made", made)


def _forgets_the_changes_of_the_second(patch: pytest.MonkeyPatch) -> None:
    whole = column_events.united

    def made(splits: Sequence[Split]) -> Split:
        return replace(whole(splits), changes=splits[0].changes, gone=splits[0].gone)

    patch.setattr(column_events, "united", made)


def _keeps_versions_of_the_first_alone(patch: pytest.MonkeyPatch) -> None:
    whole = EventsSide.__init__

    def made(self: Any, *more: Any, **options: Any) -> None:
        whole(self, *more, **options)
        self._inputs[OTHERS].write = lambda split: None

    patch.setattr(EventsSide, "__init__", made)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("state", _leaves_ids_as_they_are),
        ("folded", _forgets_the_changes_of_the_second),
        ("state", _forgets_the_changes_of_the_second),
        ("folded", _keeps_versions_of_the_first_alone),
    ],
)
def test_a_broken_union_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: Any) -> None:
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault, KeyError)):
        compared(STAGES[name], busy(), SCHEMAS, 5)

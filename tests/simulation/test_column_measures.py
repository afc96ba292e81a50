"""Measures of folds as columns against the row road: the same histories, cut anyhow, give the same bytes and state."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.roads import Log, compared
from tests.simulation.test_column_changes import EVENTS, LEFT, TICK, every_batch
from tests.simulation.test_column_join import COLUMNS, KEYS, NUMBERS, ORDERS, STEPS
from tests.simulation.test_column_union import never_corrected

from headwater.errors import Fault
from headwater.processing import column_fold, column_multisets
from headwater.processing.column_custom import Own
from headwater.processing.column_fold import ColumnFold
from headwater.processing.column_multisets import Beside, _Moved, _Ranked
from headwater.processing.columns import reads_columns
from headwater.processing.flow import Stream, average, count, count_distinct, first, fold, last, maximum, minimum, total
from headwater.processing.graph import Measure, Port
from headwater.processing.steps import Stage
from headwater.processing.windows import Window, hopping, tumbling, whole
from headwater.testing.harness import plan_of, product

TEXT, NUMBER = ["null", "string"], ["null", "long"]


def enter(state: dict[str, Any], n: int, note: str | None) -> dict[str, Any]:
    """Put a row in."""
    return {"sum": state["sum"] + n, "notes": sorted([*state["notes"], note or ""])}


def leave(state: dict[str, Any], n: int, note: str | None) -> dict[str, Any]:
    """Take it out, in place: a state is the function's own."""
    state["notes"].remove(note or "")
    return {**state, "sum": state["sum"] - n}


def own(result: Callable[[dict[str, Any]], Any], type_: Any) -> Measure:
    state = {"sum": "long", "notes": {"type": "array", "items": "string"}}
    return fold({"sum": 0, "notes": []}, enter, leave, result, of=["n", "note"], state=state, type=type_)


MEASURES: dict[str, dict[str, tuple[Measure, Any]]] = {
    "ends": {
        "rows": (count(), "long"),
        "least": (minimum("n"), "long"),
        "most": (maximum("n"), "long"),
        "before": (minimum("note"), TEXT),
        "behind": (maximum("note"), TEXT),
        "all": (minimum("ok"), "boolean"),
        "any": (maximum("ok"), "boolean"),
    },
    "edges": {
        "begun": (first("note"), TEXT),
        "now": (last("note"), TEXT),
        "opened": (first("n"), "long"),
        "closed": (last("n"), "long"),
        "ok": (last("ok"), "boolean"),
    },
    "distinct": {
        "notes": (count_distinct("note"), "long"),
        "numbers": (count_distinct("n"), "long"),
        "states": (count_distinct("ok"), "long"),
        "mean": (average("n"), "double"),
        "sum": (total("n"), "long"),
    },
    "own": {
        "longest": (own(lambda state: max(state["notes"], key=len, default=None), TEXT), TEXT),
        "mean": (own(lambda state: state["sum"] / max(len(state["notes"]), 1), "double"), "double"),
        "most": (maximum("n"), "long"),
    },
    "one": {"note": (maximum("note"), TEXT)},
    "edge": {"ok": (last("ok"), "boolean")},
}


def stage(name: str, window: Window, port: Port) -> Stage:
    measures = MEASURES[name]
    fields = {"k": "string", **{column: type_ for column, (_, type_) in measures.items()}}
    facts = product("a.measured", shape="fact", key=["k"], fields=fields)

    def flow(rows: Stream) -> Stream:
        return rows.aggregate(by=["k"], window=window, **{column: one for column, (one, _) in measures.items()})

    return plan_of(flow, [port], facts, tick=TICK).stages[0]


STAGES = {name: stage(name, tumbling("20us"), EVENTS) for name in MEASURES}
STAGES |= {f"{name}, whole": stage(name, whole(), EVENTS) for name in ("ends", "edges", "distinct")}
STAGES |= {f"{name}, growing": stage(name, whole(), ORDERS) for name in ("ends", "edges", "distinct")}
STAGES |= {f"{name}, hopping": stage(name, hopping("60us", every="20us"), EVENTS) for name in ("edges", "own")}
EVERY_STAGE = pytest.mark.parametrize("name", STAGES)
TEXTS = st.none() | KEYS | st.sampled_from(["a\x00\x00", "a\x01", "b", "zz"])


@st.composite
def histories(draw: st.DrawFn) -> Log:
    """Events of few instants, of which some are corrected, moved, repeated, taken back and said again."""
    recorded_at, log = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]]()
    names = st.integers(0, draw(st.sampled_from([5, 60, 1000])))
    instants = draw(st.sampled_from([st.integers(-30, 30), st.sampled_from([0, 3, 25])]))
    for _ in range(draw(st.integers(0, 50))):
        recorded_at += draw(STEPS)
        if not draw(st.integers(0, 8)):
            log.append((None, recorded_at // TICK * TICK - 1))
            continue
        name = draw(names)
        record = {
            "event_id": f"e{name // 2}" + "\0" * (name % 2), "occurred_at": draw(instants), "k": draw(KEYS),
            "n": draw(NUMBERS), "ok": draw(st.booleans()), "note": draw(TEXTS), "recorded_at": recorded_at,
            "kind": draw(st.sampled_from(["assert", "assert", "assert", "correct", "retract"])),
            "revision": draw(st.integers(1, 3)),
        }  # fmt: skip
        log.append((record["k"].encode(), record))
    return [*log, (None, 10_000)]


@EVERY_STAGE
@settings(max_examples=20, deadline=None)
@given(log=histories(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(name: str, log: Log, seed: int) -> None:
    with every_batch():
        compared(STAGES[name], {LEFT: never_corrected(log) if "growing" in name else log}, COLUMNS, seed)


def busy() -> Log:
    """Events of many keys, some of them late, of which a few are corrected, moved or taken back."""
    chance = random.Random(3)
    log, said = list[tuple[bytes | None, Any]](), list[dict[str, Any]]()
    for number in range(500):
        record = {
            "event_id": f"e{number}", "occurred_at": number // 2 - chance.randrange(9), "k": f"k{chance.randrange(30)}",
            "n": chance.randrange(9), "ok": number % 7 > 0, "note": chance.choice([None, "a", 'q"', "ä", f"n{number}"]),
            "recorded_at": number // 2, "kind": "assert", "revision": 1,
        }  # fmt: skip
        if said and not number % 20:
            record = said.pop(chance.randrange(len(said)))
            record = {**record, "recorded_at": number // 2, "revision": 2, "n": 4, "note": "b"}
            record |= {"kind": "retract"} if number % 40 else {"kind": "correct", "occurred_at": number // 3}
        else:
            said.append(record)
        log.append((record["k"].encode(), record))
    return [*log, (None, 10_000)]


def of_stage(name: str) -> dict[str, Log]:
    return {LEFT: never_corrected(busy()) if "growing" in name else busy()}


@EVERY_STAGE
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    assert reads_columns(STAGES[name])
    with every_batch():
        assert compared(STAGES[name], of_stage(name), COLUMNS, seed=1) > 400


@EVERY_STAGE
def test_cells_of_many_keys_are_packed_as_one_by_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(column_fold, "CACHE_LIMIT", 0)
    with every_batch():
        assert compared(STAGES[name], of_stage(name), COLUMNS, seed=1) > 400


def test_cells_of_which_nothing_goes_stay_columns_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    whole_, rows = ColumnFold._apart, {"columns": 0, "rows": 0}

    def apart(self: ColumnFold, delta: Any) -> Any:
        new, by_rows = whole_(self, delta)
        rows["columns"] += len(new)
        rows["rows"] += sum(map(len, by_rows.values()))
        return new, by_rows

    monkeypatch.setattr(ColumnFold, "_apart", apart)
    with every_batch():
        compared(STAGES["ends"], {LEFT: busy()}, COLUMNS, seed=1)
    assert rows["columns"] > 5 * rows["rows"] > 0


def test_what_columns_do_not_hold_goes_row_by_row() -> None:
    fields = {"k": "string", "d": "double"}
    port = replace(product("a.orders", shape="event", key=["k"], fields=fields), corrections=False)
    for measure in (minimum("d"), last("d"), count_distinct("d")):
        type_ = "long" if measure.function == "count_distinct" else "double"
        facts = product("a.measured", shape="fact", key=["k"], fields={"k": "string", "m": type_})

        def flow(rows: Stream, measure: Measure = measure) -> Stream:
            return rows.aggregate(by=["k"], window=whole(), m=measure)

        assert not reads_columns(plan_of(flow, [port], facts, tick=TICK).stages[0])


def test_a_fold_of_the_authors_own_that_fails_says_so_as_on_the_row_road() -> None:
    """Of a note that its functions cannot take, found long after the flow was checked."""

    def failing(state: dict[str, Any], n: int, note: str | None) -> dict[str, Any]:
        if note == "n77":
            raise ValueError(note)
        return enter(state, n, note)

    broken = fold(
        {"sum": 0, "notes": []}, failing, leave, lambda state: state["sum"], of=["n", "note"],
        state={"sum": "long", "notes": {"type": "array", "items": "string"}}, type="long",
    )  # fmt: skip
    facts = product("a.measured", shape="fact", key=["k"], fields={"k": "string", "m": "long"})
    one = plan_of(lambda rows: rows.aggregate(by=["k"], window=whole(), m=broken), [EVENTS], facts, tick=TICK).stages[0]
    log = [(b"a", {**record, "k": "a", "note": "n77"}) for _, record in busy()[:40]]
    with every_batch(), pytest.raises(Exception, match="the flow's own fold cannot go on"):
        compared(one, {LEFT: [*log, (None, 10_000)]}, COLUMNS, seed=1)


# Saboteurs: each breaks one measure in one place, and the comparison must see it.


def _takes_entries_for_new(patch: pytest.MonkeyPatch) -> None:
    whole_ = column_multisets._moved

    def moved(beside: Beside, *more: Any) -> Any:
        class Empty:
            def has_many(self, keys: Any) -> list[bool]:
                return [False] * len(keys)

        return whole_(beside._replace(table=Empty()), *more)._replace(beside=beside)

    patch.setattr(column_multisets, "_moved", moved)


def _keeps_nothing_beside(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Moved, "keep", lambda self: None)


def _forgets_what_cells_held(patch: pytest.MonkeyPatch) -> None:
    whole_ = column_multisets._ranked
    patch.setattr(
        column_multisets, "_ranked", lambda *given: (made := whole_(*given))._replace(held=np.full(len(made.held), -1))
    )


def _takes_the_other_end(patch: pytest.MonkeyPatch) -> None:
    whole_ = _Ranked.reached
    patch.setattr(
        _Ranked, "reached", lambda self, groups, *, greatest: whole_(self, groups, greatest=greatest is not True)
    )


def _says_values_by_their_places(patch: pytest.MonkeyPatch) -> None:
    """An edge that moves to a row that says the same is published."""
    whole_ = column_multisets.Edges.amounts

    def amounts(self: Any, *given: Any) -> Any:
        made = whole_(self, *given)
        return made._replace(differs=made.moved)

    patch.setattr(column_multisets.Edges, "amounts", amounts)


def _folds_what_goes_by_rows_twice(patch: pytest.MonkeyPatch) -> None:
    whole_ = ColumnFold._apart
    patch.setattr(ColumnFold, "_apart", lambda self, delta: (delta.new, whole_(self, delta)[1]))


def _leaves_new_rows_of_moved_cells_out(patch: pytest.MonkeyPatch) -> None:
    whole_ = ColumnFold._apart
    patch.setattr(ColumnFold, "_apart", lambda self, delta: (whole_(self, delta)[0], delta.changes))


def _begins_each_tick_anew(patch: pytest.MonkeyPatch) -> None:
    whole_ = Own._folded

    def folded(self: Own, touched: Any, held: Any) -> Any:
        return whole_(self, touched, [[start] * len(slot) for slot, start in zip(held, self.starting, strict=True)])

    patch.setattr(Own, "_folded", folded)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("distinct", _takes_entries_for_new),
        ("ends", _takes_entries_for_new),
        ("ends", _keeps_nothing_beside),
        ("edges, whole", _forgets_what_cells_held),
        ("ends, growing", _forgets_what_cells_held),
        ("ends", _takes_the_other_end),
        ("edge", _says_values_by_their_places),
        ("ends", _folds_what_goes_by_rows_twice),
        ("own", _leaves_new_rows_of_moved_cells_out),
        ("own", _begins_each_tick_anew),
    ],
)
def test_a_broken_measure_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: Any) -> None:
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault)):
        compared(STAGES[name], of_stage(name), COLUMNS, seed=1)

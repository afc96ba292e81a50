"""The columnar road against the row road: the same history, cut anyhow, gives the same bytes and the same state."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import Fault, Misfit
from headwater.processing import column_fold, column_intake
from headwater.processing.blocks import Block
from headwater.processing.column_fold import ColumnFold
from headwater.processing.column_state import packed_rows
from headwater.processing.column_steps import ColumnSteps
from headwater.processing.column_windows import Cells, cells_of
from headwater.processing.columns import reads_columns
from headwater.processing.engine import Commit, Task, new_task
from headwater.processing.expressions import col, when
from headwater.processing.flow import Stream, average, count, maximum, minimum, total
from headwater.processing.state import MemoryStore
from headwater.processing.steps import Stage
from headwater.processing.windows import Window, tumbling, whole
from headwater.schemas.unsure import Unsure
from headwater.testing.harness import plan_of, product

TICK = 10
FIELDS = {"k": "string", "g": "long", "n": "long"}
EVENTS = replace(product("a.events", shape="event", key=["k"], fields=FIELDS), corrections=False)
SUMS = product("a.sums", shape="fact", key=["k"], fields={"k": "string", "events": "long", "n": "long", "seen": "long"})
ENDS = product(
    "a.ends",
    shape="fact",
    key=["k"],
    fields={"k": "string", "least": "long", "most": "long", "mean": "double", "latest": "long"},
)
TOTALS = product("a.totals", shape="fact", key=["k"], fields={"k": "string", "n": "long"})


def sums(window: Window) -> Stage:
    def flow(events: Stream) -> Stream:
        return events.aggregate(by=["k"], window=window, events=count(), n=total("n"), seen=count("g"))

    return plan_of(flow, [EVENTS], SUMS, tick=TICK).stages[0]


def totals() -> Stage:
    """Sums alone: an event of nothing changes nothing, and says nothing."""

    def flow(events: Stream) -> Stream:
        return events.aggregate(by=["k"], window=whole(), n=total("n"))

    return plan_of(flow, [EVENTS], TOTALS, tick=TICK).stages[0]


def stepped(window: Window) -> Stage:
    """Filters and computed fields before the fold: some ticks are left with nothing, and some sums are not."""

    def flow(events: Stream) -> Stream:
        chosen = events.filter(col("g") > 0).map(
            n=when(col("n") < 2).then(-col("n")).otherwise((col("n") // 2).coalesce(0) + 1), was=col("n")
        )
        return chosen.filter(col("n") != 1).aggregate(
            by=["k"], window=window, events=count(), n=total("n"), seen=total("was")
        )

    return plan_of(flow, [EVENTS], SUMS, tick=TICK).stages[0]


def limited() -> Stage:
    """Of events that come later than this product accepts, those are refused."""

    def flow(events: Stream) -> Stream:
        return events.filter(col("n") > -2).aggregate(by=["k"], window=whole(), n=total("n"))

    return plan_of(flow, [EVENTS], replace(TOTALS, accept_late=60), tick=TICK).stages[0]


def ends(window: Window) -> Stage:
    """Least, greatest and mean of what is only ever added."""

    def flow(events: Stream) -> Stream:
        return events.aggregate(
            by=["k"], window=window, least=minimum("n"), most=maximum("n"), mean=average("n"), latest=maximum("g")
        )

    return plan_of(flow, [EVENTS], ENDS, tick=TICK).stages[0]


STAGES = [sums(whole()), sums(tumbling("20us")), totals(), stepped(whole()), stepped(tumbling("20us")), limited()]
STAGES += [ends(whole()), ends(tumbling("20us"))]
NAMES = ["whole", "tumbling", "totals", "stepped", "stepped-tumbling", "limited", "ends", "ends-tumbling"]


class Driver:
    """A task over a store, fed from a log in pieces; `columnar` hands each piece over as a block first."""

    def __init__(self, stage: Stage, *, columnar: bool) -> None:
        self.stage, self.columnar = stage, columnar
        self.store = MemoryStore()
        self.position = 0
        self.said: list[Any] = []
        self.folded = 0
        self.task: Task = new_task(stage, partition=0, store=self.store)
        self.read = 0

    def take(self, log: Sequence[Any], size: int) -> None:
        piece = list(enumerate(log))[self.read : self.read + size]
        self.read += len(piece)
        records = [(offset, key, record) for offset, (key, record) in piece if key is not None]
        topic = self.stage.inputs[0].topic
        if self.columnar and records and len(records) == len(piece):
            columns = pa.RecordBatch.from_pylist([record for _, _, record in records])
            if self.task.block(topic, Block.of([one[0] for one in records], [one[1] for one in records], columns)):
                return
        for offset, (key, record) in piece:
            if key is None:
                self.task.mark(topic, record)
                continue
            try:
                self.task.record(topic, offset, key, record)
            except Misfit as error:
                self.task.refuse(topic, offset, error.code)

    def commit(self) -> None:
        if not self.task.advance():
            return
        commit = self.task.commit()
        if commit is None:
            return
        self.said.append(told(commit))
        self.store.apply(commit.changes)
        self.task.committed()
        self.position = max([self.position, *commit.offsets.values()])
        self.folded = self.task.counts.columnar

    def crash(self) -> None:
        """Lose what was not committed, and begin again from what was."""
        self.task = new_task(self.stage, partition=0, store=self.store)
        self.read = self.position


def told(commit: Commit) -> Any:
    return (
        [(key, sorted(record.items(), key=str), at) for key, record, at, _ in commit.said[0].each()],
        commit.changes,
        commit.offsets,
        commit.through,
        commit.refused,
    )


NUMBERS = st.integers(-3, 9) | st.integers(-(1 << 62), (1 << 62) - 1)
STEPS = st.sampled_from([0, 0, 0, 1, 3, 10, 25])


@st.composite
def logs(draw: st.DrawFn) -> list[Any]:
    """Keys with records; no key: a mark. Now and then what the contract says would never be."""
    large = draw(st.booleans())
    recorded_at, log = draw(st.integers(0, 20)), list[Any]()
    for number in range(draw(st.integers(1, 50))):
        recorded_at += draw(STEPS)
        if not draw(st.integers(0, 12)):
            log.append((None, recorded_at // TICK * TICK - 1))
            continue
        key = draw(st.sampled_from(["a", "b", "ä", "", "zz", "a\x00"]))
        odd = not draw(st.integers(0, 20))
        record = {
            "event_id": f"e{number}", "k": key, "g": draw(st.integers(0, 2)), "occurred_at": draw(st.integers(-50, 50)),
            "n": draw(NUMBERS if large else st.integers(-3, 3)), "recorded_at": recorded_at,
            "kind": draw(st.sampled_from(["correct", "retract"])) if odd else "assert", "revision": 2 if odd else 1,
        }  # fmt: skip
        log.append((key.encode(), record))
    return log


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
@settings(max_examples=60, deadline=None)
@given(log=logs(), seed=st.integers(0, 1 << 30), least=st.sampled_from([1, 4]))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(
    stage: Stage, log: list[Any], seed: int, least: int
) -> None:
    compare(stage, log, seed, least)


def compare(stage: Stage, log: Sequence[Any], seed: int, least: int = 1) -> int:
    """How many records went as columns; raises where the two differ."""
    before, column_intake.LEAST_ROWS = column_intake.LEAST_ROWS, least
    try:
        chance = random.Random(seed)
        drivers = [Driver(stage, columnar=True), Driver(stage, columnar=False)]
        columnar = 0
        while drivers[0].read < len(log):
            size, commits, crashes = chance.randrange(1, 30), chance.random() < 0.5, chance.random() < 0.1
            for driver in drivers:
                driver.take(log, size)
                if commits:
                    driver.commit()
                if crashes:
                    columnar += driver.folded
                    driver.crash()
            assert drivers[0].said == drivers[1].said
        for driver in drivers:
            driver.commit()
        assert drivers[0].said == drivers[1].said
        assert list(drivers[0].store.scan(b"", b"\xff")) == list(drivers[1].store.scan(b"", b"\xff"))
        counts = [driver.task.counts for driver in drivers]
        assert replace(counts[0], columnar=0) == counts[1]
        return columnar + drivers[0].folded
    finally:
        column_intake.LEAST_ROWS = before


def plain_log(events: int) -> list[Any]:
    chance = random.Random(7)
    made = []
    for number in range(events):
        key = f"k{chance.randrange(9)}"
        record = {
            "event_id": f"e{number}",
            "k": key,
            "g": 1,
            "occurred_at": number * 2 - chance.randrange(59),
            "n": number,
        }
        made.append((key.encode(), record | {"recorded_at": number * 2, "kind": "assert", "revision": 1}))
    return made


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
def test_a_plain_history_goes_as_columns(stage: Stage) -> None:
    assert compare(stage, plain_log(400), seed=1) > 200


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
def test_cells_of_many_keys_are_packed_as_one_by_one(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    monkeypatch.setattr(column_fold, "CACHE_LIMIT", 0)
    assert compare(stage, plain_log(400), seed=3) > 200


def test_cells_that_are_packed_otherwise_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_fold, "CACHE_LIMIT", 0)
    monkeypatch.setattr(column_fold, "packed_rows", lambda columns: packed_rows(columns)[::-1])
    with pytest.raises(AssertionError):
        compare(totals(), plain_log(400), seed=3)


def test_what_the_lists_do_not_name_goes_row_by_row() -> None:
    def with_measure(**measures: Any) -> Callable[[Stream], Stream]:
        return lambda events: events.aggregate(by=["k"], window=whole(), **measures)

    given = [
        (lambda events: events.filter(col("n") / 2 > 0).aggregate(by=["k"], window=whole(), n=total("n")), EVENTS),
    ]
    assert reads_columns(plan_of(with_measure(n=total("n")), [EVENTS], TOTALS, tick=TICK).stages[0])
    for flow, port in given:
        assert not reads_columns(plan_of(flow, [port], TOTALS, tick=TICK).stages[0])


def test_sums_beyond_64_bits_go_row_by_row() -> None:
    log = plain_log(60)
    for _, record in log:
        record["n"] = (1 << 62) - 1
    assert compare(totals(), log, seed=2) == 0


def test_a_record_behind_a_mark_is_a_fault_on_both_roads() -> None:
    for columnar in (True, False):
        driver = Driver(totals(), columnar=columnar)
        driver.take([(None, 1_000_009)], 1)
        with pytest.raises(Fault) as caught:
            driver.task.record(driver.stage.inputs[0].topic, 5, *plain_log(1)[0])
        assert caught.value.code == "HW-P060"
        log = [(None, 1_000_009), *plain_log(5)]
        with pytest.raises(Fault):
            driver.take(log, 6)


# Saboteurs: each breaks the columnar road in one place, and the comparison must see it.


def _forgets_what_was_known(self: ColumnFold, cells: Any, places: Any, parts: Any) -> Any:
    known = _KNOWN(self, cells, places, parts)
    return [(*values[:1], *(0 for _ in values[1:])) for values in known]


def _in_order_of_arrival(window: Window, keys: Any, instants: Any) -> Any:
    cells = cells_of(window, keys, instants)
    return cells._replace(rank=cells.first)


def _one_place_for_all(self: Cells) -> Any:
    return _PLACES(self)[:1] * len(self.keys)


_KNOWN, _PLACES = ColumnFold._known, Cells.places


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (ColumnFold, "_known", _forgets_what_was_known),
        (column_fold, "cells_of", _in_order_of_arrival),
        (Cells, "places", _one_place_for_all),
    ],
)
def test_a_broken_fold_is_seen(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, broken: Any) -> None:
    monkeypatch.setattr(where, name, broken)
    with pytest.raises(AssertionError):
        compare(STAGES[0], plain_log(400), seed=1)


def _leaves_out_the_last(self: ColumnSteps, batch: Any) -> Any:
    made, kept = _STEPS(self, batch)
    return made.slice(0, len(kept) - 1), kept[:-1]


def _rows_of_others(self: ColumnSteps, batch: Any) -> Any:
    made, kept = _STEPS(self, batch)
    return made, kept - kept[:1]


_STEPS = ColumnSteps.__call__


@pytest.mark.parametrize("broken", [_leaves_out_the_last, _rows_of_others])
def test_broken_steps_are_seen(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    monkeypatch.setattr(ColumnSteps, "__call__", broken)
    log = plain_log(400)
    for number, (_, record) in enumerate(log):
        record["g"] = number % 3
    with pytest.raises(AssertionError):
        compare(stepped(whole()), log, seed=1)


def test_ticks_without_a_row_left_pass_in_silence_on_both_roads() -> None:
    log = plain_log(400)
    for _, record in log:
        record["g"] = 0
    assert compare(stepped(whole()), log, seed=1) > 200


def test_a_fold_that_is_never_sure_only_costs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsure(self: ColumnFold, delta: Any) -> Any:
        raise Unsure

    monkeypatch.setattr(ColumnFold, "fold", unsure)
    assert compare(STAGES[0], plain_log(400), seed=1) == 0

"""What is published of rows that nobody has promised to be new is what `publish` makes of them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import Fault
from headwater.processing.column_changes import NewRows
from headwater.processing.column_ends import ColumnPublish, Delta
from headwater.processing.operators.core import Change, Row
from headwater.processing.operators.publish import Publish, PublishSpec
from headwater.processing.state import MemoryStore, Overlay

TICK = 10
Shape = Literal["event", "fact"]
SPECS = {
    "event": PublishSpec("publish", "event", ("event_id", "n", "occurred_at")),
    "fact": PublishSpec("publish", "fact", ("n", "valid_from", "valid_to")),
    "moving": PublishSpec("publish", "fact", ("n", "valid_from", "valid_to"), moving=True),
}
TYPES = {"event_id": pa.string(), "n": pa.int64(), "occurred_at": pa.int64(), "valid_from": pa.int64()}
KEYS = st.sampled_from([b"a", b"b", b""])
IDS, ENDS = st.sampled_from(["e", "f", "f\0", ""]), st.sampled_from([None, 7, 9])
NUMBERS = st.integers(0, 2)
Said = tuple[int, bytes, Row]


def rows_of(name: str) -> st.SearchStrategy[Row]:
    return st.tuples(IDS, NUMBERS, NUMBERS) if name == "event" else st.tuples(NUMBERS, NUMBERS, ENDS)


def moved(row: Row, name: str, n: int) -> Row:
    """Another value of the same identity."""
    return (row[0], n, row[2]) if name == "event" else (n, *row[1:])


@st.composite
def batches(draw: st.DrawFn, name: str) -> list[tuple[list[Said], dict[int, list[Change]]]]:
    """New rows of some ticks, and changes beside them, which may speak of what is new, was said or comes again."""
    found, tick = [], 0
    for _ in range(draw(st.integers(1, 4))):
        new, changes = list[Said](), dict[int, list[Change]]()
        for _ in range(draw(st.integers(1, 3))):
            tick += draw(st.integers(1, 2))
            new += [(tick, draw(KEYS), row) for row in draw(st.lists(rows_of(name), max_size=4))]
            for row in draw(st.lists(rows_of(name), max_size=2)):
                before, after = draw(st.sampled_from([(1, 0), (1, 1), (0, 1)]))
                other = moved(row, name, draw(NUMBERS))
                change = (draw(KEYS), row if before else None, other if after else None)
                changes.setdefault(tick, []).append(change)
        found.append((new, changes))
    return found


def columns_of(said: Sequence[Said], spec: PublishSpec) -> NewRows:
    values = list(zip(*(row for _, _, row in said), strict=True)) or [()] * len(spec.columns)
    columns = {
        name: pa.array(column, TYPES.get(name, pa.int64())) for name, column in zip(spec.columns, values, strict=True)
    }
    ticks = np.array([tick for tick, _, _ in said], np.int64)
    return NewRows(ticks, pa.array([key for _, key, _ in said], pa.binary()), columns)


def check(name: str, given_: Sequence[tuple[list[Said], dict[int, list[Change]]]]) -> None:
    spec = SPECS[name]
    both = [Overlay(MemoryStore()), Overlay(MemoryStore())]
    by_columns = ColumnPublish(spec, Publish(spec, both[0]), TICK, promised=False)
    by_rows = Publish(spec, both[1])
    for new, changes in given_:
        delta = Delta(columns_of(new, spec), changes)
        expected: list[Any] = []
        try:
            for tick, some in delta.by_rows(spec.columns).changes.items():
                end = (tick + 1) * TICK - 1
                expected += [(key, record, end) for key, record in by_rows.tick(some, end)]
        except Fault:
            with pytest.raises(Fault):
                by_columns(delta)
            return
        ended = by_columns(delta)
        said = [*ended.said, *(ended.block.records() if ended.block is not None else ())]
        assert [one[:3] for one in said] == expected
        assert dict(both[0].changes()) == dict(both[1].changes())


@pytest.mark.parametrize("name", SPECS)
def test_rows_are_published_as_one_by_one(name: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(batches(name))
    def holds(given_: Any) -> None:
        check(name, given_)

    holds()


def whole(tick: int, n: int = 0) -> Said:
    return tick, b"a", ("e", n, 0)


TWICE = ([whole(1), whole(1)], {})
GOES_AT_ONCE = ([whole(1)], {1: [(b"a", ("e", 0, 0), ("e", 1, 0))]})
COMES_BACK = [([whole(1)], {}), ([], {2: [(b"a", ("e", 0, 0), None)]}), ([whole(3)], {})]


@pytest.mark.parametrize("given_", [[TWICE], [GOES_AT_ONCE], COMES_BACK])
def test_an_end_that_believes_all_that_it_is_given_is_seen(monkeypatch: pytest.MonkeyPatch, given_: Any) -> None:
    check("event", given_)
    monkeypatch.setattr(ColumnPublish, "_apart", lambda self, delta: delta)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check("event", given_)

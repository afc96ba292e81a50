"""Timelines of a table, kept unpacked or not, against the plain ones that answer queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.processing import timelines
from headwater.processing.column_timelines import held_at
from headwater.processing.operators.core import OPEN
from headwater.processing.packing import pack, unpack
from headwater.processing.state import MemoryStore, Overlay, Table
from headwater.processing.timelines import Timelines
from headwater.timeline.bitemporal import FOREVER, Timeline

KEYS = [b"", b"a", b"b\x00", b"\xff\xff"]
INSTANTS = range(-12, 12)
FACT = st.tuples(
    st.sampled_from(KEYS),
    st.integers(-9, 9),
    st.none() | st.integers(1, 9),
    st.none() | st.integers(0, 99),
    st.booleans(),
)
BATCHES = st.lists(st.lists(FACT, max_size=6), max_size=5)


def table(overlay: Overlay) -> Table:
    return Table(
        overlay,
        "facts",
        lambda piece: pack([piece[0], piece[1]]),
        lambda body: ((value := unpack(body))[0], tuple(value[1])),
        scanned=True,
    )


def check(batches: Sequence[Sequence[Any]], limits: tuple[int, int]) -> None:
    """Each batch is committed; now and then its keys are loaded before it."""
    before = timelines.SHORT, timelines.KEPT_LIMIT
    timelines.SHORT, timelines.KEPT_LIMIT = limits
    try:
        store, plain = MemoryStore(), {key: Timeline() for key in KEYS}
        overlay = Overlay(store)
        kept = Timelines(table(overlay))
        for batch in batches:
            for key, start, size, value, loaded in batch:
                if loaded:
                    kept.load([key, b"a"])
                end = None if size is None else start + size
                row = None if value is None else (value,)
                kept.override(key, start, OPEN if end is None else end, row)
                plain[key].override(start, end, None if row is None else {"row": row})
                agree(kept, plain)
            store.apply(overlay.changes())
            overlay.committed()
            agree(kept, plain)
            agree(Timelines(table(Overlay(store))), plain)
        stored = [
            (place[:-8], place[-8:], end, row) for place, (end, row) in table(Overlay(store)).scan(b"", b"\xff" * 9)
        ]
        assert len(stored) == sum(len(list(timeline.pieces())) for timeline in plain.values())
    finally:
        timelines.SHORT, timelines.KEPT_LIMIT = before


def agree(kept: Timelines, plain: dict[bytes, Timeline]) -> None:
    asked = [(place, instant) for place in range(len(KEYS)) for instant in INSTANTS]
    expected = [fact["row"] if (fact := plain[KEYS[place]].at(instant)) else None for place, instant in asked]
    assert [kept.at(KEYS[place], instant) for place, instant in asked] == expected
    rows, which = held_at(kept, KEYS, *(np.array(column) for column in zip(*asked, strict=True)))
    assert [None if place < 0 else rows[place] for place in which.tolist()] == expected


@settings(max_examples=20, deadline=None)
@given(BATCHES, st.sampled_from([(99, 999), (2, 999), (0, 999), (3, 5)]))
def test_what_holds_is_what_the_last_fact_said(batches: Any, limits: tuple[int, int]) -> None:
    check(batches, limits)


ROUND = [(b"a", start, 7, start, start != -9) for start in (-9, 5, 0, -4, 2)]


def _keeps_what_is_overridden(patch: pytest.MonkeyPatch) -> None:
    """What is kept unpacked does not follow."""
    patch.setattr(Timelines, "override", Timelines._override_scanned)


def _writes_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Table, "put", lambda self, key, value: None)


def _loads_the_store_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Table, "_dirty_between", lambda self, first, last, reverse: [])


@pytest.mark.parametrize("broken", [_keeps_what_is_overridden, _writes_nothing, _loads_the_store_alone])
def test_broken_timelines_are_seen(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    check([ROUND, ROUND], (99, 999))
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        check([ROUND, ROUND], (99, 999))


def test_ends_that_are_open_lie_behind_every_instant() -> None:
    assert OPEN >= FOREVER > max(INSTANTS)

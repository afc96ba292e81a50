"""Answers as data frames and in notebooks."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from importlib import import_module

import pytest
from tests.unit.ports.test_answers import FIRST, PARTITIONS, World

from headwater.errors import CallerFault
from headwater.sdk.table import Table
from headwater.testing.source_products import order_events


def answered(*, customer: str = "ada", count: int = 1) -> Table:
    world = World(order_events(partitions=PARTITIONS))
    world.write(*[{**FIRST, "customer": customer, "event_id": f"e{number}"} for number in range(count)], marked=49)
    return world.opened.as_of()


def test_an_answer_is_a_table_of_the_schemas_types() -> None:
    table = answered().to_arrow()
    assert table.num_rows == 1
    assert table.column("occurred_at")[0].as_py() == datetime.fromtimestamp(0, UTC).replace(microsecond=3)
    assert table.column("number")[0].as_py() == 1


def test_an_answer_says_how_firm_it_is() -> None:
    assert repr(answered()) == "<1 record; settled up to 1970-01-01T00:00:00.000049Z: this answer is final>"


def test_a_notebook_shows_rows_and_firmness_and_nothing_of_them_is_markup() -> None:
    shown = answered(customer="<script>alert(1)</script>")._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "this answer is final" in shown


def test_a_long_answer_is_shown_in_part_and_says_so() -> None:
    shown = answered(count=25)._repr_html_()
    assert shown.count("<tr>") == 21
    assert "25 records" in shown
    assert "the first 20 are shown" in shown


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_library_that_is_not_there_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(CallerFault, match=f"{library} is not installed here") as refused:
        getattr(answered(), f"to_{library}")()
    assert refused.value.code == "HW-K063"


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_data_frame_has_the_rows(library: str) -> None:
    frame = getattr(answered(count=2), f"to_{library}")()
    assert type(frame) is import_module(library).DataFrame
    assert sorted(frame["event_id"]) == ["e0", "e1"]
    assert frame["occurred_at"][0].timestamp() == 0.000003

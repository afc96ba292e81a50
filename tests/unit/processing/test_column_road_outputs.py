"""Products with several outputs from broker to broker by both roads: the same topics, byte for byte, all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.processing.test_column_road import (
    ENRICHED,
    MESH,
    NEXMARK,
    ORDERS,
    SELECTED,
    START,
    TOTALS,
    Life,
    _said,
    live,
    live_joined,
    live_selected,
)

from headwater import naming
from headwater.naming import ProductName
from headwater.ports.record import Message
from headwater.processing import column_intake
from headwater.processing.checkpoint import Checkpoint
from headwater.processing.reset import reset
from headwater.timeline.clock import ManualClock


def with_another(mesh: Path, folder: Path, product: ProductName, schema: str, flow: str) -> Path:
    """A mesh of which a product has two outputs of one form, as this flow makes them."""
    shutil.copytree(mesh, folder)
    place = folder / "streams" / product.domain / product.product
    contract = (place / "product.yaml").read_text()
    _, own = contract.split("\noutputs:\n")
    again = "\n".join(["  - name: other", *own.splitlines()[1:]]).replace(f"schema: {schema}", "schema: Other")
    (place / "product.yaml").write_text(f"{contract.rstrip()}\n{again}")
    (place / "flow.py").write_text(flow)
    avro = folder / "schemas" / "avro" / product.domain / product.product
    text = (avro / f"{schema}.avsc").read_text().replace(f'"name": "{schema}"', '"name": "Other"')
    (avro / "Other.avsc").write_text(text)
    return folder


PARTED = """from headwater import col


def flow(bids):
    made = bids.select("auction", "price", "auction_number")
    cheap = made.filter(col("price") < 50).select("auction", "price")
    return {"events": made.filter(col("auction_number") == 123).select("auction", "price"), "other": cheap}
"""
SUMMED = """from headwater import col, count, total, whole


def flow(orders):
    made = orders.aggregate(by=["customer"], window=whole(), orders=count(), amount_cents=total("amount_cents"))
    return {"facts": made, "other": made.filter(col("amount_cents") % 3 != 0).map(orders=col("orders") - 1)}
"""
JOINED = """from headwater import col


def flow(orders, customers):
    rows = orders.select("customer", "amount_cents")
    made = rows.join_as_of(customers, on={"customer": "customer"}, take={"segment": "segment"})
    twice = made.filter((col("segment") != "x").coalesce(True)).map(amount_cents=col("amount_cents") * 2)
    return {"events": made, "other": twice}
"""


def topics(product: ProductName) -> tuple[str, str]:
    return naming.topic(product, 1), naming.topic(product.of_output("other"), 1)


def lives(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    product: ProductName,
    mesh: Path,
    lived: Callable[[Life, int], Any],
    *,
    least_columnar: int = 400,
) -> list[dict[str, list[Message]]]:
    """All that is written, as columns and by rows."""
    found = []
    for least in (4, 1 << 60):
        monkeypatch.setattr(column_intake, "LEAST_ROWS", least)
        life = Life(folder / str(least), product, mesh)
        found.append(lived(life, 1))
        assert life.columnar > least_columnar if least == 4 else not life.columnar
    assert all(len(found[1][name]) > 100 for name in topics(product))
    return found


def selected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, list[Message]]]:
    mesh = with_another(NEXMARK, tmp_path / "mesh", SELECTED, "Selected", PARTED)
    return lives(monkeypatch, tmp_path, SELECTED, mesh, live_selected)


def test_topics_of_a_product_that_only_filters_are_the_same_by_both_roads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    by_columns, by_rows = selected(monkeypatch, tmp_path)
    assert by_columns == by_rows


def test_a_writer_that_takes_all_blocks_for_those_of_the_first_output_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = Checkpoint._block
    monkeypatch.setattr(Checkpoint, "_block", lambda self, _, *more: whole(self, self._targets.writers[0], *more))
    by_columns, by_rows = selected(monkeypatch, tmp_path)
    assert by_columns != by_rows


def joined(tmp_path: Path) -> Path:
    return with_another(MESH, tmp_path / "mesh", ENRICHED, "Enriched", JOINED)


def require_alike(by_columns: dict[str, list[Message]], by_rows: dict[str, list[Message]]) -> None:
    assert set(by_columns) == set(by_rows)
    for name, messages in by_rows.items():
        # The changelog's order within a commit is no part of what it says.
        assert sorted(map(_said, by_columns[name])) == sorted(map(_said, messages)), name
        if not name.endswith("changelog"):
            assert by_columns[name] == messages, name


def test_topics_of_a_join_are_the_same_by_both_roads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require_alike(*lives(monkeypatch, tmp_path, ENRICHED, joined(tmp_path), live_joined))


def test_topics_of_a_fold_are_the_same_by_both_roads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mesh = with_another(MESH, tmp_path / "mesh", TOTALS, "Totals", SUMMED)
    require_alike(*lives(monkeypatch, tmp_path, TOTALS, mesh, live, least_columnar=200))


def test_made_anew_by_columns_neither_output_says_anything_twice(tmp_path: Path) -> None:
    life = Life(tmp_path / "state", ENRICHED, joined(tmp_path))
    before = live_joined(life, 1)
    life.columnar = 0
    reset(life.plan, life.broker, clock=ManualClock())
    life.work(60)
    assert life.columnar
    assert all(before[name] and life.written()[name] == before[name] for name in topics(ENRICHED))
    life.feed([], START + 960_000_000, ORDERS)
    life.work(20)
    assert all(life.written()[name] == before[name] for name in topics(ENRICHED))

"""Columns of a table follow the contract without a file being written anew, and every type comes back as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headwater.errors import NotSupported
from headwater.mesh.products import ResolvedProduct
from headwater.ports.access import DenyClassified
from headwater.ports.answers import Question
from headwater.ports.lake.answers import LakeAnswers
from headwater.ports.lake.catalog_iceberg import IcebergLake, open_catalog
from headwater.ports.lake.progress import Progress
from headwater.ports.lake.rows import LakeRows
from headwater.ports.lake.sql import scan_sql
from headwater.ports.lake.table import commit
from headwater.ports.record import Message
from headwater.testing.source_products import source_product
from headwater.timeline.instant import Instant

MICROS = {"type": "long", "logicalType": "timestamp-micros"}
EVENT = {"event_id": "a", "occurred_at": 5, "recorded_at": 7, "kind": "assert", "revision": 1, "customer": "ada"}


def product(*fields: dict[str, object]) -> ResolvedProduct:
    named = [{"name": "customer", "type": "string"}, {"name": "occurred_at", "type": MICROS}, *fields]
    return source_product("shop.sales", named, key=("customer",), ports=("topic", "lake"))


class Shop:
    """A table whose contract goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = IcebergLake(open_catalog({"uri": f"sqlite:///{folder}/c.db", "warehouse": f"file://{folder}/t"}))
        self.offset = 0

    def apply(self, contract: ResolvedProduct) -> Sequence[str]:
        missing = self.lake.missing(contract)
        self.lake.ensure(contract)
        assert self.lake.missing(contract) == ()
        return missing

    def put(self, contract: ResolvedProduct, **values: Any) -> None:
        self.offset += 1
        record = {**EVENT, "event_id": str(self.offset), "recorded_at": self.offset, **values}
        rows = LakeRows(contract, DenyClassified()).table([(Message("t", 0, self.offset, b"", b"", 0), record)], "t1")
        progress = Progress("t", "t1", {0: self.offset + 1}, {0: Instant(1)}, f"{self.offset:032x}", 1)
        table = self.lake.table(contract)
        commit(table, table.look(), table.write(rows, progress.commit), progress)

    def rows(self, contract: ResolvedProduct, *names: str) -> list[tuple[Any, ...]]:
        found = LakeAnswers(contract, self.lake.source(contract)).history(Question()).rows
        return [tuple(row[name] for name in names) for row in found]

    def sql(self, contract: ResolvedProduct, *names: str) -> list[tuple[Any, ...]]:
        scan = self.lake.source(contract).scan(None)
        text = scan_sql(scan) if scan is not None else None
        assert text is not None
        return duckdb.connect().execute(f"SELECT {', '.join(names)} FROM ({text}) ORDER BY headwater_offset").fetchall()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_fields_are_added_widened_renamed_and_removed_without_a_file_written_anew(shop: Shop) -> None:
    price = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
    first = product(
        {"name": "count", "type": "int"}, {"name": "price", "type": price}, {"name": "clerk", "type": "string"}
    )
    assert "by day of recorded_at" in shop.apply(first)[0]
    shop.put(first, count=1, price=Decimal("1.50"), clerk="eve")
    files = sorted(shop.folder.rglob("*.parquet"))
    second = product(
        {"name": "count", "type": "long"},
        {"name": "amount", "aliases": ["price"], "type": {**price, "precision": 12}},
        {"name": "shelf", "type": "int", "default": 7},
        {"name": "note", "type": ["string", "null"], "default": "none"},
    )
    assert shop.apply(second) == ("columns of shop.sales_v1 as the contract has them",)
    shop.put(second, count=1 << 40, amount=Decimal("1000000.25"), shelf=8, note=None)
    wanted = [(1, Decimal("1.50"), 7, "none"), (1 << 40, Decimal("1000000.25"), 8, None)]
    assert shop.rows(second, "count", "amount", "shelf", "note") == wanted
    assert shop.sql(second, "count", "amount", "shelf", "note") == wanted
    assert set(files) < set(shop.folder.rglob("*.parquet"))


def test_what_needs_a_table_written_anew_is_refused(shop: Shop) -> None:
    shop.apply(product({"name": "count", "type": "int"}))
    for changed in ("double", "string"):
        with pytest.raises(NotSupported) as caught:
            shop.apply(product({"name": "count", "type": changed}))
        assert caught.value.code == "HW-I008"


def test_every_type_comes_back_as_the_codec_has_it(shop: Shop) -> None:
    line = {"type": "record", "name": "Line", "fields": [
        {"name": "article", "type": "string"}, {"name": "at", "type": MICROS},
        {"name": "sizes", "type": {"type": "array", "items": ["null", "int"]}}]}  # fmt: skip
    named: dict[str, tuple[object, object]] = {
        "flag": ("boolean", True), "raw": ("bytes", b"\x00\xff"), "ratio": ("float", 0.5),
        "day": ({"type": "int", "logicalType": "date"}, 15_000),
        "clock": ({"type": "int", "logicalType": "time-millis"}, 1_234),
        "nanos": ({"type": "long", "logicalType": "timestamp-nanos"}, 1_700_000_000_000_000_001),
        "local": ({"type": "long", "logicalType": "local-timestamp-millis"}, 1_500),
        "wide": ({"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 3}, Decimal("9.125")),
        "either": (["null", "int", "string"], "seven"),
        "kinds": ({"type": "enum", "name": "Size", "symbols": ["S", "M"]}, "M"),
        "digest": ({"type": "fixed", "name": "Digest", "size": 3}, b"abc"),
        "tags": ({"type": "map", "values": MICROS}, {"x": 5}),
        "lines": ({"type": "array", "items": line}, [{"article": "a", "at": 9, "sizes": [1, None]}]),
        "maybe": (["null", "double"], None),
    }  # fmt: skip
    contract = product(*({"name": name, "type": kind} for name, (kind, _) in named.items()))
    shop.apply(contract)
    shop.put(contract, **{name: value for name, (_, value) in named.items()})
    assert shop.rows(contract, *named) == [tuple(value for _, value in named.values())]


def test_nested_fields_are_added_and_renamed_in_place(shop: Shop) -> None:
    def place(*more: dict[str, object]) -> ResolvedProduct:
        record = {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "string"}, *more]}
        return product({"name": "places", "type": {"type": "array", "items": record}})

    first = place({"name": "zip", "type": "string"})
    shop.apply(first)
    shop.put(first, places=[{"city": "Kiel", "zip": "24103"}])
    second = place(
        {"name": "code", "aliases": ["zip"], "type": "string"}, {"name": "floor", "type": "int", "default": 1}
    )
    shop.apply(second)
    shop.put(second, places=[{"city": "Bonn", "code": "53111", "floor": 4}])
    assert shop.rows(second, "places") == [
        ([{"city": "Kiel", "code": "24103", "floor": 1}],),
        ([{"city": "Bonn", "code": "53111", "floor": 4}],),
    ]
    assert json.dumps([column.name for column in shop.lake.table(second).load().schema().fields])


def test_the_files_of_days_that_cannot_hold_it_are_passed_over(shop: Shop) -> None:
    contract = product({"name": "count", "type": "int"})
    shop.apply(contract)
    for day in range(4):
        shop.put(contract, count=day, recorded_at=day * 86_400_000_000 + 5)
    scan = shop.lake.source(contract).scan(Instant(86_400_000_000 + 10))
    assert scan is not None and len(scan.paths) == 2

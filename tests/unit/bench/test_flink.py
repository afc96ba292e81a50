"""What Flink is given: statements of the right tables, a jar without services that are not there, and its oracle."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any, cast

import pytest
from bench.flink_queries import FLINK
from bench.history import TAKEN_BACK, History, Said
from bench.last_bids import newest
from bench.nexmark import NexmarkLog
from bench.oracle import Verdict
from bench.queries import QUERIES, said
from bench.sellers import QUERIES as SELLERS
from bench.stack import Stack
from bench.systems.flink import Flink, Job

from headwater.local.flink import SERVICES, without_clusters


def test_every_query_has_its_sql() -> None:
    assert set(FLINK) == {*QUERIES, *SELLERS, "q18"}


@pytest.mark.parametrize("name", FLINK)
def test_a_query_reads_its_tables_and_is_kept_by_columns_of_its_output(name: str) -> None:
    sql = FLINK[name]
    written = {column.split()[0] for column in sql.output.split(", ")}
    assert {sql.partition_by, *sql.key} <= written
    assert {f"in{number}" for number in range(len(sql.columns))} == set(re.findall(r"\bin\d\b", sql.query))


def test_what_a_run_is_described_by_can_be_written_and_names_no_folder() -> None:
    job = Job("q1", {}, FLINK["q1"], lambda messages: Verdict("", 0))
    stack, nothing = Stack(), cast("Any", None)
    described = json.dumps(Flink(stack, nothing, job).settings())
    assert "rocksdb" in described and str(stack.work_folder) not in described


def test_services_for_clusters_are_left_out_and_nothing_else_is(tmp_path: Path) -> None:
    shipped = tmp_path / "shipped.jar"
    lines = ["org.apache.flink.Local", "org.apache.flink.yarn.Yarn", "org.apache.flink.kubernetes.Kubernetes"]
    with zipfile.ZipFile(shipped, "w") as jar:
        for name in SERVICES:
            jar.writestr(name, "\n".join(lines))
        jar.writestr("a.class", b"code")
    without_clusters(shipped, tmp_path / "target.jar")
    with zipfile.ZipFile(tmp_path / "target.jar") as jar:
        assert [jar.read(name).decode() for name in SERVICES] == ["org.apache.flink.Local"] * 2
        assert jar.read("a.class") == b"code"


def test_the_newest_bid_of_a_pair_is_by_valid_time_and_not_by_arrival() -> None:
    log = NexmarkLog(bids=3_000, late_per_mille=50)
    last: dict[str, tuple[int, int]] = {}
    for bid in sorted(log.all_bids(), key=lambda one: (one.occurred_at, one.event_id)):
        last[f"{bid.bidder}@{bid.auction}"] = (bid.price, bid.occurred_at)
    assert {pair: known[-1][0] for pair, known in History(newest(log)).versions.items()} == last


class Deleted:
    """A record without a value."""

    def __init__(self, key: bytes, value: bytes | None = None) -> None:
        self._both = key, value

    def key(self) -> bytes:
        """Its key."""
        return self._both[0]

    def value(self) -> bytes | None:
        """Its value."""
        return self._both[1]


def test_what_is_deleted_counts_where_it_was_said_before() -> None:
    key = b'{"person":"p1","valid_from":5}'
    body = b"frame" + b"\x04p1" + b"\x0a" + b"\x00" + b"\x02\x06Ann" + b"\x04"  # p1, 5, null, Ann, 2
    messages: list[Any] = [Deleted(key), Deleted(key, body), Deleted(key)]
    found = list(said(messages, SELLERS["q8"].read, whole=False))
    assert found == [Said("p1@5", ("Ann", 2)), Said("p1@5", TAKEN_BACK)]

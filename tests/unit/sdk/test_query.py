"""Queries over products in their cell: what they find, how firm it is, and that nothing gets out of it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from tests.unit.ports.test_answers import FIRST, PARTITIONS, World

from headwater.errors import CallerFault
from headwater.schemas.arrow import plain
from headwater.sdk import query as query_module
from headwater.sdk.query import Bounds, Result, run
from headwater.sdk.sql_text import Asked, read_query
from headwater.testing.source_products import order_events

ROWS = pa.table({"v": range(3_000)})


def asked(text: str, world: World, *, bounds: Bounds | None = None) -> Result:
    def read(one: Asked) -> tuple[object, object]:
        if one.history:
            return world.opened.history(recorded=one.recorded), world.product.output.schema
        return world.opened.as_of(valid=one.valid, recorded=one.recorded), world.product.output.schema

    return run(read_query(text), read, bounds or Bounds())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def world() -> World:
    made = World(order_events(partitions=PARTITIONS))
    made.write(FIRST, {**FIRST, "event_id": "b", "customer": "bob", "number": 7}, marked=49)
    made.write({**FIRST, "number": 5, "recorded_at": 60, "kind": "correct", "revision": 2}, marked=69)
    return made


def test_a_select_joins_a_product_now_with_itself_as_it_was(world: World) -> None:
    found = asked(
        "SELECT now.customer, now.number - before.number AS corrected, now.recorded_at AS known"
        " FROM orders.placed AS now"
        " JOIN as_of('orders.placed', recorded => '1970-01-01T00:00:00.000049Z') AS before USING (event_id) ORDER BY 1",
        world,
    )
    rows = [(row["customer"], row["corrected"]) for row in found.rows.to_pylist()]
    assert rows == [("ada", 4), ("bob", 0)]
    assert found.rows.column("known")[0].as_py() == datetime.fromtimestamp(0, UTC).replace(microsecond=60)
    assert (found.settled, found.settled_to) == (True, 69)
    assert found.firmness() == "2 rows; settled up to 1970-01-01T00:00:00.000069Z: this answer is final"


def test_history_is_every_record(world: World) -> None:
    found = asked("SELECT revision, count(*) AS n FROM history('orders.placed') GROUP BY 1 ORDER BY 1", world)
    assert found.to_pandas().values.tolist() == [[1, 2], [2, 1]]
    assert found.to_polars().rows() == [(1, 2), (2, 1)]


def test_more_rows_than_wanted_are_cut_and_said(world: World) -> None:
    found = asked("SELECT * FROM orders.placed", world, bounds=Bounds(rows=1))
    assert (found.rows.num_rows, found.cut) == (1, True)
    assert found.firmness().startswith("1 row, and more that are left out; ")


def test_a_query_that_fails_says_why(world: World) -> None:
    with pytest.raises(CallerFault) as failed:
        asked("SELECT nothing FROM orders.placed", world)
    assert failed.value.code == "HW-K065"
    assert 'Referenced column "nothing" not found' in failed.value.detail


def test_a_query_is_killed_at_its_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(CallerFault) as stopped:
        inside("SELECT count(*) FROM a.b x, a.b y, a.b z WHERE x.v + y.v + z.v < 0", Bounds(seconds=3))
    assert stopped.value.code == "HW-K066"
    assert time.monotonic() - began < 30, "a kill, not a request"


def test_a_query_that_wants_too_much_memory_is_stopped() -> None:
    with pytest.raises(CallerFault) as stopped:
        inside("SELECT count(DISTINCT x.v::text || y.v::text || 'x') FROM a.b x, a.b y", Bounds(memory_megabytes=64))
    assert stopped.value.code == "HW-K066"


@pytest.mark.parametrize(
    "text",
    [
        # What no query can say reaches the cell here all the same: the second wall stands by itself.
        "SELECT * FROM read_csv('/etc/passwd'); COPY a.b TO '{folder}/out'",
        "ATTACH '{folder}/out.db' AS o; CREATE TABLE o.x AS SELECT 1",
        "SET enable_external_access = true; SELECT * FROM '/etc/passwd'",
        "SELECT * FROM sniff_csv('/etc/passwd')",
    ],
)
def test_the_cell_itself_opens_no_file_and_changes_no_setting(text: str, tmp_path: Path) -> None:
    with pytest.raises(CallerFault) as failed:
        inside(text.format(folder=tmp_path), Bounds(seconds=20))
    assert failed.value.code == "HW-K065"
    assert os.listdir(tmp_path) == []
    assert "root:" not in failed.value.detail


def inside(text: str, bounds: Bounds) -> pa.Table:
    return query_module._run(text, {("a", "b"): ROWS}, bounds)


def test_values_are_shown_as_records_are() -> None:
    assert plain({"at": datetime(2013, 1, 5, 14, 6, tzinfo=UTC), "raw": b"\x00", "in": [("a", 1)]}) == {
        "at": "2013-01-05T14:06:00.000000Z",
        "raw": "AA==",
        "in": [["a", 1]],
    }


def test_a_result_shows_itself_and_takes_nothing_for_markup(world: World) -> None:
    found = asked("SELECT '<b>' || customer AS \"<i>\" FROM orders.placed ORDER BY 1", world)
    shown = found._repr_html_()
    assert "<td>&lt;b&gt;ada</td>" in shown and "<th>&lt;i&gt;</th>" in shown and "<b>" not in shown
    assert "2 rows; settled up to" in shown

"""Mappings: what a check says of `mapping.py`, what a change becomes, and where what does not fit goes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headwater.errors import CallerFault
from headwater.mesh.load import load_mesh, survey
from headwater.outbox import pgoutput_changes, pgoutput_write
from headwater.outbox.change import Change, Record
from headwater.outbox.mapper import Mapper, Place
from headwater.outbox.mapping_file import load_mapping, mapping_findings
from headwater.outbox.pg_values import converter
from headwater.outbox.pgoutput_changes import UNSENT, RowChange, Table
from headwater.outbox.refused import refusal
from headwater.plan.check import check
from headwater.sdk.emit import emit
from headwater.testing.captured_mesh import FILES, MAPPING, PRODUCT, write_captured_mesh
from headwater.testing.small_mesh import edit, release, write
from headwater.testing.source_products import captured_items, stock_facts
from headwater.timeline.instant import Instant

NOON = Instant.parse("2026-01-01T12:00:00Z")
PLACE = Place(100, NOON, 3)
TABLE = Table(7, "public", "item", ("id", "state"), (23, 25), frozenset(("id",)))


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (16, b"f", False), (20, b"-9", -9), (701, b"1.5", 1.5), (1700, b"1.50", Decimal("1.50")),
        (25, "ä".encode(), "ä"), (17, b"\\x00ff", b"\x00\xff"), (1082, b"2026-02-03", date(2026, 2, 3)),
        (1082, b"infinity", "infinity"),
        (1114, b"2026-01-01 12:00:00.25", datetime.fromisoformat("2026-01-01T12:00:00.25")),
        (1184, b"2026-01-01 12:00:00+02", datetime(2026, 1, 1, 10, tzinfo=UTC)),
        (1184, b"0044-03-15 12:00:00+00 BC", "0044-03-15 12:00:00+00 BC"),
        (2950, b"7f3f8f86-6a53-4a0c-9d2b-0a3f5d6b8c11", UUID("7f3f8f86-6a53-4a0c-9d2b-0a3f5d6b8c11")),
        (3802, b'{"a": 1.10}', {"a": Decimal("1.10")}), (1007, b"{}", []), (1007, b"[0:1]={4,5}", [4, 5]),
        (1009, b'{a,"b,\\"c\\\\",NULL,"NULL"}', ["a", 'b,"c\\', None, "NULL"]),
        (1007, b"{{1,2},{3,4}}", [[1, 2], [3, 4]]),
        (99_999, b"(1,2)", "(1,2)"),
    ],
)  # fmt: skip
def test_text_becomes_the_value_of_its_type(type_: int, text: bytes, value: object) -> None:
    found = converter(type_)(text)
    assert found == value
    assert type(found) is type(value)


def body(message: bytes) -> bytes:
    return pgoutput_write.data(message, lsn=1, sent_at=0)


def test_an_update_has_what_the_log_has_of_the_old_row() -> None:
    columns = [("id", 23), ("state", 25), ("doc", 25)]
    described = pgoutput_changes.table(body(pgoutput_write.typed_relation(7, "public", "item", columns, {"id"})))
    assert (described.columns, described.types, described.identity) == (("id", "state", "doc"), (23, 25, 25), {"id"})
    new = (b"1", b"paid", UNSENT)
    bare = pgoutput_changes.change(body(pgoutput_write.update(7, new)), described)
    assert (bare.old, bare.missing) == (None, ["doc"])
    old = (b"1", b"open", b"long")
    whole = pgoutput_changes.change(body(pgoutput_write.update(7, new, old=old)), described)
    assert (whole.old, whole.new, whole.missing) == (old, (b"1", b"paid", b"long"), [])
    moved = pgoutput_changes.change(body(pgoutput_write.update(7, new, old=(b"2", None, None), whole=False)), described)
    assert moved.old == (b"2", UNSENT, UNSENT)
    assert described.values(moved.old) == {"id": 2}
    gone = pgoutput_changes.change(body(pgoutput_write.delete(7, old)), described)
    assert (gone.op, gone.old, gone.new) == ("delete", old, None)
    assert pgoutput_changes.truncated(body(pgoutput_write.truncate([7, 9]))) == [7, 9]


def mapper(mapping: Callable[[Change], Iterable[Any]], product: Any = None) -> Mapper:
    return Mapper(product or captured_items(), mapping, source="s", system_id="7", key=["id"])


def item(change: Change, **more: Any) -> dict[str, Any]:
    return {"item": str(change.row["id"]), "state": change.row["state"], "op": change.op, "occurred_at": NOON, **more}


INSERT = RowChange(TABLE, "insert", None, (b"1", b"open"))
UPDATE = RowChange(TABLE, "update", (b"1", b"open"), (b"1", b"paid"))
DELETE = RowChange(TABLE, "delete", (b"1", b"paid"), None)


def test_kind_and_revision_follow_from_the_change_unless_the_mapping_says_them() -> None:
    corrected = mapper(lambda change: [Record(item(change), event_id="i")])
    rows = [corrected.rows(change, PLACE, number)[0] for number, change in enumerate((INSERT, UPDATE, DELETE))]
    assert [(row[5], row[6], row[7]) for row in rows] == [
        (b"assert", b"1", b"i"), (b"correct", b"2", b"i"), (b"retract", b"3", b"i"),
    ]  # fmt: skip
    own = mapper(lambda change: [Record(item(change))])
    assert [row[5:8] for row in own.rows(UPDATE, PLACE, 41)] == [(b"assert", b"1", None)]
    said = mapper(lambda change: [Record(item(change), event_id="i", kind="assert", revision=9)])
    assert [row[5:7] for row in said.rows(UPDATE, PLACE, 41)] == [(b"assert", b"9")]
    facts = mapper(lambda change: [Record(level(change), kind="retract"), Record(level(change))], stock_facts())
    assert [row[5:8] for row in facts.rows(UPDATE, PLACE, 10)] == [
        (b"retract", b"11", None), (b"correct", b"12", None),
    ]  # fmt: skip


def level(change: Change) -> dict[str, Any]:
    return {"place": "x", "article": str(change.row["id"]), "valid_from": NOON, "valid_to": None, "count": 1}


def test_the_same_change_gives_the_same_rows_and_each_row_has_an_id_of_its_own() -> None:
    twice = mapper(lambda change: [Record(item(change), event_id="a"), Record(item(change), event_id="b")])
    first, again = twice.rows(INSERT, PLACE, 4), twice.rows(INSERT, PLACE, 4)
    assert first == again
    later = twice.rows(INSERT, Place(100, NOON, 4), 6)
    loaded = twice.rows(RowChange(TABLE, "snapshot", None, INSERT.new), PLACE, 4)
    ids = [row[0] for row in (*first, *later, *loaded)]
    assert len(set(ids)) == len(ids)


def _raises(change: Change) -> list[Record]:
    raise ValueError(change.row["state"])


def _half(change: Change) -> Iterable[Record]:
    yield Record(item(change))
    raise SystemExit(0)


@pytest.mark.parametrize(
    ("mapping", "code"),
    [
        (_raises, "HW-O149"), (_half, "HW-O149"), (lambda change: None, "HW-O149"),
        (lambda change: [change.row["status"]], "HW-O153"), (lambda change: [{"item": "1"}], "HW-O150"),
        (lambda change: [Record(item(change), kind="delete")], "HW-O150"),
        (lambda change: [Record(item(change), revision=0)], "HW-O150"),
        (lambda change: [Record(item(change), kind="correct")], "HW-O150"),
        (lambda change: [Record(item(change), event_id=7)], "HW-O150"),
        (lambda change: iter(lambda: Record(item(change)), None), "HW-O150"),
        (lambda change: [Record(item(change)), Record(item(change, state=5))], "HW-S030"),
        (lambda change: change.after.update(state="x"), "HW-O149"),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_mapped_is_refused_whole_with_its_code_alone(mapping: Any, code: str) -> None:
    (row,) = mapper(mapping).rows(INSERT, PLACE, 0)
    reason = refusal(row[3])
    assert reason is not None
    assert reason.code == code
    assert row[2] == b"1"
    told = json.loads(row[4] or b"")
    assert told["op"] == "insert"
    assert told["after"] == {"id": "1", "state": "open"}
    assert b"open" not in (row[3] or b"")


def test_nobody_emits_into_a_product_that_captures_a_table() -> None:
    with pytest.raises(CallerFault) as caught:
        emit(NoConnection(), captured_items(), {"item": "1", "state": "x", "op": "x", "occurred_at": 1})
    assert (caught.value.code, "captures a table" in caught.value.message) == ("HW-O041", True)


class NoConnection:
    """Nothing may be asked of it."""

    def cursor(self) -> Any:
        raise AssertionError("no row is written")


def test_a_large_value_that_nobody_has_refuses_the_change() -> None:
    (row,) = mapper(lambda change: []).rows(RowChange(TABLE, "update", None, (b"1", UNSENT)), PLACE, 0)
    reason = refusal(row[3])
    assert reason is not None
    assert (reason.code, reason.field) == ("HW-O151", "state")


def _page() -> list[str]:
    page = Path(__file__).parents[3] / "docs" / "concepts" / "capture.md"
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_the_examples_of_the_page_give_what_it_says() -> None:
    first, second = _page()
    orders: dict[str, Any] = {}
    exec(first, orders)  # noqa: S102 - the page's own example
    given = [orders["mapping"](sample) for sample in orders["SAMPLES"]]
    assert [[record.event_id for record in records] for records in given] == [["order-7"]] * 3
    row = orders["ROW"]
    assert orders["mapping"](Change("update", row, dict(row), datetime(2026, 1, 2, tzinfo=UTC))) == []
    prices: dict[str, Any] = dict(orders)
    exec(second, prices)  # noqa: S102
    before = {"article": "a", "cents": 100, "changed_at": 1}
    after = {**before, "cents": 120, "changed_at": 5}
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    closed = [
        (r.kind, r.payload["cents"], r.payload["valid_to"])
        for r in prices["mapping"](Change("update", before, after, moment))
    ]
    assert closed == [("retract", 100, None), ("assert", 100, 5), ("assert", 120, None)]
    gone = prices["mapping"](Change("delete", before, None, moment))
    assert [(r.kind, r.payload["valid_to"]) for r in gone] == [("retract", None), ("assert", moment)]


@pytest.fixture
def mesh(tmp_path: Path) -> Path:
    return release(write_captured_mesh(tmp_path))


def test_the_example_is_right_in_everything(mesh: Path) -> None:
    assert check(mesh).findings == ()
    loaded = load_mapping(load_mesh(mesh).product("shop.orders"))
    assert len(loaded.samples) == 4


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("from decimal", "import time\nfrom decimal", "HW-O146", "imports 'time'"),
        ("from headwater import", "from headwater.outbox.change import", "HW-O146", "headwater.outbox.change"),
        ("Change, Record", "Change, Record, Relay", "HW-O146", "'Relay' is no public name"),
        ('"note": row["note"]', '"note": str(datetime.now(UTC))', "HW-O146", "calls now()"),
        ('"note": row["note"]', '"note": open("x").read()', "HW-O146", "calls open()"),
        ("    before, after", "    global ROW\n    before, after", "HW-O146", "keeps something"),
        ("def mapping(", "def map(", "HW-O144", "no function 'mapping'"),
        ("def mapping(change: Change)", "def mapping(change, more)", "HW-O144", "2 parameters"),
        ("def mapping(", "def mapping((", "HW-O143", "not Python"),
        ("ROW = {", "ROW = UNKNOWN, {", "HW-O145", "NameError"),
        ("SAMPLES = [", "CASES = [", "HW-O147", "no SAMPLES"),
        ('"state": row["state"]', '"state": 5', "HW-O148", "state"),
        ('"state": row["state"]', '"state": row["status"]', "HW-O148", "KeyError"),
        ('"state": row["state"]', '"stat": row["state"]', "HW-O148", "SAMPLES[0]"),
        ("SAMPLES = [\n", "SAMPLES = [\n    7,\n", "HW-O148", "a int, not a Change"),
        ("    before, after = change.before, change.after\n",
         "    SEEN.append(change)\n    before, after = change.before, change.after\n"
         "    yield Record({**payload(change.row, str(len(SEEN)))}, event_id='x')\n\n\nSEEN = []\n\n\n"
         "def rest(change):\n    before, after = change.before, change.after\n",
         "HW-O148", "two answers"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_mapping_is_told_at_its_place(
    mesh: Path, old: str, new: str, code: str, words: str
) -> None:
    edit(mesh, MAPPING, old, new)
    findings = mapping_findings(load_mesh(mesh))
    assert {finding.code for finding in findings} == {code}
    assert words in findings[0].message
    assert (findings[0].file, findings[0].line > 0) == (MAPPING, True)


def test_a_capture_without_a_mapping_or_with_another_database_is_told_in_the_contract(mesh: Path) -> None:
    (mesh / MAPPING).unlink()
    edit(mesh, PRODUCT, "database: shopdb", "database: other")
    found = {(finding.code, finding.path) for finding in survey(mesh).findings}
    assert found == {("HW-O142", "capture"), ("HW-C054", "capture.database")}


def test_an_outbox_and_a_captured_table_never_share_a_slot(mesh: Path) -> None:
    write(
        mesh,
        PRODUCT.replace("orders", "events"),
        FILES[PRODUCT].replace("orders", "events").replace("capture:", "outbox:"),
    )
    write(
        mesh,
        "schemas/avro/shop/events/Order.avsc",
        FILES["schemas/avro/shop/orders/Order.avsc"].replace("orders", "events"),
    )
    assert [f.code for f in survey(mesh).findings if f.code != "HW-S071"] == ["HW-C064"]

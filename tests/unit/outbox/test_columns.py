"""The column road against the row road: whatever the schema and however hostile the rows, the same records and misfits.

The row road is the reference. Payloads are drawn as text, so that what no JSON library would write is among them.
"""

from __future__ import annotations

import json
import os
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.mesh.products import ResolvedProduct
from headwater.outbox import columns, pgoutput_write
from headwater.outbox.columns import fitting
from headwater.outbox.encode import Encoded, Encoder, Target
from headwater.outbox.event import COLUMNS, OPTIONAL
from headwater.outbox.pgoutput import Relation, row_reader
from headwater.outbox.position import Position
from headwater.outbox.segment import Batch, Run, Segment
from headwater.testing.source_products import INSTANT, order_events, source_product, stock_facts
from headwater.timeline.instant import Instant

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
DATE = {"type": "int", "logicalType": "date"}
UUID = {"type": "string", "logicalType": "uuid"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
NUMBER = count()  # so that no two named types of a schema have one name
ID = "7f3f8f86-6a53-4a0c-9d2b-0a3f5d6b8c11"


def cell(text: str | bytes | None) -> bytes | None:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def both(product: ResolvedProduct, rows: list[dict[str, bytes | None]], names: tuple[str, ...] = COLUMNS) -> Encoded:
    """What the column road makes of rows; asserts that the row road makes the same."""
    relation = Relation(7, "public", "outbox", names)
    inserts = [pgoutput_write.insert(7, [row.get(name) for name in names]) for row in rows]
    messages = [pgoutput_write.data(body, lsn=1, sent_at=2_000_000_000_000_000) for body in inserts]
    results = []
    for with_columns in (True, False):
        half = len(messages) // 2
        segments = []
        for number, part in enumerate((messages[:half], messages[half:])):
            run = Run(row_reader(relation, COLUMNS, OPTIONAL), list(part), relation)
            at = 9_000_001 + number * 1_000
            segments.append(Segment(0x16 + number, Instant(at), 3 * number, recorded_at=at, runs=[run]))
        other = order_events()
        encoder = Encoder([Target(product, 42, 4), Target(other, 43, 4)], source="crm.public.outbox", system_id="77")
        if not with_columns:
            encoder._columns = None
        results.append(encoder.encode(Batch(tuple(segments), Position.start("77", 1, 0), len(rows), None)))
    by_columns, by_rows = results
    assert by_columns.records == by_rows.records
    assert by_columns.misfits == by_rows.misfits
    assert by_rows.columnar == 0
    return by_columns


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are enough for columns, and for pieces."""
    monkeypatch.setattr(columns, "LEAST_ROWS", 1)
    monkeypatch.setattr(columns, "_PIECE", 2)


SCALARS = ["boolean", "int", "long", "double", "string", INSTANT, MILLIS, DATE, UUID]
OUTSIDE = ["float", "bytes", DECIMAL, {"type": "map", "values": "long"}, ["null", "long", "string"], "null"]
TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["\x00", "\x1f", "\u2028", "ä", "😀", '"', "\\", "/", "a\nb", "2020-02-29T23:59:59.999999Z"]),
)
NUMBERS = ["0", "-0", "1", "-1", "64", "2147483647", "2147483648", "-2147483648", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "1000000000000000000000000000000",
    "1.0", "1.5", "1e3", "1E400", "-0.0", "2e-400", "4.9e-324", "0.1", "1e-7",
    "123456789012345678.25", "1" + "0" * 310]  # fmt: skip
INSTANT_TEXTS = ["2026-01-02T03:04:05.000006Z", "2026-01-02T03:04:05Z", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2000-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-02T24:00:00Z",
    "2026-01-02T03:04:60Z",
    "0000-01-01T00:00:00Z", "2026-01-02T03:04:05+01:00", "2026-01-02T03:04:05", "2026-01-02 03:04:05.000006Z",
    "2026-01-02T03:04:05.000006z", "2026-01-02T03:04:05.00000äZ", "2026-01-02T03:04:05.123000Z"]  # fmt: skip
DATE_TEXTS = [
    "2026-01-02",
    "2024-02-29",
    "2023-02-29",
    "0001-01-01",
    "0000-01-01",
    "9999-12-31",
    "2026-W01-1",
    "2026-1-002",
]
UUID_TEXTS = [ID, ID.upper(), ID[:-1], ID.replace("-", "_"), "g" + ID[1:]]
HOSTILE = st.sampled_from(
    [*NUMBERS, "null", "true", "false", '"x"', '"1"', "[]", "{}", "[null]", "NaN", "Infinity", "-Infinity", "",
     "01", "+1",
     "1.", ".5", '"\\ud800"', '"\\udc00"', '"\\ud83d\\ude00"', '"\\u0000"', '"\x01"', "'x'", '"\\q"', '"\\/"', "[1,]",
     '{"a":1,"a":2}',
     '"\ud800"', "nul", "1 2", "/*x*/1"]
)  # fmt: skip


@st.composite
def types(draw: st.DrawFn, depth: int = 0) -> object:
    kinds = ["scalar"] * 6 + ["enum", "array", "record", "nullable", "outside"]
    kind = draw(st.sampled_from(kinds if depth < 2 else ["scalar", "enum", "nullable"]))
    if kind == "scalar":
        return draw(st.sampled_from(SCALARS))
    if kind == "enum":
        return {"type": "enum", "name": f"E{next(NUMBER)}", "symbols": ["A", "B", "C"]}
    if kind == "array":
        return {"type": "array", "items": draw(types(depth + 1))}
    if kind == "outside":
        return draw(st.sampled_from(OUTSIDE)) if depth < 2 and draw(st.integers(0, 3)) == 0 else "long"
    if kind == "nullable":
        inner = draw(types(2 if depth else 1).filter(lambda one: not isinstance(one, list) and one != "null"))
        return draw(st.sampled_from([["null", inner], [inner, "null"]]))
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True))
    return {
        "type": "record",
        "name": f"R{next(NUMBER)}",
        "fields": [draw(field(name, depth + 1)) for name in names],
    }


@st.composite
def field(draw: st.DrawFn, name: str, depth: int) -> dict[str, object]:
    kind = draw(types(depth))
    made: dict[str, object] = {"name": name, "type": kind}
    choice = draw(st.integers(0, 2))
    if isinstance(kind, list) and kind[0] == "null" and choice:
        made["default"] = None
    elif kind in ("long", "int", "double") and choice == 0:
        made["default"] = 7
    elif kind == "string" and choice == 0:
        made["default"] = "x"
    elif isinstance(kind, list) and kind[0] in ("long", "int") and choice == 0:
        made["default"] = 5
    return made


@st.composite
def json_text(draw: st.DrawFn, kind: object, hostile: bool) -> str:
    """A value of a type as JSON text; where `hostile`, now and then something else."""
    if hostile and draw(st.integers(0, 11)) == 0:
        return draw(HOSTILE)
    if isinstance(kind, list):
        return draw(json_text(draw(st.sampled_from(kind)), hostile))
    if isinstance(kind, dict):
        return draw(_named_text(kind, hostile))
    if kind == "boolean":
        return draw(st.sampled_from(["true", "false"]))
    if kind in ("int", "long"):
        bits = 31 if kind == "int" else 63
        return str(draw(st.integers(-(1 << bits), (1 << bits) - 1)))
    if kind in ("double", "float"):
        return json.dumps(draw(st.floats(allow_nan=False, allow_infinity=False, width=32)) or 0.0)
    if kind == "null":
        return "null"
    text = draw(TEXTS)
    return json.dumps(text, ensure_ascii=draw(st.booleans())) if kind == "string" else json.dumps("YWI=")


@st.composite
def _named_text(draw: st.DrawFn, kind: dict, hostile: bool) -> str:
    if kind.get("logicalType") in ("timestamp-micros", "timestamp-millis"):
        if draw(st.booleans()) and hostile:
            return json.dumps(draw(st.sampled_from(INSTANT_TEXTS)), ensure_ascii=False)
        return str(draw(st.integers(-(10**12), 10**15)) * (1 if hostile else 1_000))
    if kind.get("logicalType") == "date":
        return json.dumps(draw(st.sampled_from(DATE_TEXTS if hostile else DATE_TEXTS[:2])))
    if kind.get("logicalType") == "uuid":
        return json.dumps(draw(st.sampled_from(UUID_TEXTS if hostile else UUID_TEXTS[:1])))
    if kind.get("logicalType") == "decimal":
        return '"1.25"'
    if kind["type"] == "enum":
        return json.dumps(draw(st.sampled_from(["A", "B", "C", "D"] if hostile else ["A", "B", "C"])))
    if kind["type"] == "map":
        return '{"k": 1}'
    if kind["type"] == "array":
        return "[" + ", ".join(draw(st.lists(json_text(kind["items"], hostile), max_size=3))) + "]"
    return draw(object_text(kind["fields"], hostile))


@st.composite
def object_text(draw: st.DrawFn, fields: list[dict], hostile: bool) -> str:
    parts = []
    for one in fields:
        if "default" in one and draw(st.integers(0, 2)) == 0:
            continue
        if hostile and draw(st.integers(0, 15)) == 0:
            continue
        parts.append(f"{json.dumps(one['name'])}: {draw(json_text(one['type'], hostile))}")
        if hostile and draw(st.integers(0, 19)) == 0:
            parts.append(f"{json.dumps(one['name'])}: {draw(json_text(one['type'], hostile))}")
    if hostile and draw(st.integers(0, 15)) == 0:
        parts.append(f'"unknown": {draw(HOSTILE)}')
    return "{" + ", ".join(draw(st.permutations(parts))) + "}"


@st.composite
def rows_of(draw: st.DrawFn, product: ResolvedProduct, fields: list[dict], hostile: bool) -> dict[str, bytes | None]:
    key = draw(st.sampled_from(["ada", "bob", "ä"]))
    rest = draw(object_text(fields[1:], hostile))
    payload = "{" + f'"key": {json.dumps(key, ensure_ascii=False)}' + (", " if rest != "{}" else "") + rest[1:]
    row: dict[str, bytes | None] = {
        "id": str(draw(st.uuids())).encode(), "aggregatetype": str(product.name).encode(), "aggregateid": key.encode(),
        "type": product.output.schema.name.encode(), "payload": cell(payload), "kind": b"assert", "revision": b"1",
        "event_id": draw(st.sampled_from([b"e1", None, b"", b"\xc3\xa4"])),
    }  # fmt: skip
    if hostile and draw(st.integers(0, 4)) == 0:
        name = draw(st.sampled_from(COLUMNS))
        row[name] = draw(st.sampled_from(
            [None, b"", b"x", b"2", b"0", b"-1", b"+1", b" 1", b"1_0", b"99999999999999999999", b"correct", b"retract",
             b"\xff",
             b"orders.placed", b"[]", b"{}{}", b'{"key": "ada"}\n{"key": "ada"}', b'{"key": "a', b" {}", b"{} "]
        ))  # fmt: skip
    return row


@settings(max_examples=int(os.environ.get("HEADWATER_TEST_EXAMPLES", 40)), deadline=None)
@given(st.data())
def test_columns_and_rows_make_the_same_of_any_rows_of_any_schema(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from("abcdef"), max_size=4, unique=True))
    fields: list[dict] = [{"name": "key", "type": "string"}, *[data.draw(field(name, 0)) for name in names]]
    product = source_product("any.thing", fields, key=("key",))
    hostile = data.draw(st.booleans())
    rows = data.draw(st.lists(rows_of(product, fields, hostile), min_size=1, max_size=8))
    table = data.draw(st.sampled_from([COLUMNS, ("note", *COLUMNS, "more"), tuple(reversed(COLUMNS)), COLUMNS[:9]]))
    encoded = both(product, rows, table)
    sure = fitting(product.output) and not hostile
    plain = not any(word in json.dumps(fields) for word in ("default", "null"))
    if sure and plain:
        assert encoded.columnar == len(rows), "what is usual is not left to the row road"


def good(number: int, /, **changes: object) -> dict[str, bytes | None]:
    key = f"c{number % 5}"
    payload = {"customer": key, "number": number, "occurred_at": number, "note": None, **changes}
    return {
        "id": f"00000000-0000-4000-8000-{number:012d}".encode(), "aggregatetype": b"orders.placed",
        "aggregateid": key.encode(), "type": b"orders.placed.Record", "payload": json.dumps(payload).encode(),
        "kind": b"correct", "revision": b"17",
        "event_id": None, "traceparent": b"00-1-2-01" if number % 3 == 0 else None,
        "key_version": b"4" if number % 7 == 0 else None,
    }  # fmt: skip


def test_one_bad_row_costs_its_piece_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_PIECE", 10)
    rows = [good(number) for number in range(100)]
    rows[41] = good(41, number="many")
    encoded = both(order_events(), rows)
    assert encoded.columnar == 90 and len(encoded.misfits) == 1


def test_instants_as_text_and_rows_that_keep_their_place() -> None:
    rows = [good(number, occurred_at="2026-01-02T03:04:05.000006Z") for number in range(20)]
    rows[7] = {**good(7), "aggregatetype": b"no.body"}
    rows[9] = good(9, occurred_at="2026-01-02T03:04:05+01:00")
    assert both(order_events(), rows).columnar == 18


def test_a_product_whose_rows_mostly_fail_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(columns.PayloadColumns, "read", lambda self, payloads: read.append(1) or _unsure())
    both(order_events(), [good(number) for number in range(10)])
    read.clear()
    encoder = Encoder([Target(order_events(), 42, 4)], source="crm.public.outbox", system_id="77")
    relation = Relation(7, "public", "outbox", COLUMNS)
    body = pgoutput_write.insert(7, [good(1).get(name) for name in COLUMNS])
    message = pgoutput_write.data(body, lsn=1, sent_at=2_000_000_000_000_000)
    run = Run(row_reader(relation, COLUMNS), [message] * 10, relation)
    for _ in range(5):
        encoder.encode(Batch((Segment(1, Instant(1), 0, runs=[run]),), Position.start("77", 1, 0), 10, None))
    assert len(read) == 6, "tried once, whole and in five pieces, then not again"


def test_a_record_larger_than_a_broker_takes_is_the_row_roads_to_refuse() -> None:
    assert both(order_events(), [good(1), good(2, note="x" * 960_000), good(3)]).columnar == 2


def test_facts_and_keys_of_several_fields() -> None:
    payload = b'{"place": "X", "article": "y", "valid_from": 1, "valid_to": null, "count": 3}'
    row = {
        **good(1),
        "aggregatetype": b"stock.levels",
        "type": b"stock.levels.Record",
        "aggregateid": b'["X","y"]',
        "payload": payload,
    }
    product = stock_facts()
    if len(product.output.output.key) == 1:
        row["aggregateid"] = b"X"
    assert both(product, [row] * 3).columnar == 3


def test_shapes_that_are_not_proven_take_the_row_road() -> None:
    for kind in OUTSIDE:
        assert not fitting(
            source_product(
                "any.thing", [{"name": "key", "type": "string"}, {"name": "a", "type": kind}], key=("key",)
            ).output
        )
    assert not fitting(order_events(ports=("topic", "current")).output)
    assert fitting(order_events().output)


def _unsure() -> None:
    raise columns.Unsure

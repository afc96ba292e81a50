"""Rows to bytes: what fits is framed Avro at its key's partition, what does not keeps its bytes and says why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headwater.mesh.products import ResolvedProduct
from headwater.outbox.columns import fitting
from headwater.outbox.emitter import event_of
from headwater.outbox.encode import Encoded, Encoder, Target
from headwater.outbox.event import COLUMNS
from headwater.outbox.position import Position
from headwater.outbox.segment import Batch, Run, Segment
from headwater.ports.keys import partition_of
from headwater.schemas.codec import RowCodec, single_object, unframe
from headwater.testing.source_products import order_events, stock_facts
from headwater.timeline.instant import Duration, Instant

PRODUCT = order_events()
RECORD = {"customer": "ada", "number": 7, "occurred_at": 5, "note": None}
BODY = RowCodec(PRODUCT.output.payload_schema).encode(RECORD)
FINGERPRINT = PRODUCT.output.payload_schema.fingerprint


def row(**changes: bytes | None) -> tuple[bytes | None, ...]:
    event = event_of(PRODUCT, RECORD)
    values = [None if value is None else str(value).encode() for value in event.values()]
    return tuple(changes.get(name, value) for name, value in zip(COLUMNS, values, strict=True))


def encoded(*rows: tuple[bytes | None, ...]) -> Encoded:
    segment = Segment(0x16, Instant(9_000), 3, recorded_at=9_000, runs=[Run.of_rows(rows)])
    encoder = Encoder([Target(PRODUCT, 42, 4)], source="crm.public.outbox", system_id="77")
    return encoder.encode(Batch((segment,), Position.start("77", 1, 0), len(rows), None))


def test_a_row_becomes_framed_avro_with_the_platforms_fields() -> None:
    one = row(event_id=b"e-1", kind=b"correct", revision=b"2", key_version=b"9", traceparent=b"00-a-b-01")
    ((topic, partition, key, value, timestamp, headers),) = encoded(one).records
    schema_id, body = unframe(value)
    assert (topic, key, schema_id, timestamp) == ("orders.placed.v1", b"ada", 42, 9)
    assert partition == partition_of(b"ada", 4)
    assert RowCodec(PRODUCT.output.schema).decode(body) == {
        **RECORD, "event_id": "e-1", "recorded_at": 9_000, "kind": "correct", "revision": 2
    }  # fmt: skip
    assert dict(headers) == {"id": one[0], "key_version": b"9", "traceparent": b"00-a-b-01"}


def test_without_an_event_id_the_rows_id_is_the_events() -> None:
    one = row()
    record = RowCodec(PRODUCT.output.schema).decode(unframe(encoded(one).records[0][3])[1])
    assert record["event_id"] == (one[0] or b"").decode()


def test_avro_and_json_payloads_give_the_same_record() -> None:
    avro = b"\\x" + single_object(FINGERPRINT, BODY).hex().encode()
    one = row(id=b"r")
    two = row(id=b"r", payload=None, payload_avro=avro)
    assert encoded(one).records == encoded(two).records


@pytest.mark.parametrize(
    ("changes", "code", "kind"),
    [
        ({"type": b"other.Type"}, b"HW-O020", b"contract"),
        ({"aggregateid": b"bob"}, b"HW-O021", b"contract"),
        ({"kind": b"delete"}, b"HW-O022", b"contract"),
        ({"revision": b"0"}, b"HW-O023", b"contract"),
        ({"revision": b"x"}, b"HW-O026", b"poison"),
        ({"aggregatetype": b"no.body"}, b"HW-O025", b"contract"),
        ({"payload": b'{"customer": "ada"}'}, b"HW-S040", b"contract"),
        ({"payload": b"[]"}, b"HW-S040", b"contract"),
        ({"payload": b"{"}, b"HW-O026", b"poison"),
        ({"payload": b"\xff"}, b"HW-O026", b"poison"),
        ({"payload": None, "payload_avro": b"\\xzz"}, b"HW-O026", b"poison"),
        ({"payload": None, "payload_avro": b"\\x00"}, b"HW-S022", b"contract"),
        ({"payload": None, "payload_avro": b"\\xc301" + b"00" * 20}, b"HW-O024", b"contract"),
        ({"payload": None, "payload_avro": None}, b"HW-S022", b"contract"),
    ],
)
def test_a_row_that_does_not_fit_keeps_its_bytes_and_says_why(
    changes: dict[str, bytes | None], code: bytes, kind: bytes
) -> None:
    bad, good = row(**changes), row()
    result = encoded(good, bad)
    assert len(result.records) == 2 and len(result.misfits) == 1
    topic, _, key, value, _, headers = result.records[1]
    found = dict(headers)
    assert topic == "orders.placed.v1.quarantine"
    assert (key, value) == (bad[2], bad[4] if bad[4] is not None else bad[8])
    assert (found["quarantine.error.code"], found["quarantine.class"]) == (code, kind)
    assert found["quarantine.offset"] == b"0/16+4" and found["quarantine.topic"] == b"crm.public.outbox"
    assert found["id"] == bad[0]


def test_a_record_larger_than_a_broker_takes_goes_aside_without_its_bytes() -> None:
    note = b'"' + b"x" * 960_000 + b'"'
    payload = b'{"customer": "ada", "number": 7, "occurred_at": 5, "note": ' + note + b"}"
    ((_, _, _, value, _, headers),) = encoded(row(payload=payload)).records
    assert value is None and dict(headers)["quarantine.value.bytes"] == str(len(payload)).encode()


def gridded() -> ResolvedProduct:
    """Facts that hold over ten microseconds each."""
    product = stock_facts()
    promised = replace(product.output.output, grid=Duration(10))
    return replace(product, outputs=(replace(product.output, output=promised),))


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "fits"),
    [(20, 30, True), (-10, 0, True), (20, 40, False), (25, 35, False), (20, None, False), (20, 25, False)],
)
def test_a_fact_lies_on_the_grid_of_its_contract_or_goes_aside(
    valid_from: int, valid_to: int | None, fits: bool
) -> None:
    product = gridded()
    fact = {"place": "A", "article": "b", "count": 1, "valid_from": valid_from, "valid_to": valid_to}
    values = [None if value is None else str(value).encode() for value in event_of(product, fact).values()]
    segment = Segment(0x16, Instant(9_000), 3, recorded_at=9_000, runs=[Run.of_rows([tuple(values)])])
    encoder = Encoder([Target(product, 42, 4)], source="crm.public.outbox", system_id="77")
    found = encoder.encode(Batch((segment,), Position.start("77", 1, 0), 1, None))
    assert found.misfits == ([] if fits else [(str(product.name), "HW-O028")])
    assert [record[0] for record in found.records] == [product.output.topic + ("" if fits else ".quarantine")]


def test_rows_that_are_held_against_a_grid_do_not_go_as_columns() -> None:
    """The column road does not look at intervals."""
    assert fitting(stock_facts().output) and not fitting(gridded().output)

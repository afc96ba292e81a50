"""What a call to emit may say, the row id that follows from an identity, and trace context from argument or span."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider

from headwater import Emission, EmitOptions
from headwater.errors import CallerFault
from headwater.outbox.emitter import event_of, events_of
from headwater.outbox.event import OutboxEvent
from headwater.outbox.trace import checked_traceparent, current_traceparent
from headwater.schemas.codec import RowCodec, open_single_object
from headwater.testing.source_products import order_events, stock_facts

ORDERS, LEVELS = order_events(), stock_facts()
ORDER = {"customer": "ada", "number": 7, "occurred_at": 5, "note": None}
LEVEL = {"place": "NYC", "article": "x", "valid_from": 1, "valid_to": None, "count": 3}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"kind": "delete"}, "HW-O042"),
        ({"revision": 0}, "HW-O043"),
        ({"revision": 1 << 63}, "HW-O043"),
        ({"key_version": 0}, "HW-O066"),
        ({"key_version": True}, "HW-O066"),
    ],
)
def test_an_emission_is_checked_where_it_is_made(said: dict[str, object], code: str) -> None:
    with pytest.raises(CallerFault) as caught:
        Emission({}, **said)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_unknown_options_and_event_ids_that_no_column_takes_are_told() -> None:
    with pytest.raises(CallerFault, match="'xml' is not one of json, avro"):
        EmitOptions(encoding="xml")  # type: ignore[arg-type]
    with pytest.raises(CallerFault, match="'pigeon' is not one of table, message"):
        EmitOptions(road="pigeon")  # type: ignore[arg-type]
    for event_id in ("", "x" * 37):
        with pytest.raises(CallerFault) as caught:
            event_of(ORDERS, ORDER, event_id=event_id)
        assert caught.value.code == "HW-O070"


def test_the_row_id_follows_from_the_identity_and_the_revision_and_from_nothing_else() -> None:
    def of(number: int = 7, event_id: str | None = "e1", revision: int = 1) -> OutboxEvent:
        return event_of(ORDERS, ORDER | {"number": number}, event_id=event_id, revision=revision)

    assert of().id == of(number=8).id
    assert len({of().id, of(event_id="e2").id, of(revision=2).id, of(event_id=None).id, of(event_id=None).id}) == 5
    level = event_of(LEVELS, LEVEL)
    assert level.id == event_of(LEVELS, LEVEL | {"count": 4}, kind="correct").id
    assert level.id != event_of(LEVELS, LEVEL | {"valid_to": 9}).id


def test_many_are_refused_as_a_whole_where_two_say_different_things_of_one_revision() -> None:
    same = [LEVEL, Emission(LEVEL), LEVEL | {"place": "X"}]
    assert len({event.id for event in events_of(LEVELS, same, EmitOptions())}) == 2
    with pytest.raises(CallerFault) as caught:
        events_of(LEVELS, [*same, LEVEL | {"count": 4}], EmitOptions())
    assert caught.value.code == "HW-O069" and "NYC" not in caught.value.render()


def test_an_avro_payload_is_that_of_the_schema_without_the_platforms_fields() -> None:
    event = event_of(ORDERS, ORDER, options=EmitOptions(encoding="avro"))
    schema = ORDERS.output.payload_schema
    fingerprint, body = open_single_object(event.payload_avro or b"")
    assert event.payload is None and fingerprint == schema.fingerprint
    assert RowCodec(schema).decode(body) == ORDER and event.aggregateid == "ada"


@pytest.mark.parametrize(
    "wrong",
    [
        "", "00", TRACE.upper(), "ff" + TRACE[2:], TRACE + "-00", TRACE + "\n", "00-" + "0" * 32 + TRACE[35:],
        TRACE[:36] + "0" * 16 + "-01", 5,
    ],
)  # fmt: skip
def test_a_traceparent_is_that_of_the_standard_or_refused(wrong: str) -> None:
    assert checked_traceparent(TRACE) == TRACE
    with pytest.raises(CallerFault) as caught:
        event_of(ORDERS, ORDER, options=EmitOptions(traceparent=wrong))
    assert caught.value.code == "HW-O068"


def test_the_current_span_goes_along_unless_the_caller_says_another() -> None:
    assert current_traceparent() is None and event_of(ORDERS, ORDER).traceparent is None
    with TracerProvider().get_tracer("tests").start_as_current_span("checkout") as span:
        context = span.get_span_context()
        traceparent = event_of(ORDERS, ORDER).traceparent or ""
        assert traceparent == f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        assert event_of(ORDERS, ORDER, options=EmitOptions(traceparent=TRACE)).traceparent == TRACE

"""Emit: what fits is inserted in the caller's transaction, what does not is refused before the INSERT, by field."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import ModuleType
from uuid import UUID

import pytest
from pydantic import BaseModel

from headwater.contracts.product import Outbox
from headwater.errors import CallerFault, Misfit
from headwater.outbox.emitter import event_of
from headwater.schemas.generate import Root, Style, generate
from headwater.sdk.emit import emit
from headwater.testing.source_products import order_events, stock_facts

paramstyle = "format"  # this module is the driver of the connection below
RECORD = {"customer": "ada", "number": 7, "occurred_at": datetime(2026, 1, 2, tzinfo=UTC), "note": "x"}
LEVEL = {"place": "NYC", "article": "ä", "valid_from": 1, "valid_to": None, "count": 3}


class Cursor:
    def __init__(self, done: list[tuple[str, tuple[object, ...]]]) -> None:
        self._done = done

    def execute(self, query: str, parameters: tuple[object, ...] = ()) -> None:
        self._done.append((query, parameters))

    def close(self) -> None:
        pass


class Connection:
    """A connection that keeps what was run."""

    def __init__(self) -> None:
        self.done: list[tuple[str, tuple[object, ...]]] = []

    def cursor(self) -> Cursor:
        return Cursor(self.done)


def test_a_record_becomes_one_row_with_its_key_and_plain_json() -> None:
    connection = Connection()
    row_id = emit(connection, order_events(outbox=Outbox("crm", "crm.outbox")), RECORD)
    ((query, values),) = connection.done
    assert query.startswith("INSERT INTO crm.outbox ")
    assert values[:4] == (row_id, "orders.placed", "ada", "orders.placed.Record")
    assert json.loads(str(values[4])) == {
        "customer": "ada", "number": 7, "occurred_at": "2026-01-02T00:00:00.000000Z", "note": "x"
    }  # fmt: skip
    assert values[5:] == ("assert", 1, None, None, None, None, None)


def test_a_key_of_several_fields_is_a_compact_array_and_a_fact_has_no_event_id() -> None:
    event = event_of(stock_facts(), LEVEL, event_id="ignored", kind="correct", revision=2)
    assert (event.aggregateid, event.event_id, event.revision) == ('["NYC","ä"]', None, 2)


def test_a_field_with_a_default_may_be_left_out_and_a_dataclass_will_do() -> None:
    @dataclass
    class Order:
        customer: str = "ada"
        number: int = 1
        occurred_at: int = 5

    payload = json.loads(event_of(order_events(), Order()).payload or "")
    assert payload["note"] is None and payload["occurred_at"] == "1970-01-01T00:00:00.000005Z"


@pytest.mark.parametrize("style", ["dataclass", "pydantic"])
def test_a_generated_type_is_emitted_as_the_mapping_that_it_stands_for(style: Style) -> None:
    product = order_events()
    module = ModuleType(f"generated_{style}")
    sys.modules[module.__name__] = module
    source = generate([Root(product.output.payload_schema, "OrderPayload")], style, about="orders.placed")
    exec(compile(source, module.__name__, "exec"), module.__dict__)  # noqa: S102 - as an import would
    del sys.modules[module.__name__]
    order = module.OrderPayload(**RECORD)
    assert event_of(product, order).payload == event_of(product, RECORD).payload
    if style == "dataclass":  # a model refuses it at once
        with pytest.raises(Misfit, match="ValueError in to_record") as caught:
            event_of(product, module.OrderPayload(**RECORD | {"occurred_at": datetime(2026, 1, 1)}))  # noqa: DTZ001
        assert caught.value.code == "HW-O048"


def test_a_model_of_the_service_itself_will_do_with_enums_uuids_and_instants() -> None:
    class Note(StrEnum):
        GIFT = "gift"

    class Order(BaseModel):
        customer: UUID = UUID(int=1)
        number: int = 1
        occurred_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
        note: Note = Note.GIFT

    payload = json.loads(event_of(order_events(), Order()).payload or "")
    assert payload["customer"] == str(UUID(int=1)) and payload["note"] == "gift"
    assert payload["occurred_at"] == "1970-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("change", "field"),
    [({"number": "7"}, "number"), ({"number": True}, "number"), ({"customer": None}, "customer"), ({"x": 1}, "x")],
)
def test_a_record_that_does_not_fit_is_refused_with_its_field_and_without_its_values(
    change: dict[str, object], field: str
) -> None:
    connection = Connection()
    with pytest.raises(Misfit) as caught:
        emit(connection, order_events(), RECORD | change)
    assert field in caught.value.render() and "ada" not in caught.value.render()
    assert connection.done == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"kind": "delete"}, "HW-O042"),
        ({"revision": 0}, "HW-O043"),
        ({"revision": True}, "HW-O043"),
        ({"kind": "correct", "revision": 2}, "HW-O044"),
    ],
)
def test_a_wrong_call_is_told_before_anything_is_written(options: dict[str, object], code: str) -> None:
    connection = Connection()
    with pytest.raises(CallerFault) as caught:
        emit(connection, order_events(), RECORD, **options)  # type: ignore[arg-type]
    assert caught.value.code == code and connection.done == []


def test_a_key_that_the_column_cannot_hold_and_a_record_that_no_broker_takes_are_refused() -> None:
    with pytest.raises(Misfit, match="longer than 255"):
        event_of(order_events(), RECORD | {"customer": "a" * 256})
    with pytest.raises(Misfit, match="larger than a broker takes"):
        event_of(order_events(), RECORD | {"note": "x" * 900_001})


def test_what_is_no_record_is_told() -> None:
    with pytest.raises(CallerFault, match="a mapping or a dataclass"):
        event_of(order_events(), [1])
    with pytest.raises(CallerFault, match="without a time zone"):
        event_of(order_events(), RECORD | {"occurred_at": datetime(2026, 1, 1)})  # noqa: DTZ001 - that is the point

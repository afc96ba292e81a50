"""One statement for each call, with each driver's own markers; and what drivers say, wherever they keep it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headwater import Emission, EmitOptions
from headwater.errors import NotSupported
from headwater.outbox.emit_statements import paramstyle_of, sqlstate, statements, without_table
from headwater.outbox.emitter import event_of, events_of
from headwater.testing.source_products import order_events

ORDERS = order_events()
ORDER = {"customer": "a%s", "number": 7, "occurred_at": 5, "note": "100 %"}


@pytest.mark.parametrize(
    ("style", "first", "last"),
    [
        ("format", "(%s, %s,", "%s)"),
        ("pyformat", "(%(p1)s, %(p2)s,", "%(p12)s)"),
        ("qmark", "(?, ?,", "?)"),
        ("numeric", "(:1, :2,", ":12)"),
        ("numeric_dollar", "($1, $2,", "$12)"),
        ("named", "(:p1, :p2,", ":p12)"),
    ],
)
def test_a_row_of_its_own_is_a_plain_insert_in_the_drivers_style(style: str, first: str, last: str) -> None:
    event = event_of(ORDERS, ORDER)
    (one,) = statements([event], "crm.outbox", "table", style)
    assert one.text.startswith("INSERT INTO crm.outbox (id, ") and first in one.text and one.text.endswith(last)
    values = list(one.parameters.values()) if isinstance(one.parameters, dict) else list(one.parameters)
    assert values == list(event.values()) and not one.answers


def test_rows_with_an_identity_and_messages_go_a_thousand_in_one_statement() -> None:
    emissions = [Emission(ORDER, event_id=f"e{number}") for number in range(1_001)]
    events = events_of(ORDERS, emissions, EmitOptions())
    for road, function in (("table", "public.outbox_emit("), ("message", "pg_logical_emit_message(")):
        found = statements(events, "outbox", road, "qmark")  # type: ignore[arg-type]
        rows = [json.loads(str(list(one.parameters)[-1])) for one in found]
        assert [len(part) for part in rows] == [1_000, 1] and all(function in one.text for one in found)
        assert rows[0][5]["event_id"] == "e5" and rows[0][5]["payload"]["note"] == "100 %"


def test_a_driver_is_known_by_its_connections_module_also_through_a_subclass_and_a_proxy() -> None:
    import sqlite3

    class Pooled(sqlite3.Connection):
        pass

    class Proxy:
        @property
        def __class__(self) -> Any:
            return sqlite3.Connection

    pooled = Pooled(":memory:")
    assert paramstyle_of(pooled) == paramstyle_of(Proxy()) == "qmark"
    pooled.close()
    with pytest.raises(NotSupported) as caught:
        paramstyle_of(object())
    assert caught.value.code == "HW-O071"


def test_what_is_missing_in_the_database_is_told_whatever_the_driver() -> None:
    class Psycopg(Exception):
        sqlstate = "42P01"

    class Psycopg2(Exception):
        pgcode = "42883"

    class SqlAlchemy(Exception):
        orig = Psycopg2()

    assert [sqlstate(error) for error in (Psycopg(), SqlAlchemy(), Exception({"C": "42P01"}), Exception("no"))] == [
        "42P01", "42883", "42P01", ""
    ]  # fmt: skip
    codes = [fault.code if (fault := without_table(error)) else "" for error in (Psycopg(), SqlAlchemy(), Exception())]
    assert codes == ["HW-O053", "HW-O072", ""]

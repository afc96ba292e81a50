"""What is run to emit rows, and what its answer means: pure, whatever driver or library runs it.

A row whose id follows from its identity goes through the database's own function, which writes it once; one with an id
of its own is a plain INSERT; a logical message is a call. Each is one statement of text and parameters, so that also a
connection that commits by itself emits all or nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headwater import naming
from headwater.errors import CallerFault, NotSupported
from headwater.outbox import table as ddl
from headwater.outbox.emission import Road, document
from headwater.outbox.emitter import emitted_otherwise
from headwater.outbox.event import COLUMNS, OutboxEvent

ROWS_LIMIT = 1_000  # in one statement: each row with an identity holds one lock of the server until the commit
Parameters = Sequence[object] | dict[str, object]
_MARKERS: dict[str, Callable[[int], str]] = {
    "format": lambda number: "%s",
    "pyformat": lambda number: f"%(p{number})s",
    "qmark": lambda number: "?",
    "numeric": lambda number: f":{number}",
    "numeric_dollar": lambda number: f"${number}",
    "named": lambda number: f":p{number}",
}
_DOUBLED = ("format", "pyformat")  # a % of the statement's own would be taken for a marker


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement for a driver; `answers` says that its rows are ids and what became of them."""

    text: str
    parameters: Parameters
    answers: bool


def statements(events: Sequence[OutboxEvent], table: str, road: Road, paramstyle: str) -> list[Statement]:
    """What to run, in order, for rows of one product. Raises `NotSupported` HW-O071 for an unknown paramstyle.

    >>> from headwater.outbox.emission import identified
    >>> event = OutboxEvent(identified(["a.b", "e", 1]), "a.b", "k", "a.b.C", "{}", event_id="e")
    >>> statements([event], "public.outbox", "table", "qmark")[0].text
    'SELECT id, outcome FROM public.outbox_emit(CAST(? AS jsonb))'
    """
    if road == "message":
        prefix = naming.message_prefix(ddl.quoted(table))
        return [_statement(_MESSAGE, [prefix, rows], paramstyle) for rows in _documents(events)]
    if len(events) == 1 and not _identified(events[0]):
        return [_statement(_INSERT.format(table=ddl.quoted(table)), events[0].values(), paramstyle)]
    emit = f"SELECT id, outcome FROM {naming.emit_function(ddl.quoted(table))}(CAST({{}} AS jsonb))"
    return [_statement(emit, [rows], paramstyle, answers=True) for rows in _documents(events)]


def judge(events: Sequence[OutboxEvent], answers: Sequence[Sequence[object]]) -> None:
    """Raise `CallerFault` HW-O069 where the database knows a row with other contents; nothing was written then."""
    refused = {str(answer[0]) for answer in answers if answer[1] == "other"}
    for event in events:
        if event.id in refused:
            raise emitted_otherwise(event)


def paramstyle_of(connection: object) -> str:
    """How a DB-API connection's driver wants its parameters: what the module of its type says. No driver is imported.

    Wrappers are looked through by their base types. Raises `NotSupported` HW-O071 where no module says anything.
    """
    for kind in connection.__class__.__mro__:  # of what a proxy stands for, too
        name = kind.__module__
        while name:
            found = getattr(sys.modules.get(name), "paramstyle", None)
            if isinstance(found, str):
                return found
            name = name.rpartition(".")[0]
    raise _unknown_driver(f"{type(connection).__module__}.{type(connection).__qualname__}")


def without_table(error: Exception) -> CallerFault | None:
    """What a driver's error means where `apply` has not made, or not renewed, what emitting needs; else None."""
    state = sqlstate(error)
    if state == "42P01":
        return CallerFault(
            "the database has no outbox table for this product",
            code="HW-O053",
            detail="nothing but `apply` creates it; no row was written",
            hint="headwater apply",
        )
    if state == "42883":
        return CallerFault(
            "the database does not have the function that emits",
            code="HW-O072",
            detail="`apply` makes it beside the outbox table, also beside one of an older release; no row was written",
            hint="headwater apply",
        )
    return None


def sqlstate(error: BaseException) -> str:
    """The five characters in which PostgreSQL says what is wrong, wherever the driver keeps them; empty: none."""
    for one in (error, getattr(error, "orig", None)):
        for name in ("sqlstate", "pgcode"):
            found = getattr(one, name, None)
            if isinstance(found, str):
                return found
        said = getattr(one, "args", ())
        if said and isinstance(said[0], dict):  # pg8000: the fields of the server's message by their letters
            return str(said[0].get("C", ""))
    return ""


_INSERT = (
    f"INSERT INTO {{table}} ({', '.join(COLUMNS)}) VALUES ("
    + ", ".join("CAST({{}} AS jsonb)" if name == "payload" else "{{}}" for name in COLUMNS)
    + ")"
)


# Through jsonb, so that a message says the very text that a row of the table would have.
_MESSAGE = (
    "SELECT pg_logical_emit_message(true, CAST({} AS text), CAST(one AS text)) "
    "FROM jsonb_array_elements(CAST({} AS jsonb)) AS one"
)


def _documents(events: Sequence[OutboxEvent]) -> list[str]:
    chunks = [events[start : start + ROWS_LIMIT] for start in range(0, len(events), ROWS_LIMIT)]
    return ["[" + ",".join(document(event) for event in chunk) + "]" for chunk in chunks]


def _identified(event: OutboxEvent) -> bool:
    return event.id[14] == "8"  # the version of a UUID that follows from its name; chance makes version 4


def _statement(text: str, values: Sequence[object], paramstyle: str, *, answers: bool = False) -> Statement:
    marker = _MARKERS.get(paramstyle)
    if marker is None:
        raise _unknown_driver(f"paramstyle {paramstyle}")
    assert "%" not in text or paramstyle not in _DOUBLED
    filled = text.format(*(marker(number) for number in range(1, len(values) + 1)))
    if paramstyle in ("pyformat", "named"):
        return Statement(filled, {f"p{number}": value for number, value in enumerate(values, 1)}, answers)
    return Statement(filled, tuple(values), answers)


def _unknown_driver(what: str) -> NotSupported:
    return NotSupported(
        f"emit does not know how this connection takes parameters: {what}",
        code="HW-O071",
        detail="any DB-API connection will do, and sessions and connections of SQLAlchemy; async ones go to emit_async",
        hint="pass the driver's own connection",
    )

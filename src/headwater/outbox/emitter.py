"""Emit: put an outbox row into the service's own transaction, checked against the contract before the INSERT.

It imports no driver: whatever connection has a `cursor()` with psycopg's `%s` will do, inside pipelines too.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol

from headwater.errors import CallerFault, Misfit
from headwater.mesh.products import ResolvedProduct
from headwater.outbox import table
from headwater.outbox.event import KINDS, Kind, OutboxEvent
from headwater.ports.keys import key_text
from headwater.schemas.codec import RowCodec
from headwater.schemas.payload import writer
from headwater.timeline.instant import Instant

_KEY_LENGTH_LIMIT = 255  # the column's
_EMITTERS_LIMIT = 1_000
_AS_THEY_ARE = frozenset((str, int, float, bool, bytes, Decimal, date, type(None)))
_emitters: dict[int, tuple[ResolvedProduct, _Emitter]] = {}


class Cursor(Protocol):
    """What is used of a DB-API cursor."""

    def execute(self, query: Any, params: Any = ..., /) -> Any:
        """Run one statement."""

    def close(self) -> None:
        """Let go."""


class Connection(Protocol):
    """What is used of a DB-API connection: its transaction stays the caller's."""

    def cursor(self) -> Any:
        """A cursor in the caller's transaction."""


def emit(
    connection: Connection,
    product: ResolvedProduct,
    record: object,
    *,
    event_id: str | None = None,
    kind: Kind = "assert",
    revision: int = 1,
) -> str:
    """Add a row for this record to the product's outbox, in the caller's transaction; the row's id.

    `record` is a mapping, a dataclass, a pydantic model or a type made by `headwater schema generate`, with the
    payload's fields: those of the schema without `event_id`, `recorded_at`, `kind` and `revision`. Instants are
    datetimes with a zone or integer microseconds. `event_id` is the event's identity, the same in each correction; left
    out, the row's id becomes it. `revision` grows with each change of the event or fact. A `retract` carries the
    payload of what it takes back.

    Raises `Misfit` where the record does not fit the schema, `CallerFault` HW-O041 to HW-O045 where the call is wrong.
    Nothing was written then.
    """
    outbox = product.product.outbox
    if outbox is None and product.product.capture is not None:
        raise CallerFault(
            f"{product.name} captures a table: nobody emits into it",
            code="HW-O041",
            detail="its records follow from the table's changes",
            hint="change the row; or give the product an outbox in place of capture",
        )
    event = event_of(product, record, event_id=event_id, kind=kind, revision=revision)
    assert outbox is not None  # event_of has checked it
    cursor = connection.cursor()
    try:
        cursor.execute(table.insert(outbox.table), event.values())
    finally:
        cursor.close()
    return event.id


def event_of(
    product: ResolvedProduct,
    record: object,
    *,
    event_id: str | None = None,
    kind: Kind = "assert",
    revision: int = 1,
) -> OutboxEvent:
    """The outbox row of a record, checked; what `emit` inserts."""
    known = _emitters.get(id(product))
    if known is None:
        if len(_emitters) >= _EMITTERS_LIMIT:
            _emitters.clear()
        known = _emitters[id(product)] = (product, _Emitter(product))
    return known[1].event(record, event_id=event_id, kind=kind, revision=revision)


class _Emitter:
    """What emitting needs of a product, looked up once."""

    def __init__(self, product: ResolvedProduct) -> None:
        if product.product.outbox is None and product.product.capture is None:
            raise CallerFault(
                f"{product.name} has no outbox: nobody emits into a derived product",
                code="HW-O041",
                detail="only source-aligned products take rows; the others follow from their inputs",
                hint="emit into the source-aligned product that it comes from",
            )
        self._name = str(product.name)
        self._codec = RowCodec(product.output.payload_schema)
        self._type = product.output.schema.name
        self._event = product.output.shape == "event"
        self._key = product.output.output.key
        self._to_json = writer(product.output.payload_schema)

    def event(self, record: object, *, event_id: str | None, kind: Kind, revision: int) -> OutboxEvent:
        self._judge_call(event_id, kind, revision)
        # Encoding checks everything there is to check, and decoding fills in what was left out: the defaults.
        payload = self._to_json(self._codec.decode(self._codec.encode(_fields(record))))
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        key = key_text([payload[name] for name in self._key])
        if len(key) > _KEY_LENGTH_LIMIT or "\0" in text:
            raise Misfit(
                f"the key of {self._name} is longer than {_KEY_LENGTH_LIMIT} characters, or holds a zero character",
                code="HW-O045",
                field=self._key[0],
                detail="PostgreSQL's text and the outbox's columns cannot carry it",
            )
        if len(text) > table.PAYLOAD_BYTES_LIMIT:
            raise Misfit(f"a record of {self._name} is larger than a broker takes", code="HW-O046")
        return OutboxEvent(
            id=str(uuid.uuid4()),
            aggregatetype=self._name,
            aggregateid=key,
            type=self._type,
            payload=text,
            kind=kind,
            revision=revision,
            event_id=event_id if self._event else None,
        )

    def _judge_call(self, event_id: str | None, kind: Kind, revision: int) -> None:
        if kind not in KINDS:
            raise CallerFault(
                f"'{kind}' is not a kind", code="HW-O042", hint="one of assert, correct, retract", detail=self._name
            )
        if not isinstance(revision, int) or isinstance(revision, bool) or revision < 1:
            raise CallerFault(
                "a revision is a whole number from 1 on",
                code="HW-O043",
                detail="1 is the first version of the event or fact",
                hint="count it in the service's own row",
            )
        if self._event and event_id is None and kind != "assert":
            raise CallerFault(
                f"a {kind} of {self._name} says no event_id",
                code="HW-O044",
                detail="it changes an event, and only the event's id tells which",
                hint="keep the event's id in the service's own row, and pass it each time",
            )


def _fields(record: object) -> dict[str, Any]:
    """The payload's fields in the codec's form; a generated type says them itself."""
    to_record = getattr(record, "to_record", None)
    if callable(to_record) and not isinstance(record, type):
        try:
            return dict(to_record())
        except (ValueError, TypeError, AttributeError) as error:
            # Its text may hold the value, which may be personal.
            raise Misfit(
                f"{type(record).__name__} cannot be made into a record: {type(error).__name__} in to_record",
                code="HW-O048",
                detail="a decimal beyond its precision, an instant without a zone, or a value of another type",
                hint="call to_record() yourself to see which",
            ) from None
    if isinstance(record, Mapping) or _kept(record) is not None:
        return {name: value if type(value) in _AS_THEY_ARE else _plain(value) for name, value in _parts(record)}
    raise CallerFault(
        f"a record is a mapping or a dataclass, not {type(record).__name__}",
        code="HW-O047",
        hint="pass a dict with the payload's fields, or a type made by headwater schema generate",
    )


def _parts(record: Any) -> Iterable[tuple[str, Any]]:
    return (
        record.items()
        if isinstance(record, Mapping)
        else [(name, getattr(record, name)) for name in _kept(record) or ()]
    )


def _kept(record: Any) -> Iterable[str] | None:
    """The names of what a dataclass or a pydantic model holds; None for anything else."""
    if isinstance(record, type):
        return None
    if is_dataclass(record):
        return [field.name for field in fields(record)]
    names = getattr(type(record), "model_fields", None)  # pydantic's, which is not imported for that
    return names if isinstance(names, dict) else None


def _plain(value: Any) -> Any:
    """A value as the codec takes it: instants in microseconds, enums and UUIDs as text, records as dicts."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, datetime):
        return int(Instant.from_datetime(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) or _kept(value) is not None:
        return {name: _plain(item) for name, item in _parts(value)}
    return value

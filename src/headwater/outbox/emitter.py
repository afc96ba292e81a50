"""Emit: a record, checked against its contract, becomes an outbox row.

Nothing here touches a connection: `emit_statements` says what is run, `emit_connection` runs it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from headwater.errors import CallerFault, Misfit
from headwater.mesh.products import ResolvedProduct
from headwater.outbox import table
from headwater.outbox.emission import Emission, EmitOptions, identified
from headwater.outbox.event import Kind, OutboxEvent
from headwater.outbox.service_record import codec_fields
from headwater.outbox.trace import checked_traceparent, current_traceparent
from headwater.ports.keys import key_text
from headwater.schemas.codec import RowCodec, single_object
from headwater.schemas.payload import writer

_KEY_LENGTH_LIMIT = 255  # the column's
_EVENT_ID_LENGTH_LIMIT = 36  # the column's
_EMITTERS_LIMIT = 1_000
_emitters: dict[int, tuple[ResolvedProduct, _Emitter]] = {}
_DEFAULT_OPTIONS = EmitOptions()


def event_of(
    product: ResolvedProduct,
    record: object,
    *,
    event_id: str | None = None,
    kind: Kind = "assert",
    revision: int = 1,
    key_version: int | None = None,
    options: EmitOptions = _DEFAULT_OPTIONS,
) -> OutboxEvent:
    """The outbox row of a record, checked; what `emit` inserts. Raises as `emit` does."""
    emission = Emission(record, event_id=event_id, kind=kind, revision=revision, key_version=key_version)
    return _emitter_of(product).event(emission, options, _traceparent(options))


def events_of(product: ResolvedProduct, records: Sequence[object], options: EmitOptions) -> list[OutboxEvent]:
    """The rows of many records; an `Emission` says more of one, anything else is a first report.

    Raises as `emit` does, and `CallerFault` HW-O069 where two of them have one identity and revision and differ.
    """
    if product.product.outbox is None and product.product.capture is not None:
        raise CallerFault(
            f"{product.name} captures a table: nobody emits into it",
            code="HW-O041",
            detail="its records follow from the table's changes",
            hint="change the row; or give the product an outbox in place of capture",
        )
    emitter, traceparent = _emitter_of(product), _traceparent(options)
    found: dict[str, OutboxEvent] = {}
    events = []
    for record in records:
        emission = record if isinstance(record, Emission) else Emission(record)
        event = emitter.event(emission, options, traceparent)
        if found.setdefault(event.id, event) != event:
            raise emitted_otherwise(event)
        events.append(event)
    return events


def emitted_otherwise(event: OutboxEvent) -> CallerFault:
    """The refusal of a row whose identity and revision stand in the outbox with other contents."""
    return CallerFault(
        f"revision {event.revision} of this {'event' if event.event_id else 'fact'} of {event.aggregatetype} was "
        "emitted before, with other contents",
        code="HW-O069",
        detail=f"row {event.id}; readers may have it already, and what is published is never rewritten",
        hint="emit the change with the next revision, counted in the service's own row under its lock",
    )


def _traceparent(options: EmitOptions) -> str | None:
    given = options.traceparent
    return current_traceparent() if given is None else checked_traceparent(given)


def _emitter_of(product: ResolvedProduct) -> _Emitter:
    known = _emitters.get(id(product))
    if known is None:
        if len(_emitters) >= _EMITTERS_LIMIT:
            _emitters.clear()
        known = _emitters[id(product)] = (product, _Emitter(product))
    return known[1]


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
        self._schema = product.output.payload_schema
        self._codec = RowCodec(self._schema)
        self._type = product.output.schema.name
        self._event = product.output.shape == "event"
        self._key = product.output.output.key
        self._to_json = writer(self._schema)

    def event(self, emission: Emission, options: EmitOptions, traceparent: str | None) -> OutboxEvent:
        self._judge_identity(emission)
        # Encoding checks everything there is to check, and decoding fills in what was left out: the defaults.
        body = self._codec.encode(codec_fields(emission.record))
        record = self._codec.decode(body)
        payload = self._to_json(record)
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
        avro = options.encoding == "avro"
        return OutboxEvent(
            id=self._row_id(emission, key, record),
            aggregatetype=self._name,
            aggregateid=key,
            type=self._type,
            payload=None if avro else text,
            kind=emission.kind,
            revision=emission.revision,
            event_id=emission.event_id if self._event else None,
            payload_avro=single_object(self._schema.fingerprint, body) if avro else None,
            key_version=emission.key_version,
            traceparent=traceparent,
        )

    def _row_id(self, emission: Emission, key: str, record: dict[str, Any]) -> str:
        if not self._event:
            return identified([self._name, key, record["valid_from"], record["valid_to"], emission.revision])
        if emission.event_id is None:
            return str(uuid.uuid4())
        return identified([self._name, emission.event_id, emission.revision])

    def _judge_identity(self, emission: Emission) -> None:
        if not self._event:
            return
        event_id = emission.event_id
        if event_id is None and emission.kind != "assert":
            raise CallerFault(
                f"a {emission.kind} of {self._name} says no event_id",
                code="HW-O044",
                detail="it changes an event, and only the event's id tells which",
                hint="keep the event's id in the service's own row, and pass it each time",
            )
        if event_id is not None and not 0 < len(event_id) <= _EVENT_ID_LENGTH_LIMIT:
            raise CallerFault(
                f"an event_id of {self._name} is empty or longer than {_EVENT_ID_LENGTH_LIMIT} characters",
                code="HW-O070",
                detail="the outbox's column takes a UUID's text or a shorter name",
                hint="make a UUID of it, for example uuid.uuid5 over the natural key",
            )

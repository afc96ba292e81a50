"""A change of a captured table to outbox rows, by a product's mapping; what cannot be mapped becomes a refused row.

All that is random or of the clock elsewhere follows from the log here, so that a change that is read again gives the
same rows: a row's id from the place of its change, its revision from the number of rows before it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any

from headwater.errors import Misfit
from headwater.mesh.products import ResolvedProduct
from headwater.outbox.change import KIND_OF, Change, Record
from headwater.outbox.event import KINDS
from headwater.outbox.pgoutput import Row, lsn_text
from headwater.outbox.pgoutput_changes import RowChange
from headwater.outbox.refused import refused_type
from headwater.outbox.service_record import codec_fields
from headwater.ports.keys import key_text
from headwater.schemas.codec import RowCodec, single_object
from headwater.timeline.instant import Instant

RECORDS_LIMIT = 10_000  # of one change: more are a loop that does not end
_NAMESPACE = uuid.UUID("6d1f4a0e-6c55-4c0e-9c3f-0d5f8d5a2b77")
MappingFunction = Callable[[Change], Iterable[Record]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a change stands: the commit, and the number of the change within it."""

    commit_lsn: int
    committed_at: Instant
    ordinal: int


class RecordWriter:
    """What mapping needs of a product: records checked against its schema, as cells of outbox rows."""

    def __init__(self, product: ResolvedProduct) -> None:
        output = product.output
        self.event = output.shape == "event"
        self._fingerprint = output.payload_schema.fingerprint
        self._codec = RowCodec(output.payload_schema)
        self._key = output.output.key

    def key_and_payload(self, record: object) -> tuple[bytes, bytes]:
        """The Kafka key and the payload of a record; raises `Misfit` where it is none, or does not fit."""
        if not isinstance(record, Record):
            raise _no_record(f"the mapping gives a {type(record).__name__}", "payload")
        if not isinstance(record.payload, Mapping):
            raise _no_record("the mapping gives a record whose payload is no mapping", "payload")
        if record.kind is not None and record.kind not in KINDS:
            raise _no_record("the mapping gives a kind that is not assert, correct or retract", "kind")
        revision = record.revision
        if revision is not None and (type(revision) is not int or revision < 1):
            raise _no_record("the mapping gives a revision that is no whole number from 1 on", "revision")
        if record.event_id is not None and (type(record.event_id) is not str or not record.event_id):
            raise _no_record("the mapping gives an event_id that is no text", "event_id")
        if self.event and record.event_id is None and record.kind not in (None, "assert"):
            raise _no_record(f"the mapping gives a {record.kind} without the event_id of what it changes", "event_id")
        body = self._codec.encode(codec_fields(record.payload))
        fields = self._codec.decode(body)
        key = key_text([fields[name] for name in self._key]).encode()
        return key, b"\\x" + single_object(self._fingerprint, body).hex().encode()


class Mapper:
    """Maps one product's table. `key` are the table's key columns, which tell a refused change's key."""

    def __init__(
        self, product: ResolvedProduct, mapping: MappingFunction, *, source: str, system_id: str, key: Sequence[str]
    ) -> None:
        self.product = product
        self._mapping = mapping
        self._writer = RecordWriter(product)
        self._name = str(product.name).encode()
        self._type = product.output.schema.name.encode()
        self._origin = f"{system_id}/{source}/{product.name}"
        self._key = tuple(key)

    def rows(self, change: RowChange, place: Place, number: int) -> list[Row]:
        """The outbox rows of a change; `number` is how many rows of this table there were before."""
        try:
            return self._mapped(change, place, number)
        except Misfit as misfit:
            return [self._refused(change, place, misfit)]
        except (Exception, SystemExit) as error:
            return [self._refused(change, place, _raised(error, change))]

    def truncated(self, place: Place) -> list[Row]:
        """The row that tells of a TRUNCATE, which no mapping can be asked about."""
        misfit = Misfit("the table was emptied with TRUNCATE", code="HW-O152")
        return [self._refused(None, place, misfit)]

    def _mapped(self, change: RowChange, place: Place, number: int) -> list[Row]:
        if change.missing:
            column = change.missing[0]
            raise Misfit("a large value that the update left alone is not in the log", code="HW-O151", field=column)
        given = list(islice(self._mapping(change_of(change, place.committed_at)), RECORDS_LIMIT + 1))
        if len(given) > RECORDS_LIMIT:
            raise _no_record(f"the mapping gives more than {RECORDS_LIMIT} records for one change", "")
        return [self._row(change, place, record, at, number + at) for at, record in enumerate(given)]

    def _row(self, change: RowChange, place: Place, record: Record, at: int, number: int) -> Row:
        key, payload = self._writer.key_and_payload(record)
        own = self._writer.event and record.event_id is None
        kind = record.kind or ("assert" if own else KIND_OF[change.op])
        revision = record.revision or (1 if own else number + 1)
        return (
            self._id(place, f"{change.op}/{at}"),
            self._name,
            key,
            self._type,
            None,
            kind.encode(),
            str(revision).encode(),
            record.event_id.encode() if record.event_id is not None and self._writer.event else None,
            payload,
            None,
            record.traceparent.encode() if record.traceparent is not None else None,
            None,
        )

    def _refused(self, change: RowChange | None, place: Place, misfit: Misfit) -> Row:
        told: dict[str, Any] = {"op": "truncate" if change is None else change.op}
        key = b""
        if change is not None:
            table = change.table
            before, after = table.texts(change.old), table.texts(change.new)
            told |= {"table": f"{table.schema}.{table.name}", "before": before, "after": after}
            cells = after or before or {}
            key = key_text([cells.get(name) for name in self._key]).encode() if self._key else b""
        told |= {"committed_at": place.committed_at.iso(), "lsn": lsn_text(place.commit_lsn), "ordinal": place.ordinal}
        payload = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
        row_id, type_ = self._id(place, f"{told['op']}/refused"), refused_type(misfit)
        return (row_id, self._name, key, type_, payload, b"assert", b"1", None, None, None, None, None)

    def _id(self, place: Place, at: str) -> bytes:
        name = f"{self._origin}/{place.commit_lsn:X}+{place.ordinal}/{at}"
        return str(uuid.uuid5(_NAMESPACE, name)).encode()


def change_of(change: RowChange, committed_at: Instant) -> Change:
    """A change in the log as a mapping sees it: typed values that cannot be written to."""
    values = change.table.values
    before = None if change.old is None else MappingProxyType(values(change.old))
    after = None if change.new is None else MappingProxyType(values(change.new))
    return Change(change.op, before, after, committed_at.to_datetime())


def _no_record(message: str, field: str) -> Misfit:
    return Misfit(message, code="HW-O150", field=field, hint="give headwater.Record(payload, ...)")


def _raised(error: BaseException, change: RowChange) -> Misfit:
    # An error's text may hold values: its class is all that is told.
    if isinstance(error, KeyError) and isinstance(error.args[0], str) and error.args[0] not in change.table.columns:
        return Misfit("the mapping reads a column that the table does not have", code="HW-O153")
    return Misfit(f"the mapping raises {type(error).__name__}", code="HW-O149")

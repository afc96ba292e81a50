"""Values of a product's topic to records: framed Avro, schemas by their ids, and only those of the topic's subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headwater.errors import CallerFault, Misfit
from headwater.schemas.avro import Schema
from headwater.schemas.codec import FRAME_LENGTH, RowCodec, unframe
from headwater.schemas.defaults import default_value
from headwater.schemas.nested import Fit, Lacking, nested_fit
from headwater.schemas.registry import Registry
from headwater.schemas.unsure import Unsure


class RecordReader:
    """Decodes the values of one product's topic. Schemas are fetched from the registry once, by their ids.

    Only schemas that are registered under the topic's subject are read: a value whose id belongs to another subject
    would decode to plausible nonsense. A registry that is away raises `Unreachable`: no record's fault.
    """

    def __init__(self, registry: Registry, *, subject: str, schema: Schema) -> None:
        self._registry = registry
        self._subject = subject
        self._schema = schema
        self._known: dict[int, Callable[[bytes], Mapping[str, Any]]] = {}
        self._columns: dict[bytes, Callable[[Sequence[bytes]], Any] | None] = {}

    def read(self, value: bytes | None) -> Mapping[str, Any]:
        """The record; raises `Misfit`."""
        schema_id, body = unframe(value)
        decode = self._known.get(schema_id)
        if decode is None:
            decode = self._known[schema_id] = self._decoder(schema_id)
        return decode(body)

    def columns(self, values: Sequence[bytes | None]) -> Any:
        """A record batch of many values of one schema; raises `Unsure` where they are to be read one by one."""
        first = values[0]
        if first is None or len(first) < FRAME_LENGTH:
            raise Unsure
        prefix = first[:FRAME_LENGTH]
        read = self._columns[prefix] if prefix in self._columns else self._column_reader(first)
        if read is None:
            raise Unsure
        bodies = [value[FRAME_LENGTH:] for value in values if value is not None and value.startswith(prefix)]
        if len(bodies) < len(values):
            raise Unsure
        return read(bodies)

    def _column_reader(self, value: bytes) -> Callable[[Sequence[bytes]], Any] | None:
        """By the schema of this value; None where its values cannot be read as columns."""
        schema_id, _ = unframe(value)
        try:
            self._known.setdefault(schema_id, self._decoder(schema_id))  # refuses foreign schemas
        except Misfit:
            raise Unsure from None
        schema = self._registry.by_id(schema_id).schema
        # Here, so that who reads record by record does not wait for numpy and Arrow.
        from headwater.schemas.column_bodies import BodyColumns, readable

        whole = {field.name for field in self._schema.fields} <= {field.name for field in schema.fields}
        alike = whole and readable(schema.type) and not self._fits(schema)
        read = BodyColumns(schema).read if alike else None
        self._columns[value[:FRAME_LENGTH]] = read
        return read

    def _decoder(self, schema_id: int) -> Callable[[bytes], Mapping[str, Any]]:
        try:
            registered = self._registry.by_id(schema_id)
            known = self._registry.find(self._subject, registered.schema)
        except CallerFault as error:
            raise _foreign(self._subject, error.code) from None
        if known is None or known.id != schema_id:
            raise _foreign(self._subject, "it belongs to another subject")
        decode = RowCodec(registered.schema).decode
        written = {field.name for field in registered.schema.fields}
        unwritten = [field for field in self._schema.fields if field.name not in written]
        for field in unwritten:
            if not field.optional:
                raise _foreign(self._subject, f"the writer has no field '{field.name}', and it has no default")
        # What an older writer did not have yet takes the default of the schema that is read by.
        defaults = {field.name: default_value(field.type, field.default) for field in unwritten}
        fits = self._fits(registered.schema)
        if not defaults and not fits:
            return decode

        def whole(body: bytes) -> dict[str, Any]:
            record = {**defaults, **decode(body)}
            for name, fit in fits.items():
                record[name] = fit(record[name])
            return record

        return whole

    def _fits(self, written: Schema) -> dict[str, Fit]:
        """By their names the fields within which records have other fields than those that are read by."""
        theirs = {field.name: field.type for field in written.fields}
        try:
            made = {
                field.name: nested_fit(theirs[field.name], field.type)
                for field in self._schema.fields
                if field.name in theirs
            }
        except Lacking as lacking:
            raise _foreign(
                self._subject, f"the writer has no field '{lacking.name}' within another, and it has no default"
            ) from None
        return {name: fit for name, fit in made.items() if fit is not None}


def _foreign(subject: str, why: str) -> Misfit:
    return Misfit(
        f"the value's schema is not one of {subject}",
        code="HW-P022",
        detail=why,
        hint="write with a schema that is registered for this topic",
    )

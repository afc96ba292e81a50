"""Values of a product's topic to records: framed Avro, schemas by their ids, and only those of the topic's subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headwater.errors import CallerFault, Misfit
from headwater.schemas.avro import Schema
from headwater.schemas.codec import RowCodec, unframe
from headwater.schemas.defaults import default_value
from headwater.schemas.registry import Registry


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

    def read(self, value: bytes | None) -> Mapping[str, Any]:
        """The record; raises `Misfit`."""
        schema_id, body = unframe(value)
        decode = self._known.get(schema_id)
        if decode is None:
            decode = self._known[schema_id] = self._decoder(schema_id)
        return decode(body)

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
        if not defaults:
            return decode
        return lambda body: {**defaults, **decode(body)}


def _foreign(subject: str, why: str) -> Misfit:
    return Misfit(
        f"the value's schema is not one of {subject}",
        code="HW-P022",
        detail=why,
        hint="write with a schema that is registered for this topic",
    )

"""Records of products as the kafka runner reads and writes them: framed Avro, schemas by id, never registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from headwater import naming
from headwater.errors import CallerFault, HeadwaterError, Misfit
from headwater.mesh.products import ResolvedProduct
from headwater.ports.keys import key_bytes
from headwater.ports.quarantine import Origin, QuarantineClass, Stage, quarantine_headers
from headwater.ports.record import Header, Message
from headwater.schemas.avro import Schema
from headwater.schemas.codec import RowCodec, frame, unframe
from headwater.schemas.defaults import default_value
from headwater.schemas.registry import Registry


class Letter(NamedTuple):
    """A record on its way to quarantine, and why."""

    message: Message
    error: HeadwaterError
    stage: Stage
    kind: QuarantineClass

    def headers(self, contract_version: str) -> list[Header]:
        """Its own headers, and those that tell where it stood and what was wrong."""
        message = self.message
        origin = Origin(message.topic, str(message.partition), str(message.offset), message.timestamp)
        added = quarantine_headers(
            origin, self.error, stage=self.stage, kind=self.kind, contract_version=contract_version
        )
        return [*message.headers, *added]


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


class RecordWriter:
    """Encodes the records of a derived product's output, framed with the id that `apply` registered."""

    def __init__(self, registry: Registry, product: ResolvedProduct) -> None:
        output = product.output
        registered = registry.find(output.subject, output.schema)
        if registered is None:
            raise CallerFault(
                f"the schema of {product.name} is not registered under {output.subject}",
                code="HW-P021",
                detail="a runner registers nothing",
                hint="headwater apply",
            )
        self.topic = output.topic
        self.progress = naming.progress_topic(product.name, product.major)
        self.current = naming.current_topic(product.name, product.major) if "current" in output.output.ports else ""
        self._prefix = frame(registered.id, b"")
        self._encode = RowCodec(output.schema).encode
        self._key = output.output.key
        self._event = output.shape == "event"

    def encode(self, record: dict[str, Any]) -> bytes:
        """The framed value."""
        return self._prefix + self._encode(record)

    def current_key(self, record: dict[str, Any]) -> bytes:
        """The key in `current`: the business key, and what tells one identity of it from another."""
        identity = [record["event_id"]] if self._event else [record["valid_from"], record["valid_to"]]
        return key_bytes([*(record[name] for name in self._key), *identity])


def _foreign(subject: str, why: str) -> Misfit:
    return Misfit(
        f"the value's schema is not one of {subject}",
        code="HW-P022",
        detail=why,
        hint="write with a schema that is registered for this topic",
    )

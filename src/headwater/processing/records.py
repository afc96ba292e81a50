"""Records of products as the kafka runner reads and writes them: framed Avro, schemas by id, never registered."""

from __future__ import annotations

from typing import Any, NamedTuple

from headwater import naming
from headwater.errors import HeadwaterError
from headwater.mesh.products import ResolvedProduct
from headwater.ports.keys import key_bytes
from headwater.ports.quarantine import Origin, QuarantineClass, Stage, quarantine_headers
from headwater.ports.record import Header, Message
from headwater.processing.blocks import OutputBlock
from headwater.processing.registered import require_registered
from headwater.schemas.codec import RowCodec, frame
from headwater.schemas.column_bodies import RecordColumns, writable
from headwater.schemas.registry import Registry
from headwater.schemas.unsure import Unsure


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


class RecordWriter:
    """Encodes the records of one output of a derived product, framed with the id that `apply` registered.

    Of a further output `product` is the product with that output alone.
    """

    def __init__(self, registry: Registry, product: ResolvedProduct) -> None:
        output, registered = product.output, require_registered(registry, product)
        self.output = product.name.output  # empty for a product's first output
        self.topic = output.topic
        self.progress = naming.progress_topic(product.name, product.major)
        self.current = naming.current_topic(product.name, product.major) if "current" in output.output.ports else ""
        self._prefix = frame(registered.id, b"")
        self._encode = RowCodec(output.schema).encode
        self._columns = RecordColumns(output.schema) if writable(output.schema.type) else None
        self._key = output.output.key
        self._event = output.shape == "event"

    def encode(self, record: dict[str, Any]) -> bytes:
        """The framed value."""
        return self._prefix + self._encode(record)

    def encode_block(self, block: OutputBlock) -> list[bytes] | None:
        """The framed values of a whole block; None where they are to be encoded one by one."""
        if self._columns is None:
            return None
        try:
            bodies = self._columns.write(block.columns)
        except Unsure:
            return None
        prefix = self._prefix
        return [prefix + body for body in bodies]

    def current_key(self, record: dict[str, Any]) -> bytes:
        """The key in `current`: the business key, and what tells one identity of it from another."""
        identity = [record["event_id"]] if self._event else [record["valid_from"], record["valid_to"]]
        return key_bytes([*(record[name] for name in self._key), *identity])

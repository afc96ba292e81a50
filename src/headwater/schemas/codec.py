"""Records to Avro bytes and back, strictly, and the frame that carries a schema's id in front of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from headwater.errors import Misfit
from headwater.schemas.avro import Schema
from headwater.schemas.decoding import compile_decoder
from headwater.schemas.encoding import compile_encoder

FRAME_LENGTH = 5  # a zero byte, then the schema's id in four, big end first
SINGLE_OBJECT = b"\xc3\x01"  # Avro's own frame: these, then the schema's fingerprint, little end first


class RowCodec:
    """Encodes and decodes the records of one schema, as fast as Python goes; both raise nothing but `Misfit`.

    Instants are int microseconds, decimals `Decimal`, dates `date`, enums and UUIDs text, unions unwrapped. `encode`
    wants every field that has no default, and no others; its bytes are canonical. `decode(body, at=0)` reads `body`
    from an offset to its very end.

    >>> from headwater.schemas.avro import parse
    >>> codec = RowCodec(parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}'))
    >>> codec.encode({"x": 64}), codec.decode(bytes([0x80, 0x01]))
    (b'\\x80\\x01', {'x': 64})
    """

    __slots__ = ("decode", "encode", "schema")

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.encode: Callable[[Any], bytes] = compile_encoder(schema.type, schema.name)
        self.decode = cast("Callable[..., dict[str, Any]]", compile_decoder(schema.type, schema.name))


def frame(schema_id: int, body: bytes) -> bytes:
    """The body with its schema's id in front, as Confluent's clients write it.

    >>> frame(7, b"ab").hex()
    '00000000076162'
    """
    return b"\0" + schema_id.to_bytes(4, "big") + body


def unframe(value: bytes | None) -> tuple[int, bytes]:
    """The schema's id and the body; raises `Misfit` HW-S021.

    >>> unframe(bytes.fromhex("00000000076162"))
    (7, b'ab')
    """
    if value is None or len(value) < FRAME_LENGTH or value[0]:
        raise Misfit(
            "a value without the frame of a schema id",
            code="HW-S021",
            detail="a record's value is a zero byte, a schema's id in four bytes, and an Avro body",
            hint="write with a serializer that puts the id in front",
        )
    return int.from_bytes(value[1:5], "big"), value[5:]


def single_object(fingerprint: int, body: bytes) -> bytes:
    """The body in Avro's single-object encoding: how a service hands Avro bytes to the outbox."""
    return SINGLE_OBJECT + fingerprint.to_bytes(8, "little") + body


def open_single_object(value: bytes) -> tuple[int, bytes]:
    """The fingerprint and the body of a single-object encoding; raises `Misfit` HW-S022."""
    if len(value) < 10 or value[:2] != SINGLE_OBJECT:
        raise Misfit(
            "not Avro's single-object encoding",
            code="HW-S022",
            detail="a payload of bytes begins with C3 01 and the fingerprint of its payload schema",
            hint="encode with the single-object encoding, or write the payload as JSON",
        )
    return int.from_bytes(value[2:10], "little"), value[10:]

"""A schema as pyruhvro is to read it: whatever has the same bytes and is simpler."""

from __future__ import annotations

from typing import Any

from headwater.schemas.types import Array, AvroType, Enum, Record, Union


def wire_schema(avro_type: AvroType, *, wide: bool = False) -> Any:
    """The schema as JSON, without logical types and references; each name is used once.

    With `wide`, integers of 32 bits as of 64: read as they are, a longer number would lose what is above them in
    silence.

    >>> from headwater.schemas.types import Primitive
    >>> wire_schema(Array(Primitive("int"))), wire_schema(Array(Primitive("int")), wide=True)
    ({'type': 'array', 'items': 'int'}, {'type': 'array', 'items': 'long'})
    """
    return _wire(avro_type, [], "long" if wide else "int")


def _wire(avro_type: AvroType, named: list[str], integer: str) -> Any:
    if isinstance(avro_type, Record):
        named.append("")
        name = f"N{len(named)}"
        fields = [{"name": field.name, "type": _wire(field.type, named, integer)} for field in avro_type.fields]
        return {"type": "record", "name": name, "fields": fields}
    if isinstance(avro_type, Array):
        return {"type": "array", "items": _wire(avro_type.items, named, integer)}
    if isinstance(avro_type, Union):
        return [_wire(branch, named, integer) for branch in avro_type.branches]
    if isinstance(avro_type, Enum):
        named.append("")
        return {"type": "enum", "name": f"N{len(named)}", "symbols": list(avro_type.symbols)}
    if avro_type.kind == "bytes":
        return "string"  # pyruhvro knows no bytes, and does not look at text
    return integer if avro_type.kind == "int" else avro_type.kind

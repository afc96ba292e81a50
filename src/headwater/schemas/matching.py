"""Which branch of a union a value may belong to: a look at its outside, so that few branches have to be tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from headwater.schemas.types import AvroType, Enum, Fixed, Record, logical_of
from headwater.schemas.wire import INT_MAX, INT_MIN


def matcher(avro_type: AvroType) -> Callable[[Any], bool]:
    """A quick test whether a value may be of a type.

    >>> from headwater.schemas.types import Primitive
    >>> matcher(Primitive("int"))(5), matcher(Primitive("int"))(True), matcher(Primitive("int"))(1 << 40)
    (True, False, False)
    """
    logical = logical_of(avro_type)
    name = logical.name if logical else ""
    if name == "decimal":
        return lambda value: isinstance(value, Decimal)
    if name == "date":
        return lambda value: type(value) is date
    if name == "uuid":
        return lambda value: isinstance(value, str)
    if isinstance(avro_type, Enum):
        symbols = frozenset(avro_type.symbols)
        return lambda value: isinstance(value, str) and value in symbols
    if isinstance(avro_type, Fixed):
        size = avro_type.size
        return lambda value: isinstance(value, bytes) and len(value) == size
    if isinstance(avro_type, Record):
        known = frozenset(field.name for field in avro_type.fields)
        needed = frozenset(field.name for field in avro_type.fields if not field.optional)
        return lambda value: isinstance(value, Mapping) and needed <= value.keys() <= known
    return _BY_KIND[avro_type.kind]


def _int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and INT_MIN <= value <= INT_MAX


def _long(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _float(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_BY_KIND: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "int": _int,
    "long": _long,
    "float": _float,
    "double": _float,
    "bytes": lambda value: isinstance(value, bytes | bytearray | memoryview),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list | tuple),
    "map": lambda value: isinstance(value, Mapping),
}

"""Values without parts, between plain JSON and Python: the leaves of `payload`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from headwater.schemas.logical import decimal_to_unscaled, milliseconds, uuid_text
from headwater.schemas.types import AvroType, Enum, Fixed, logical_of
from headwater.schemas.wire import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN, Damage

Converter = Callable[[Any], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT_LENGTH_LIMIT = 40  # characters; ISO 8601 with six decimals and a zone has 32
# The forms that the database's own check knows too (`outbox/check_scalars.py`): Python alone would take far more, such
# as week dates, or a space before the zone.
_INSTANT_FORM = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:[0-5][0-9])\Z"
)
_DATE_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_DECIMAL_FORM = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\Z")
_DECIMAL_LENGTH_LIMIT = 200


class Wrong(Exception):
    """Something does not fit; the fields from the inside out gather on the way up."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.fields: list[str] = []


def scalar_reader(avro_type: AvroType) -> Converter:
    """The converter from JSON of a type without parts."""
    logical = logical_of(avro_type)
    name = logical.name if logical else ""
    if logical is not None and name == "decimal":
        return _decimal(logical.precision, logical.scale)
    if name in _LOGICAL_READERS:
        return _LOGICAL_READERS[name]
    if isinstance(avro_type, Fixed):
        return _fixed(avro_type.size)
    return _SCALAR_READERS[avro_type.kind]


def _instant(value: Any) -> int:
    if type(value) is int and LONG_MIN <= value <= LONG_MAX:
        return value
    if type(value) is not str or len(value) > _INSTANT_LENGTH_LIMIT:
        raise Wrong("not an instant: ISO 8601 text with a zone, or integer microseconds")
    length, marks = len(value), value[4:20:3]
    # The two usual forms are known by their marks alone; the digits between them are the parser's to judge.
    usual = (length == 27 and marks == "--T::." and value[26] == "Z") or (length == 20 and marks == "--T::Z")
    if not usual and not _INSTANT_FORM.match(value):
        raise Wrong("not an instant: ISO 8601 text with a zone, or integer microseconds")
    try:
        delta = datetime.fromisoformat(value) - _EPOCH
    except (ValueError, TypeError, OverflowError):
        raise Wrong("not an instant: ISO 8601 text with a zone, or integer microseconds") from None
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _instant_of_milliseconds(value: Any) -> int:
    instant = _instant(value)
    try:
        milliseconds(instant)
    except Damage as damage:
        raise Wrong(str(damage)) from None
    return instant


def _date(value: Any) -> date:
    try:
        if type(value) is str and _DATE_FORM.match(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise Wrong("not a date: ISO 8601 text")


def _uuid(value: Any) -> str:
    try:
        return uuid_text(value)
    except Damage as damage:
        raise Wrong(str(damage)) from None


def _decimal(precision: int, scale: int) -> Converter:
    def convert(value: Any) -> Decimal:
        if type(value) is not str and type(value) is not int:
            raise Wrong("not a decimal: it is written as text")
        if type(value) is str and len(value) > _DECIMAL_LENGTH_LIMIT:
            raise Wrong("a decimal is too long")
        if type(value) is str and not _DECIMAL_FORM.match(value):
            raise Wrong("not a decimal: it is written as text")
        try:
            number = Decimal(value)
            decimal_to_unscaled(number, precision, scale)
        except (InvalidOperation, ValueError) as error:  # Damage is a ValueError
            what = str(error) if isinstance(error, Damage) else "not a decimal: it is written as text"
            raise Wrong(what) from None
        return number

    return convert


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Wrong("not text")
    return value


def _boolean(value: Any) -> bool:
    if value is not True and value is not False:
        raise Wrong("not a boolean")
    return bool(value)


def _int(value: Any) -> int:
    if type(value) is not int or not INT_MIN <= value <= INT_MAX:
        raise Wrong("not a whole number of 32 bits")
    return value


def _long(value: Any) -> int:
    if type(value) is not int or not LONG_MIN <= value <= LONG_MAX:
        raise Wrong("not a whole number of 64 bits")
    return value


def _double(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise Wrong("not a number")
    try:
        return float(value)
    except OverflowError:
        raise Wrong("a number that does not fit") from None


def _bytes(value: Any) -> bytes:
    if type(value) is str:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise Wrong("not bytes: they are written in base64")


def _fixed(size: int) -> Converter:
    def convert(value: Any) -> bytes:
        body = _bytes(value)
        if len(body) != size:
            raise Wrong(f"not {size} bytes")
        return body

    return convert


def _null(value: Any) -> None:
    if value is not None:
        raise Wrong("not null")


def enum_reader(enum: Enum) -> Converter:
    """The converter from JSON of an enum."""
    symbols = frozenset(enum.symbols)

    def convert(value: Any) -> str:
        if type(value) is not str or value not in symbols:
            raise Wrong("none of the symbols")
        return value

    return convert


_LOGICAL_READERS: dict[str, Converter] = {
    "timestamp-micros": _instant,
    "timestamp-millis": _instant_of_milliseconds,
    "date": _date,
    "uuid": _uuid,
}
_SCALAR_READERS: dict[str, Converter] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _double,
    "double": _double,
    "bytes": _bytes,
    "string": _text,
}


def scalar_writer(avro_type: AvroType) -> Converter:
    """The converter to JSON of a type without parts."""
    logical = logical_of(avro_type)
    name = logical.name if logical else ""
    if name in ("timestamp-micros", "timestamp-millis"):
        return _instant_text
    if name == "date":
        return lambda value: value.isoformat()
    if name == "decimal":
        return lambda value: f"{value:f}"
    if name != "uuid" and avro_type.kind in ("bytes", "fixed"):
        return lambda value: base64.b64encode(value).decode()
    if avro_type.kind in ("float", "double"):
        return lambda value: value if value - value == 0 else str(value)  # JSON has no NaN and no infinity
    return lambda value: value


def _instant_text(value: int) -> Any:
    try:
        return (_EPOCH + timedelta(microseconds=value)).isoformat(timespec="microseconds")[:26] + "Z"
    except OverflowError:
        return value  # beyond the year 9999: the number is all that can be said

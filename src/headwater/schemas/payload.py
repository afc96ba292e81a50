"""Plain JSON to records and back: what services write into the outbox, and what people read on a terminal.

Unions are unwrapped, decimals are text, bytes base64, instants ISO 8601 (or integer microseconds when read), dates ISO
8601, enums and UUIDs text. A converter is built once per schema, out of closures.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from headwater.errors import Misfit
from headwater.schemas.avro import Schema
from headwater.schemas.defaults import default_value
from headwater.schemas.encoding import compile_encoder
from headwater.schemas.logical import milliseconds, uuid_text
from headwater.schemas.matching import matcher
from headwater.schemas.types import Array, AvroType, Enum, Fixed, Map, Record, Union, logical_of
from headwater.schemas.wire import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN, Damage

Converter = Callable[[Any], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT_LENGTH_LIMIT = 40  # characters; ISO 8601 with six decimals and a zone has 32
_DECIMAL_LENGTH_LIMIT = 200


class _Wrong(Exception):
    """Something does not fit; the fields from the inside out gather on the way up."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.fields: list[str] = []


def from_json(schema: Schema, value: Any) -> Any:
    """The record that a JSON value stands for, ready for `RowCodec.encode`; raises `Misfit` HW-S040 with the field.

    >>> from headwater.schemas.avro import parse
    >>> schema = parse('''{"type": "record", "name": "R", "fields": [
    ...     {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ...     {"name": "gate", "type": ["null", "string"], "default": null}]}''')
    >>> from_json(schema, {"at": "1970-01-01T00:00:01Z"})
    {'at': 1000000, 'gate': None}
    """
    return reader(schema)(value)


def to_json(schema: Schema, record: Any) -> Any:
    """The JSON value of a record as a codec decodes it; instants ISO 8601, UTC, six decimals, `Z`."""
    return writer(schema)(record)


def check(schema: Schema, record: Any) -> None:
    """Raise `Misfit` HW-S030 with the field where a record does not fit its schema."""
    _encoder(schema)(record)


@lru_cache(maxsize=1024)
def reader(schema: Schema) -> Converter:
    """The function behind `from_json`, for loops."""
    convert = _Readers().of(schema.type)

    def read(value: Any) -> Any:
        try:
            return convert(value)
        except _Wrong as wrong:
            path, what = ".".join(reversed(wrong.fields)), wrong.what
        except RecursionError:
            path, what = "", "values nested too deeply"
        raise Misfit(
            f"field '{path}' of {schema.name}: {what}" if path else f"{schema.name}: {what}",
            code="HW-S040",
            field=path,
            detail="the JSON does not fit the schema",
            hint="give the value that the schema asks for",
        )

    return read


@lru_cache(maxsize=1024)
def writer(schema: Schema) -> Converter:
    """The function behind `to_json`, for loops."""
    return _Writers().of(schema.type)


@lru_cache(maxsize=1024)
def _encoder(schema: Schema) -> Callable[[Any], bytes]:
    return compile_encoder(schema.type, schema.name)


class _Readers:
    """Converters from JSON; those of records are kept, since a record may contain itself."""

    def __init__(self) -> None:
        self._records: dict[Record, Converter] = {}

    def of(self, avro_type: AvroType) -> Converter:
        if isinstance(avro_type, Record):
            if avro_type in self._records:
                return lambda value: self._records[avro_type](value)
            self._records[avro_type] = lambda value: self._records[avro_type](value)
            self._records[avro_type] = self._record(avro_type)
            return self._records[avro_type]
        if isinstance(avro_type, Union):
            return self._union(avro_type)
        if isinstance(avro_type, Array):
            return _array(self.of(avro_type.items))
        if isinstance(avro_type, Map):
            return _map(self.of(avro_type.values))
        if isinstance(avro_type, Enum):
            return _enum(avro_type)
        return _scalar_reader(avro_type)

    def _record(self, record: Record) -> Converter:
        fields = tuple((field.name, self.of(field.type)) for field in record.fields)
        defaults = {field.name: _default(field.type, field.default) for field in record.fields if field.optional}
        names = frozenset(field.name for field in record.fields)
        count = len(fields)

        def convert(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise _Wrong("not an object")
            result = {}
            for name, convert_field in fields:
                try:
                    result[name] = convert_field(value[name])
                except KeyError:
                    if name not in defaults:
                        raise _named(_Wrong("missing, and without a default"), name) from None
                    result[name] = defaults[name]()
                except _Wrong as wrong:
                    raise _named(wrong, name) from None
            if len(value) != count and not names >= value.keys():
                other = next(name for name in value if name not in names)
                raise _Wrong(f"a field that the schema does not have: '{str(other)[:60]}'")
            return result

        return convert

    def _union(self, union: Union) -> Converter:
        null = any(branch.kind == "null" for branch in union.branches)
        converters = [self.of(branch) for branch in union.branches if branch.kind != "null"]
        if null and len(converters) == 1:
            only = converters[0]
            return lambda value: None if value is None else only(value)

        def convert(value: Any) -> Any:
            if value is None and null:
                return None
            for attempt in converters:
                try:
                    return attempt(value)
                except _Wrong:
                    continue
            raise _Wrong("fits no branch of the union")

        return convert


def _named(wrong: _Wrong, name: str) -> _Wrong:
    wrong.fields.append(name)
    return wrong


def _default(avro_type: AvroType, value: Any) -> Callable[[], Any]:
    if isinstance(value, list | dict):
        return lambda: default_value(avro_type, value)  # a fresh one each time: callers may change it
    constant = default_value(avro_type, value)
    return lambda: constant


def _array(item: Converter) -> Converter:
    def convert(value: Any) -> list[Any]:
        if type(value) is not list:
            raise _Wrong("not an array")
        return [item(one) for one in value]

    return convert


def _map(item: Converter) -> Converter:
    def convert(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _Wrong("not an object")
        return {key: item(one) for key, one in value.items()}

    return convert


def _enum(enum: Enum) -> Converter:
    symbols = frozenset(enum.symbols)

    def convert(value: Any) -> str:
        if type(value) is not str or value not in symbols:
            raise _Wrong("none of the symbols")
        return value

    return convert


def _scalar_reader(avro_type: AvroType) -> Converter:
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
        raise _Wrong("not an instant: ISO 8601 text with a zone, or integer microseconds")
    try:
        delta = datetime.fromisoformat(value) - _EPOCH
    except (ValueError, TypeError, OverflowError):
        raise _Wrong("not an instant: ISO 8601 text with a zone, or integer microseconds") from None
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _instant_of_milliseconds(value: Any) -> int:
    instant = _instant(value)
    try:
        milliseconds(instant)
    except Damage as damage:
        raise _Wrong(str(damage)) from None
    return instant


def _date(value: Any) -> date:
    try:
        if type(value) is str and len(value) == 10:
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise _Wrong("not a date: ISO 8601 text")


def _uuid(value: Any) -> str:
    try:
        return uuid_text(value)
    except Damage as damage:
        raise _Wrong(str(damage)) from None


def _decimal(precision: int, scale: int) -> Converter:
    def convert(value: Any) -> Decimal:
        if type(value) is not str and type(value) is not int:
            raise _Wrong("not a decimal: it is written as text")
        if type(value) is str and len(value) > _DECIMAL_LENGTH_LIMIT:
            raise _Wrong("a decimal is too long")
        try:
            number = Decimal(value)
        except (InvalidOperation, ValueError):
            raise _Wrong("not a decimal: it is written as text") from None
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int):
            raise _Wrong("a decimal is not finite")
        if -exponent > scale and number != 0 and number % 1 and -number.normalize().as_tuple().exponent > scale:  # type: ignore[operator]
            raise _Wrong(f"a decimal has more than {scale} places")
        if number and number.adjusted() >= precision - scale:
            raise _Wrong("a decimal has more digits than its precision")
        return number

    return convert


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _Wrong("not text")
    return value


def _boolean(value: Any) -> bool:
    if value is not True and value is not False:
        raise _Wrong("not a boolean")
    return bool(value)


def _int(value: Any) -> int:
    if type(value) is not int or not INT_MIN <= value <= INT_MAX:
        raise _Wrong("not a whole number of 32 bits")
    return value


def _long(value: Any) -> int:
    if type(value) is not int or not LONG_MIN <= value <= LONG_MAX:
        raise _Wrong("not a whole number of 64 bits")
    return value


def _double(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise _Wrong("not a number")
    try:
        return float(value)
    except OverflowError:
        raise _Wrong("a number that does not fit") from None


def _bytes(value: Any) -> bytes:
    if type(value) is str:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise _Wrong("not bytes: they are written in base64")


def _fixed(size: int) -> Converter:
    def convert(value: Any) -> bytes:
        body = _bytes(value)
        if len(body) != size:
            raise _Wrong(f"not {size} bytes")
        return body

    return convert


def _null(value: Any) -> None:
    if value is not None:
        raise _Wrong("not null")


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


class _Writers:
    """Converters to JSON."""

    def __init__(self) -> None:
        self._records: dict[Record, Converter] = {}

    def of(self, avro_type: AvroType) -> Converter:
        if isinstance(avro_type, Record):
            if avro_type not in self._records:
                self._records[avro_type] = lambda value: self._records[avro_type](value)
                fields = tuple((field.name, self.of(field.type)) for field in avro_type.fields)
                self._records[avro_type] = lambda value: {name: convert(value[name]) for name, convert in fields}
            return self._records[avro_type]
        if isinstance(avro_type, Union):
            return self._union(avro_type)
        if isinstance(avro_type, Array):
            item = self.of(avro_type.items)
            return lambda value: [item(one) for one in value]
        if isinstance(avro_type, Map):
            item = self.of(avro_type.values)
            return lambda value: {key: item(one) for key, one in value.items()}
        return _scalar_writer(avro_type)

    def _union(self, union: Union) -> Converter:
        choices = [(matcher(branch), self.of(branch)) for branch in union.branches if branch.kind != "null"]
        if len(choices) == 1:
            only = choices[0][1]
            return lambda value: None if value is None else only(value)

        def convert(value: Any) -> Any:
            if value is None:
                return None
            for fits, attempt in choices:
                if fits(value):
                    return attempt(value)
            raise Misfit("a value that fits no branch of the union", code="HW-S041")

        return convert


def _scalar_writer(avro_type: AvroType) -> Converter:
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

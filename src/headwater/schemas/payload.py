"""Plain JSON to records and back: what services write into the outbox, and what people read on a terminal.

Unions are unwrapped, decimals are text, bytes base64, instants ISO 8601 (or integer microseconds when read), dates ISO
8601, enums and UUIDs text. A converter is built once per schema, out of closures.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from headwater.errors import Misfit
from headwater.schemas.avro import Schema
from headwater.schemas.defaults import default_value
from headwater.schemas.encoding import compile_encoder
from headwater.schemas.matching import matcher
from headwater.schemas.payload_scalars import Converter, Wrong, enum_reader, scalar_reader, scalar_writer
from headwater.schemas.types import FLOATS, Array, AvroType, Enum, Map, Record, Union


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
        except Wrong as wrong:
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


def branch_writer(avro_type: AvroType) -> Converter:
    """The function behind `to_json` for values of one type within a schema."""
    return _Writers().of(avro_type)


def branch_reader(avro_type: AvroType) -> Converter:
    """The way back from `branch_writer`; raises `Misfit` HW-S040 for JSON that is no value of the type."""
    convert = _Readers().of(avro_type)

    def read(value: Any) -> Any:
        try:
            return convert(value)
        except Wrong as wrong:
            raise Misfit("a value of a union does not fit", code="HW-S040", detail=wrong.what) from None

    return read


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
            return enum_reader(avro_type)
        return scalar_reader(avro_type)

    def _record(self, record: Record) -> Converter:
        fields = tuple((field.name, self.of(field.type)) for field in record.fields)
        defaults = {field.name: _default(field.type, field.default) for field in record.fields if field.optional}
        names = frozenset(field.name for field in record.fields)
        count = len(fields)

        def convert(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise Wrong("not an object")
            result, absent = {}, 0
            for name, convert_field in fields:
                try:
                    result[name] = convert_field(value[name])
                except KeyError:
                    if name not in defaults:
                        raise _named(Wrong("missing, and without a default"), name) from None
                    result[name] = defaults[name]()
                    absent += 1
                except Wrong as wrong:
                    raise _named(wrong, name) from None
            if len(value) + absent != count:
                other = next(name for name in value if name not in names)
                raise Wrong(f"a field that the schema does not have: '{str(other)[:60]}'")
            return result

        return convert

    def _union(self, union: Union) -> Converter:
        null = any(branch.kind == "null" for branch in union.branches)
        # A whole number fits a float, but a large one not without loss: whole branches are asked first.
        branches = sorted(union.branches, key=lambda branch: branch.kind in FLOATS)
        converters = [self.of(branch) for branch in branches if branch.kind != "null"]
        if null and len(converters) == 1:
            only = converters[0]
            return lambda value: None if value is None else only(value)

        def convert(value: Any) -> Any:
            if value is None and null:
                return None
            for attempt in converters:
                try:
                    return attempt(value)
                except Wrong:
                    continue
            raise Wrong("fits no branch of the union")

        return convert


def _named(wrong: Wrong, name: str) -> Wrong:
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
            raise Wrong("not an array")
        return [item(one) for one in value]

    return convert


def _map(item: Converter) -> Converter:
    def convert(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise Wrong("not an object")
        return {key: item(one) for key, one in value.items()}

    return convert


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
        return scalar_writer(avro_type)

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

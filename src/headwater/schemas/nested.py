"""Values within a record, written by an older or a newer schema, as the one that they are read by has them.

A record within a record has the fields of the reader's: what an older writer did not have yet takes its default, and
what a newer one has beyond them is left out. Values of a union of several types stay as they are: nothing says which
type one is of. The fields of the outermost record are `RecordReader`'s own matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from headwater.schemas.defaults import default_value
from headwater.schemas.types import Array, AvroType, Field, Map, Record, Union

Fit = Callable[[Any], Any]
Pair = tuple[int, int]


class Lacking(Exception):
    """A writer has no field of this name, and it has no default."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def nested_fit(writer: AvroType, reader: AvroType) -> Fit | None:
    """A function from a value as one schema writes it to how the other has it; None where it stays as it is.

    Raises `Lacking`.

    >>> from headwater.schemas.avro import parse
    >>> old, new = (
    ...     parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}' + more + "]}").type
    ...     for more in ("", ', {"name": "y", "type": "long", "default": 5}')
    ... )
    >>> nested_fit(Array(old), Array(new))([{"x": 1}]), nested_fit(new, old)({"x": 1, "y": 2})
    ([{'x': 1, 'y': 5}], {'x': 1})
    >>> nested_fit(new, new) is None
    True
    """
    return None if _alike(writer, reader, set()) else _Fits().of(writer, reader)


def _alike(writer: AvroType, reader: AvroType, seen: set[Pair]) -> bool:
    """Whether all records in two types have the same fields."""
    writer, reader = _value(writer), _value(reader)
    pair = (id(writer), id(reader))
    if pair in seen:
        return True
    seen.add(pair)
    if isinstance(writer, Record) and isinstance(reader, Record) and _names(writer) != _names(reader):
        return False
    return all(_alike(*inside, seen) for inside in _inside(writer, reader))


def _names(record: Record) -> set[str]:
    return {field.name for field in record.fields}


def _inside(writer: AvroType, reader: AvroType) -> Iterator[tuple[AvroType, AvroType]]:
    """The types within two types that stand for each other."""
    if isinstance(writer, Array) and isinstance(reader, Array):
        yield writer.items, reader.items
    elif isinstance(writer, Map) and isinstance(reader, Map):
        yield writer.values, reader.values
    elif isinstance(writer, Record) and isinstance(reader, Record):
        theirs = {field.name: field.type for field in writer.fields}
        for field in reader.fields:
            if field.name in theirs:
                yield theirs[field.name], field.type


def _value(avro_type: AvroType) -> AvroType:
    """Of a type that may be null the other one."""
    if not isinstance(avro_type, Union):
        return avro_type
    rest = [branch for branch in avro_type.branches if branch.kind != "null"]
    return rest[0] if len(rest) == 1 else avro_type


class _Fits:
    """The functions of pairs of types; one may call itself, since a record may contain itself."""

    def __init__(self) -> None:
        self._known: dict[Pair, Fit] = {}

    def of(self, writer: AvroType, reader: AvroType) -> Fit:
        writer, reader = _value(writer), _value(reader)
        pair = (id(writer), id(reader))
        if pair in self._known:
            return self._known[pair]
        made: list[Fit] = []
        self._known[pair] = lambda value: None if value is None else made[0](value)
        made.append(self._made(writer, reader))
        return self._known[pair]

    def _made(self, writer: AvroType, reader: AvroType) -> Fit:
        if isinstance(writer, Array) and isinstance(reader, Array):
            item = self.of(writer.items, reader.items)
            return lambda values: [item(value) for value in values]
        if isinstance(writer, Map) and isinstance(reader, Map):
            one = self.of(writer.values, reader.values)
            return lambda values: {key: one(value) for key, value in values.items()}
        if isinstance(writer, Record) and isinstance(reader, Record):
            return self._record(writer, reader)
        return lambda value: value

    def _record(self, writer: Record, reader: Record) -> Fit:
        theirs = {field.name: field for field in writer.fields}
        fields = [(field.name, self._field(theirs.get(field.name), field)) for field in reader.fields]
        return lambda value: {name: fit(value) for name, fit in fields}

    def _field(self, theirs: Field | None, own: Field) -> Fit:
        if theirs is not None:
            fit, name = self.of(theirs.type, own.type), own.name
            return lambda value: fit(value[name])
        if not own.optional:
            raise Lacking(own.name)
        default = default_value(own.type, own.default)
        return lambda value: default

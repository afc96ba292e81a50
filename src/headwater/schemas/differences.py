"""What differs between two versions of a schema, field by field, for people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from headwater.schemas.avro import Schema
from headwater.schemas.types import (
    MISSING,
    Array,
    AvroType,
    Enum,
    Field,
    Fixed,
    Map,
    Record,
    Union,
    type_name,
)

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: what was done to which part, as it was and as it is."""

    kind: Literal["added", "removed", "changed"]
    path: str
    before: str
    after: str

    def as_json(self) -> dict[str, str]:
        """As the published JSON form has it."""
        return asdict(self)

    def text(self) -> str:
        """In one line.

        >>> Change("changed", "delay", "int", "long").text()
        '~ delay: int -> long'
        """
        said = " -> ".join(part for part in (self.before, self.after) if part)
        return f"{_SIGNS[self.kind]} {self.path}: {said}"


def differences(before: Schema, after: Schema) -> list[Change]:
    """What differs, in the order of the new schema; documentation counts, order of keys does not.

    >>> from headwater.schemas.avro import parse
    >>> [change.text() for change in differences(parse('"int"'), parse('"long"'))]
    ['~ type: int -> long']
    """
    found: list[Change] = []
    _types(before.type, after.type, "", found, set())
    return found


def _types(before: AvroType, after: AvroType, path: str, found: list[Change], seen: set[AvroType]) -> None:
    place = path or "type"
    if before.kind != after.kind:
        found.append(Change("changed", place, _label(before), _label(after)))
        return
    if after in seen:
        return
    if isinstance(before, Enum | Fixed | Record) and isinstance(after, Enum | Fixed | Record):
        seen.add(after)
        if before.name != after.name:
            found.append(Change("changed", f"{place} (name)", before.name, after.name))
    if isinstance(before, Record) and isinstance(after, Record):
        _fields(before, after, path, found, seen)
    elif isinstance(before, Enum) and isinstance(after, Enum):
        _symbols(before, after, place, found)
    elif isinstance(before, Array) and isinstance(after, Array):
        _types(before.items, after.items, f"{path}[]", found, seen)
    elif isinstance(before, Map) and isinstance(after, Map):
        _types(before.values, after.values, f"{path}{{}}", found, seen)
    elif isinstance(before, Union) and isinstance(after, Union) and len(before.branches) == len(after.branches):
        for one, other in zip(before.branches, after.branches, strict=True):
            _types(one, other, path, found, seen)
    elif _label(before) != _label(after):
        found.append(Change("changed", place, _label(before), _label(after)))


def _fields(before: Record, after: Record, path: str, found: list[Change], seen: set[AvroType]) -> None:
    old = {field.name: field for field in before.fields}
    used = set()
    for field in after.fields:
        place = f"{path}.{field.name}" if path else field.name
        source = field.name if field.name in old else next((alias for alias in field.aliases if alias in old), None)
        if source is None:
            found.append(Change("added", place, "", _field(field)))
            continue
        used.add(source)
        if source != field.name:
            found.append(Change("changed", f"{place} (name)", source, field.name))
        earlier = old[source]
        _types(earlier.type, field.type, place, found, seen)
        if _default(earlier) != _default(field):
            found.append(Change("changed", f"{place} (default)", _default(earlier), _default(field)))
        if earlier.doc != field.doc:
            found.append(Change("changed", f"{place} (doc)", earlier.doc or "none", field.doc or "none"))
    for name, field in old.items():
        if name not in used:
            found.append(Change("removed", f"{path}.{name}" if path else name, _field(field), ""))


def _symbols(before: Enum, after: Enum, place: str, found: list[Change]) -> None:
    for symbol in after.symbols:
        if symbol not in before.symbols:
            found.append(Change("added", f"{place} (symbol)", "", symbol))
    for symbol in before.symbols:
        if symbol not in after.symbols:
            found.append(Change("removed", f"{place} (symbol)", symbol, ""))


def _label(avro_type: AvroType) -> str:
    return f"{type_name(avro_type)} of {avro_type.size} bytes" if isinstance(avro_type, Fixed) else type_name(avro_type)


def _field(field: Field) -> str:
    return _label(field.type) + (f", default {_default(field)}" if field.optional else "")


def _default(field: Field) -> str:
    return "none" if field.default is MISSING else json.dumps(field.default, ensure_ascii=False)

"""An Avro schema as a value: parsed strictly once, with its canonical form, its fingerprint and its fields."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from headwater.errors import CallerFault, Finding, InvalidFiles
from headwater.schemas.parsing import Parser, read_json
from headwater.schemas.places import place_of
from headwater.schemas.types import MISSING, Array, AvroType, Enum, Field, Fixed, Map, Named, Primitive, Record, Union

__all__ = ["Field", "Reference", "Schema", "normalized", "parse", "without"]

_EMPTY = 0xC15D213AA4D7A795  # the fingerprint of no bytes, as the Avro specification gives it


@dataclass(frozen=True, slots=True)
class Reference:
    """A type that a schema takes from another subject: the type's full name, the subject, its version."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True)
class Schema:
    """A parsed schema. Equal where text and references are.

    `text` is compact JSON with the keys in the order they were written, `json` the same parsed, `inlined` the JSON with
    every referenced type written out, `type` the parsed type,
    `referred` the names of the types of other schemas. `name` is the full name of a record, enum or fixed, else
    the kind; `fields` are a record's fields.
    """

    text: str
    references: tuple[Reference, ...] = ()
    json: Any = field(compare=False, repr=False, default=None)
    type: AvroType = field(compare=False, repr=False, default_factory=lambda: Primitive("null"))
    referred: frozenset[str] = field(compare=False, repr=False, default=frozenset())

    @property
    def name(self) -> str:
        """The full name."""
        return self.type.name if isinstance(self.type, Enum | Fixed | Record) else self.type.kind

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of a record; empty for other types."""
        return self.type.fields if isinstance(self.type, Record) else ()

    def field(self, name: str) -> Field:
        """One field; raises `CallerFault` HW-S015 where there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise CallerFault(
            f"{self.name} has no field '{name}'",
            code="HW-S015",
            hint="its fields: " + ", ".join(candidate.name for candidate in self.fields),
        )

    @cached_property
    def inlined(self) -> Any:
        """The JSON with all types written out where they are first met: needs no references."""
        return _render(self.type, set())

    @cached_property
    def canonical(self) -> str:
        """The parsing canonical form: what decoding depends on, and nothing else."""
        return json.dumps(_canonical(self.type, set()), ensure_ascii=False, separators=(",", ":"))

    @cached_property
    def fingerprint(self) -> int:
        """CRC-64-AVRO of the canonical form, unsigned.

        >>> hex(parse('"int"').fingerprint)
        '0x7275d51a3f395c8f'
        """
        value = _EMPTY
        for byte in self.canonical.encode():
            value = (value >> 8) ^ _TABLE[(value ^ byte) & 0xFF]
        return value


def parse(
    text: str,
    references: Mapping[str, str | Schema] | None = None,
    *,
    file: str = "schema",
    referenced: tuple[Reference, ...] = (),
) -> Schema:
    """A schema from its text; `references` are texts of schemas whose types it uses, each after what it uses itself.

    `referenced` says which subjects and versions those are, for registries. Raises `InvalidFiles` with every finding,
    at line and column of `file`.

    >>> schema = parse('{"type": "record", "name": "a.b.R", "fields": [{"name": "x", "type": "long"}]}')
    >>> schema.name, [field.name for field in schema.fields]
    ('a.b.R', ['x'])
    """
    names: dict[str, Named] = {}
    for name, reference in (references or {}).items():
        if isinstance(reference, Schema):
            _collect(reference.type, names)
        else:
            Parser(name, names).schema(read_json(reference, name))
    value = read_json(text, file)
    referred = frozenset(names)
    try:
        parsed = Parser(file, names).schema(value)
    except InvalidFiles as invalid:
        raise InvalidFiles(_placed(finding, text) for finding in invalid.findings) from None
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Schema(compact, referenced, value, parsed, referred)


def without(schema: Schema, names: Collection[str]) -> Schema:
    """The same record without these fields; types that only they defined move to where they are used next.

    >>> record = parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}')
    >>> without(record, ["x"]).fields
    ()
    """
    if not isinstance(schema.type, Record):
        return schema
    kept = tuple(item for item in schema.type.fields if item.name not in names)
    record = schema.type
    reduced = Record(record.name, record.aliases, record.attributes, kept)
    value = _render(reduced, set())
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if any(_holds(item.type, record, set()) for item in kept):
        return parse(text, file=schema.name)  # within itself it lacks the fields too
    return Schema(text, (), value, reduced)  # the types are parsed already


def normalized(schema: Schema) -> str:
    """The text with the keys in one order, full names and no superfluous parts: equal for schemas that say the same.

    >>> normalized(parse('{"type": "int"}')) == normalized(parse('"int"'))
    True
    """
    seen = set(schema.referred)
    return json.dumps(_render(schema.type, seen), ensure_ascii=False, separators=(",", ":"))


def _placed(finding: Finding, text: str) -> Finding:
    if finding.line:
        return finding
    line, column = place_of(text, finding.path)
    return Finding(
        finding.code,
        finding.severity,
        finding.file,
        line,
        column,
        finding.path,
        finding.message,
        finding.why,
        finding.fix,
    )


def _collect(avro_type: AvroType, names: dict[str, Named]) -> None:
    if isinstance(avro_type, Enum | Fixed | Record):
        if avro_type.name in names:
            return
        names[avro_type.name] = avro_type
    for part in parts_of(avro_type):
        _collect(part, names)


def _holds(avro_type: AvroType, record: Record, seen: set[int]) -> bool:
    """Whether a record stands within a type."""
    if avro_type is record:
        return True
    if id(avro_type) in seen:
        return False
    seen.add(id(avro_type))
    return any(_holds(part, record, seen) for part in parts_of(avro_type))


def parts_of(avro_type: AvroType) -> tuple[AvroType, ...]:
    """The types directly within a type."""
    if isinstance(avro_type, Record):
        return tuple(item.type for item in avro_type.fields)
    if isinstance(avro_type, Union):
        return avro_type.branches
    if isinstance(avro_type, Array):
        return (avro_type.items,)
    return (avro_type.values,) if isinstance(avro_type, Map) else ()


def _render(avro_type: AvroType, seen: set[str]) -> Any:
    if isinstance(avro_type, Primitive):
        return {"type": avro_type.kind, **avro_type.attributes} if avro_type.attributes else avro_type.kind
    if isinstance(avro_type, Union):
        return [_render(branch, seen) for branch in avro_type.branches]
    if isinstance(avro_type, Array):
        return {"type": "array", "items": _render(avro_type.items, seen), **avro_type.attributes}
    if isinstance(avro_type, Map):
        return {"type": "map", "values": _render(avro_type.values, seen), **avro_type.attributes}
    if avro_type.name in seen:
        return avro_type.name
    seen.add(avro_type.name)
    value: dict[str, Any] = {"type": avro_type.kind, "name": avro_type.name}
    if "." not in avro_type.name:
        value["namespace"] = ""  # or it would take the namespace around it
    if avro_type.aliases:
        value["aliases"] = list(avro_type.aliases)
    value.update(avro_type.attributes)
    if isinstance(avro_type, Record):
        value["fields"] = [_render_field(item, seen) for item in avro_type.fields]
    elif isinstance(avro_type, Fixed):
        value["size"] = avro_type.size
    else:
        value["symbols"] = list(avro_type.symbols)
        if avro_type.default is not None:
            value["default"] = avro_type.default
    return value


def _render_field(item: Field, seen: set[str]) -> dict[str, Any]:
    value: dict[str, Any] = {"name": item.name, "type": _render(item.type, seen), **item.attributes}
    if item.default is not MISSING:
        value["default"] = item.default
    if item.aliases:
        value["aliases"] = list(item.aliases)
    return value


def _canonical(avro_type: AvroType, seen: set[str]) -> Any:
    if isinstance(avro_type, Primitive):
        return avro_type.kind
    if isinstance(avro_type, Union):
        return [_canonical(branch, seen) for branch in avro_type.branches]
    if isinstance(avro_type, Array):
        return {"type": "array", "items": _canonical(avro_type.items, seen)}
    if isinstance(avro_type, Map):
        return {"type": "map", "values": _canonical(avro_type.values, seen)}
    if avro_type.name in seen:
        return avro_type.name
    seen.add(avro_type.name)
    value: dict[str, Any] = {"name": avro_type.name, "type": avro_type.kind}
    if isinstance(avro_type, Record):
        value["fields"] = [{"name": item.name, "type": _canonical(item.type, seen)} for item in avro_type.fields]
    elif isinstance(avro_type, Fixed):
        value["size"] = avro_type.size
    else:
        value["symbols"] = list(avro_type.symbols)
    return value


def _table() -> tuple[int, ...]:
    entries = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = (value >> 1) ^ (_EMPTY if value & 1 else 0)
        entries.append(value)
    return tuple(entries)


_TABLE = _table()

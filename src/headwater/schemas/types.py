"""Avro types as frozen values: what a parsed schema is made of.

Records may contain themselves, so types are compared by identity; two schemas are compared by their canonical form.
`attributes` are the keys of the JSON that Avro gives no meaning to (`doc`, marks for personal data), kept as written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

FLOATS: Final = ("float", "double")
PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


class Missing:
    """The type of `MISSING`: no default was written, which is not the same as the default null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


@dataclass(frozen=True, eq=False, slots=True)
class Logical:
    """A logical type that Avro names and that stands on the right type; `precision` and `scale` are of decimals."""

    name: str
    precision: int = 0
    scale: int = 0

    def text(self) -> str:
        """As a person writes it.

        >>> Logical("decimal", 9, 2).text()
        'decimal(9, 2)'
        """
        return f"decimal({self.precision}, {self.scale})" if self.name == "decimal" else self.name


@dataclass(frozen=True, eq=False, slots=True)
class Primitive:
    """One of the eight types without parts."""

    kind: str
    logical: Logical | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Array:
    """A list of items of one type."""

    items: AvroType
    attributes: Mapping[str, Any] = field(default_factory=dict)

    kind = "array"


@dataclass(frozen=True, eq=False, slots=True)
class Map:
    """Values of one type by text."""

    values: AvroType
    attributes: Mapping[str, Any] = field(default_factory=dict)

    kind = "map"


@dataclass(frozen=True, eq=False, slots=True)
class Union:
    """One of several types."""

    branches: tuple[AvroType, ...]

    kind = "union"


@dataclass(frozen=True, eq=False, slots=True)
class Enum:
    """One of a list of symbols. `default` is what a reader takes for a symbol that it does not know."""

    name: str
    symbols: tuple[str, ...]
    default: str | None
    aliases: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    kind = "enum"


@dataclass(frozen=True, eq=False, slots=True)
class Fixed:
    """So many bytes."""

    name: str
    size: int
    aliases: tuple[str, ...]
    logical: Logical | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    kind = "fixed"


@dataclass(frozen=True, eq=False, slots=True)
class Field:
    """A field of a record. `type_json` is its type as written; `default` is `MISSING` where none was written."""

    name: str
    type: AvroType
    type_json: Any
    default: Any
    doc: str
    aliases: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def optional(self) -> bool:
        """Whether a reader can do without the writer's value."""
        return self.default is not MISSING

    @property
    def nullable(self) -> bool:
        """Whether the value may be null."""
        branches = self.type.branches if isinstance(self.type, Union) else (self.type,)
        return any(branch.kind == "null" for branch in branches)


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """Named fields in order. `fields` is filled once, by the parser, since a record may contain itself."""

    name: str
    aliases: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[Field, ...] = ()

    kind = "record"


Named = Enum | Fixed | Record
AvroType = Primitive | Array | Map | Union | Enum | Fixed | Record


def logical_of(avro_type: AvroType) -> Logical | None:
    """The logical type that stands on a type, if any."""
    return avro_type.logical if isinstance(avro_type, Primitive | Fixed) else None


def type_name(avro_type: AvroType) -> str:
    """A type as a person names it: its full name, or its kind.

    >>> type_name(Array(Primitive("long")))
    'array of long'
    """
    if isinstance(avro_type, Enum | Fixed | Record):
        return f"{avro_type.kind} {avro_type.name}"
    if isinstance(avro_type, Array):
        return f"array of {type_name(avro_type.items)}"
    if isinstance(avro_type, Map):
        return f"map of {type_name(avro_type.values)}"
    if isinstance(avro_type, Union):
        return "union of " + ", ".join(type_name(branch) for branch in avro_type.branches)
    return f"{avro_type.kind} ({avro_type.logical.text()})" if avro_type.logical else avro_type.kind

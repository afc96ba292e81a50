"""What a field of a flow may hold: the types of expressions, from and against the types of Avro."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

PRIMITIVES = {
    "int": "integer",
    "long": "integer",
    "float": "double",
    "double": "double",
    "string": "string",
    "boolean": "boolean",
    "bytes": "bytes",
}
_LOGICAL = {"timestamp-micros": "instant", "date": "date", "decimal": "decimal"}


@dataclass(frozen=True, slots=True)
class FieldType:
    """A kind (integer, decimal, double, string, boolean, bytes, instant, date, array, record, other), null or not.

    Decimals have precision and scale, arrays the type of their `items`, records their `members` by name. Arrays,
    records and `other` Avro types are carried, not computed with; `avro` then says which type it is.

    >>> INTEGER.or_null().text()
    'integer or null'
    """

    kind: str
    nullable: bool = False
    precision: int = 0
    scale: int = 0
    avro: str = ""
    # Both follow from `avro`; the form of kept state is made of what is shown here, and would change for nothing.
    items: FieldType | None = field(default=None, repr=False)
    members: tuple[tuple[str, FieldType], ...] = field(default=(), repr=False)

    def or_null(self, nullable: bool = True) -> FieldType:
        """The same, null allowed (where the argument says so)."""
        return replace(self, nullable=True) if nullable and not self.nullable else self

    def required(self) -> FieldType:
        """The same, null not allowed."""
        return replace(self, nullable=False)

    def text(self) -> str:
        """As messages name it."""
        if self.items is not None:
            name = f"array of {self.items.text()}"
        elif self.kind == "decimal":
            name = f"decimal({self.precision},{self.scale})"
        else:
            name = self.avro if self.kind == "other" else self.kind
        return f"{name} or null" if self.nullable else name


INTEGER = FieldType("integer")
DOUBLE = FieldType("double")
STRING = FieldType("string")
BOOLEAN = FieldType("boolean")
INSTANT = FieldType("instant")
NULL = FieldType("null", nullable=True)
WRITTEN_OUT_LIMIT = 1000  # named types of a schema that are written out again where they are used again
PRECISION_LIMIT = 38  # digits of a decimal that every port can carry


def from_avro(type_json: Any) -> FieldType:
    """The type of an Avro field from its parsed JSON.

    >>> from_avro(["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]).text()
    'decimal(9,2) or null'
    """
    if isinstance(type_json, list):
        rest = [branch for branch in type_json if branch != "null"]
        if len(rest) == 1:
            return from_avro(rest[0]).or_null(len(rest) < len(type_json))
        return FieldType("other", "null" in type_json, avro=json.dumps(rest, sort_keys=True))
    if isinstance(type_json, dict):
        kind = _LOGICAL.get(str(type_json.get("logicalType", "")))
        if kind == "decimal":
            return FieldType(kind, precision=int(type_json["precision"]), scale=int(type_json.get("scale", 0)))
        if kind is not None:
            return FieldType(kind)
        if type_json["type"] == "enum":
            return STRING
        if isinstance(type_json["type"], str) and type_json["type"] in PRIMITIVES and "logicalType" not in type_json:
            return FieldType(PRIMITIVES[type_json["type"]])
        avro = json.dumps(type_json, sort_keys=True)
        if type_json["type"] == "array":
            return FieldType("array", avro=avro, items=from_avro(type_json["items"]))
        if type_json["type"] == "record":
            members = tuple((member["name"], from_avro(member["type"])) for member in type_json["fields"])
            return FieldType("record", avro=avro, members=members)
        return FieldType("other", avro=avro)
    if type_json in PRIMITIVES:
        return FieldType(PRIMITIVES[type_json])
    return FieldType("other", avro=json.dumps(type_json))


def written_out(record: Mapping[str, Any]) -> dict[str, Any]:
    """The types of a record's fields, each named type written out wherever it is met and not only first.

    Within itself a record stays a name; so does what comes after the thousandth, since each level may double the text.

    >>> color = {"type": "enum", "name": "Color", "symbols": ["RED"]}
    >>> both = written_out({"fields": [{"name": "one", "type": color}, {"name": "two", "type": "Color"}]})
    >>> both["one"] == both["two"]
    True
    """
    known: dict[str, Any] = {}
    left = iter(range(WRITTEN_OUT_LIMIT))

    def whole(avro: Any, around: frozenset[str]) -> Any:
        if isinstance(avro, list):
            return [whole(branch, around) for branch in avro]
        if isinstance(avro, str):
            again = avro in known and avro not in around and next(left, None) is not None
            return whole(known[avro], around) if again else avro
        if avro["type"] in ("record", "enum", "fixed"):
            known.setdefault(avro["name"], avro)
            around |= {avro["name"]}
        made = {name: whole(avro[name], around) for name in ("type", "items", "values") if name in avro}
        if "fields" in avro:
            made["fields"] = [{**member, "type": whole(member["type"], around)} for member in avro["fields"]]
        return {**avro, **made}

    return {member["name"]: whole(member["type"], frozenset()) for member in record["fields"]}


def misfit(given: FieldType, wanted: FieldType) -> str:
    """Why a value of one type cannot stand in a field of another; empty if it can.

    >>> misfit(INTEGER.or_null(), INTEGER)
    'may be null, and the field may not'
    """
    if given.kind == "null":
        return "" if wanted.nullable else "is null, and the field may not be"
    if given.kind != wanted.kind and not (given.kind == "integer" and wanted.kind == "double"):
        return f"is {given.required().text()}, and the field is {wanted.required().text()}"
    if given.kind == "decimal" and given.scale > wanted.scale:
        return f"has {given.scale} decimal places, and the field {wanted.scale}"
    if given.avro != wanted.avro:
        return "is of another Avro type than the field"
    return "may be null, and the field may not" if given.nullable and not wanted.nullable else ""


def common(first: FieldType, second: FieldType) -> FieldType | None:
    """The narrowest type that holds both, or None."""
    if first.kind == "null":
        return second.or_null()
    if second.kind == "null":
        return first.or_null()
    nullable = first.nullable or second.nullable
    if first.kind == second.kind == "decimal" or {first.kind, second.kind} == {"decimal", "integer"}:
        return decimal_of(
            max(_whole(first), _whole(second)) + max(first.scale, second.scale), max(first.scale, second.scale)
        ).or_null(nullable)
    if first.kind == second.kind and first.avro == second.avro:
        return first.or_null(nullable)
    return DOUBLE.or_null(nullable) if {first.kind, second.kind} == {"integer", "double"} else None


def decimal_of(precision: int, scale: int) -> FieldType:
    """A decimal, its precision held to what ports can carry."""
    return FieldType("decimal", precision=min(precision, PRECISION_LIMIT), scale=scale)


def _whole(type_: FieldType) -> int:
    return type_.precision - type_.scale if type_.kind == "decimal" else 19

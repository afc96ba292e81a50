"""Whether a default written in a schema fits its type, and what value it stands for."""

from __future__ import annotations

import math
from typing import Any

from headwater.schemas.logical import bytes_to_uuid, day_to_date, unscaled_to_decimal
from headwater.schemas.types import MISSING, Array, AvroType, Enum, Fixed, Map, Record, Union, logical_of

VALUES_LIMIT = 5_000  # that one default may stand for
DEPTH_LIMIT = 64
_RANGES = {"int": 31, "long": 63}


def default_problem(avro_type: AvroType, value: Any, budget: list[int] | None = None) -> str:
    """Why a default does not fit, as the end of a sentence; empty where it does.

    `budget` bounds the values that a default may stand for: records complete themselves with the defaults of their
    fields, and a few nested ones can mean more values than there is memory.

    >>> from headwater.schemas.types import Primitive
    >>> default_problem(Primitive("int"), 5), default_problem(Primitive("int"), "5")
    ('', 'is not an int')
    """
    budget = [VALUES_LIMIT, DEPTH_LIMIT] if budget is None else budget
    budget[0] -= 1
    budget[1] -= 1
    try:
        if budget[0] < 0 or budget[1] < 0:
            return "stands for more values than a default should"
        return _problem(avro_type, value, budget)
    finally:
        budget[1] += 1


def _problem(avro_type: AvroType, value: Any, budget: list[int]) -> str:
    if isinstance(avro_type, Union):
        return default_problem(avro_type.branches[0], value, budget)
    if isinstance(avro_type, Array):
        if not isinstance(value, list):
            return "is not an array"
        return next(filter(None, (default_problem(avro_type.items, item, budget) for item in value)), "")
    if isinstance(avro_type, Map):
        if not isinstance(value, dict):
            return "is not a map"
        return next(filter(None, (default_problem(avro_type.values, v, budget) for v in value.values())), "")
    if isinstance(avro_type, Record):
        if not isinstance(value, dict):
            return f"is not an object for {avro_type.name}"
        for field in avro_type.fields:
            item = value.get(field.name, field.default)
            if item is MISSING:
                return f"lacks '{field.name}'"
            if problem := default_problem(field.type, item, budget):
                return problem
        return ""
    if isinstance(avro_type, Enum):
        return "" if value in avro_type.symbols else f"is no symbol of {avro_type.name}"
    if isinstance(avro_type, Fixed):
        fits = isinstance(value, str) and len(value) == avro_type.size and _latin(value)
        return "" if fits else f"is not {avro_type.size} bytes, one character each"
    return _primitive_problem(avro_type.kind, value)


def _primitive_problem(kind: str, value: Any) -> str:
    if kind == "null":
        return "" if value is None else "is not null"
    if kind == "boolean":
        return "" if isinstance(value, bool) else "is not a boolean"
    if kind == "string":
        return "" if isinstance(value, str) else "is not a string"
    if kind == "bytes":
        return "" if isinstance(value, str) and _latin(value) else "is not bytes, one character each"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in _RANGES:
        bound = 1 << _RANGES[kind]
        article = "an" if kind == "int" else "a"
        return "" if number and isinstance(value, int) and -bound <= value < bound else f"is not {article} {kind}"
    return "" if number and math.isfinite(value) else f"is not a {kind}"


def _latin(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def default_value(avro_type: AvroType, value: Any) -> Any:
    """The Python value that a fitting default stands for, as a codec gives it: records completed, logical types too."""
    if isinstance(avro_type, Union):
        return default_value(avro_type.branches[0], value)
    if isinstance(avro_type, Array):
        return [default_value(avro_type.items, item) for item in value]
    if isinstance(avro_type, Map):
        return {key: default_value(avro_type.values, item) for key, item in value.items()}
    if isinstance(avro_type, Record):
        return {
            field.name: default_value(field.type, value.get(field.name, field.default)) for field in avro_type.fields
        }
    logical = logical_of(avro_type)
    kind = logical.name if logical else ""
    if avro_type.kind in ("bytes", "fixed"):
        body = value.encode("latin-1")
        if logical is not None and kind == "decimal":
            return unscaled_to_decimal(body, logical.precision, logical.scale, len(body))
        return bytes_to_uuid(body) if kind == "uuid" else body
    if avro_type.kind in ("float", "double"):
        return float(value)
    if kind == "date":
        return day_to_date(value)
    return value * 1000 if kind == "timestamp-millis" else value

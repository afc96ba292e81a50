"""Expressions of a flow as Flink SQL that computes the same: null as in SQL, integers that fail rather than wrap.

Arithmetic over integers goes through functions of ours: Flink's own wraps beyond 64 bits, cuts a quotient toward zero,
and fails on a division by zero. What Flink would compute otherwise is refused, never approximated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from headwater.processing.expressions import Call, Choice, Column, Expression, Literal
from headwater.processing.field_types import FieldType
from headwater.processing.graph import EVENT_TIMES, FACT_TIMES, Filter, Map
from headwater.processing.named_ids import OfInput
from headwater.processing.runners.flink_text import TYPES, text, type_of

Columns = Mapping[str, str]
"""What each field is made of, as SQL."""
Fields = Mapping[str, FieldType]

_WHOLE = {
    "add": "hw_add",
    "subtract": "hw_subtract",
    "multiply": "hw_multiply",
    "divide": "hw_divide",
    "divide_whole": "hw_floor_divide",
    "remainder": "hw_floor_remainder",
    "negate": "hw_negate",
    "absolute": "hw_absolute",
}
_DOUBLE = {"add": "({0} + {1})", "subtract": "({0} - {1})", "multiply": "({0} * {1})", "negate": "(-{0})"}
_COMPARED = {
    "equal": "=",
    "unequal": "<>",
    "less": "<",
    "less_or_equal": "<=",
    "greater": ">",
    "greater_or_equal": ">=",
}
_LONG = 1 << 63


class Inexpressible(Exception):
    """What Flink SQL cannot be made to compute as the engine does, in words, and the line of its step (0: unknown)."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.line = line


def sql_of(expression: Expression, fields: Fields, columns: Columns) -> str:
    """An expression over `columns`, which are of the types `fields`; raises `Inexpressible`.

    >>> from headwater.processing.expressions import col
    >>> from headwater.processing.field_types import INTEGER
    >>> sql_of(col("delay") > 15, {"delay": INTEGER}, {"delay": "`delay`"})
    '(`delay` > CAST(15 AS BIGINT))'
    """
    if isinstance(expression, Column):
        return columns[expression.name]
    if isinstance(expression, Literal):
        return _literal(expression.value)
    if isinstance(expression, OfInput):
        return f"CONCAT({text(f'{expression.product}/')}, {columns['event_id']})"
    if isinstance(expression, Choice):
        wanted = expression.type(fields)
        arms = [
            f"WHEN {sql_of(condition, fields, columns)} THEN {_as(value, wanted, fields, columns)}"
            for condition, value in expression.branches
        ]
        return f"CASE {' '.join(arms)} ELSE {_as(expression.rest, wanted, fields, columns)} END"
    assert isinstance(expression, Call)
    return _call(expression, fields, columns)


def rows_of(steps: Iterable[Map | Filter], fields: Fields, columns: Columns) -> tuple[str, Columns, Fields]:
    """Row steps as one condition ("TRUE" where there is none), the columns after them, and their types."""
    conditions: list[str] = []
    for step in steps:
        try:
            if isinstance(step, Filter):
                conditions.append(f"({sql_of(step.condition, fields, columns)}) IS TRUE")
            else:
                columns, fields = _mapped(step, fields, columns)
        except Inexpressible as what:
            raise Inexpressible(str(what), step.line) from None
    return " AND ".join(conditions) or "TRUE", columns, fields


def cast(made: str, given: FieldType, wanted: FieldType) -> str:
    """A value as the type of the field it is for."""
    if given.kind == "null":
        return f"CAST(NULL AS {_type(wanted)})"
    return f"CAST({made} AS {_type(wanted)})" if TYPES.get(given.kind) != TYPES.get(wanted.kind) else made


def _mapped(step: Map, fields: Fields, columns: Columns) -> tuple[Columns, Fields]:
    # A field that nobody wants may read columns that were not kept for it.
    computed = {name: value for name, value in step.fields if value.reads() <= columns.keys()}
    kept = [name for name in columns if name not in dict(step.fields) and _stays(name, step)]
    made = {name: sql_of(value, fields, columns) for name, value in computed.items()}
    types = {name: value.type(fields) for name, value in computed.items()}
    return {**{name: columns[name] for name in kept}, **made}, {**{name: fields[name] for name in kept}, **types}


def _stays(name: str, step: Map) -> bool:
    return step.kept is None or name in step.kept or name in (*EVENT_TIMES, *FACT_TIMES)


def _as(value: Expression, wanted: FieldType, fields: Fields, columns: Columns) -> str:
    given = value.type(fields)
    return cast("" if given.kind == "null" else sql_of(value, fields, columns), given, wanted)


def _type(type_: FieldType) -> str:
    if type_.kind not in TYPES:
        raise Inexpressible(f"a value of the type {type_.required().text()}")
    return type_of(type_)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int) and -_LONG <= value < _LONG:
        return f"CAST({value} AS BIGINT)"
    if isinstance(value, str):
        return f"CAST({text(value)} AS STRING)"
    if isinstance(value, float) and math.isfinite(value):
        return f"CAST({value!r} AS DOUBLE)" if "e" not in repr(value) else f"CAST({text(repr(value))} AS DOUBLE)"
    raise Inexpressible(f"a literal of the type {type(value).__name__} here")


def _call(call: Call, fields: Fields, columns: Columns) -> str:
    types = [argument.type(fields) for argument in call.arguments]
    if call.function == "coalesce":
        wanted = call.type(fields)
        return f"COALESCE({', '.join(_as(argument, wanted, fields, columns) for argument in call.arguments)})"
    made = [sql_of(argument, fields, columns) for argument in call.arguments]
    if call.function in ("and", "or"):
        return f"({f' {call.function.upper()} '.join(made)})"
    if call.function == "not":
        return f"(NOT {made[0]})"
    if call.function == "is_null":
        return f"({made[0]} IS NULL)"
    kinds = {"integer" if type_.kind == "instant" else type_.kind for type_ in types}
    if call.function in _COMPARED:
        return _comparison(call.function, kinds, made)
    if kinds == {"integer"}:
        return f"{_WHOLE[call.function]}({', '.join(made)})"
    if kinds <= {"integer", "double"} and call.function in _DOUBLE:
        return _DOUBLE[call.function].format(*(f"CAST({one} AS DOUBLE)" for one in made))
    raise Inexpressible(f"'{call.function}' of {' and '.join(type_.required().text() for type_ in types)}")


def _comparison(function: str, kinds: set[str], made: list[str]) -> str:
    sign = _COMPARED[function]
    if len(kinds) > 1 or not kinds <= TYPES.keys():
        raise Inexpressible(f"a comparison of {' and '.join(sorted(kinds))}")
    if kinds == {"boolean"} and sign not in ("=", "<>"):
        raise Inexpressible("an order of booleans")
    return f"({made[0]} {sign} {made[1]})"

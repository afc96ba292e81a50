"""The functions of expressions: what types each takes and gives, and how each is computed, null as in SQL.

Integers and decimals are exact; decimals never meet floats, and division of decimals is refused, because how many
places to keep is the author's to say. Division by zero is null, so that no value can stop a flow.
"""

from __future__ import annotations

import decimal
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headwater.processing.field_types import BOOLEAN, DOUBLE, INTEGER, FieldType, common, decimal_of

Getter = Callable[[Any], Any]
_EXACT = decimal.Context(prec=100)  # wide enough that no sum or product of two decimals of 38 digits is rounded


@dataclass(frozen=True, slots=True)
class Function:
    """One function: `infer` gives its type or None, `build` its closure, `rule` says in words what it takes."""

    infer: Callable[..., FieldType | None]
    build: Callable[..., Getter]
    rule: str


def _sum_type(first: FieldType, second: FieldType) -> FieldType | None:
    if first.kind == "instant" or second.kind == "instant":
        return None
    wide = common(first, second)
    if wide is None or wide.kind not in ("integer", "decimal", "double"):
        return None
    return decimal_of(wide.precision + 1, wide.scale).or_null(wide.nullable) if wide.kind == "decimal" else wide


def _difference_type(first: FieldType, second: FieldType) -> FieldType | None:
    if first.kind == second.kind == "instant":
        return INTEGER.or_null(first.nullable or second.nullable)
    return _sum_type(first, second)


def _product_type(first: FieldType, second: FieldType) -> FieldType | None:
    wide = _sum_type(first, second)
    if wide is None or wide.kind != "decimal":
        return wide
    digits = (first.precision or 19) + (second.precision or 19)
    return decimal_of(digits, first.scale + second.scale).or_null(wide.nullable)


def _quotient_type(first: FieldType, second: FieldType) -> FieldType | None:
    wide = _sum_type(first, second)
    return DOUBLE.or_null() if wide is not None and wide.kind != "decimal" else None


def _whole_type(first: FieldType, second: FieldType) -> FieldType | None:
    return INTEGER.or_null() if first.kind == second.kind == "integer" else None


_CARRIED = frozenset({"array", "record", "other"})


def _comparable(first: FieldType, second: FieldType) -> FieldType | None:
    pair = {first.kind, second.kind}
    fits = common(first, second) is not None or pair == {"instant", "integer"}
    return BOOLEAN.or_null(first.nullable or second.nullable) if fits and not pair & _CARRIED else None


def _logical(*types: FieldType) -> FieldType | None:
    if any(type_.kind not in ("boolean", "null") for type_ in types):
        return None
    return BOOLEAN.or_null(any(type_.nullable for type_ in types))


def _numeric(type_: FieldType) -> FieldType | None:
    return type_ if type_.kind in ("integer", "decimal", "double") else None


def _coalesced(first: FieldType, second: FieldType) -> FieldType | None:
    wide = common(first, second)
    return wide if wide is None or second.nullable else wide.required()


def _binary(compute: Callable[[Any, Any], Any]) -> Callable[[Getter, Getter], Getter]:
    def build(first: Getter, second: Getter) -> Getter:
        def value(row: Any) -> Any:
            left = first(row)
            if left is None:
                return None
            right = second(row)
            return None if right is None else compute(left, right)

        return value

    return build


def _unary(compute: Callable[[Any], Any]) -> Callable[[Getter], Getter]:
    def build(argument: Getter) -> Getter:
        def value(row: Any) -> Any:
            given = argument(row)
            return None if given is None else compute(given)

        return value

    return build


def _exactly(plain: Callable[[Any, Any], Any], exact: Callable[[Any, Any], Any]) -> Callable[[Getter, Getter], Getter]:
    def compute(left: Any, right: Any) -> Any:
        if left.__class__ is decimal.Decimal or right.__class__ is decimal.Decimal:
            return exact(left, right)
        return plain(left, right)

    return _binary(compute)


def _guarded(compute: Callable[[Any, Any], Any]) -> Callable[[Getter, Getter], Getter]:
    return _binary(lambda left, right: compute(left, right) if right else None)


def _and(first: Getter, second: Getter) -> Getter:
    def value(row: Any) -> Any:
        left = first(row)
        if left is False:
            return False
        right = second(row)
        return False if right is False else None if left is None or right is None else True

    return value


def _or(first: Getter, second: Getter) -> Getter:
    def value(row: Any) -> Any:
        left = first(row)
        if left is True:
            return True
        right = second(row)
        return True if right is True else None if left is None or right is None else False

    return value


def _coalesce(first: Getter, second: Getter) -> Getter:
    def value(row: Any) -> Any:
        left = first(row)
        return second(row) if left is None else left

    return value


_NUMBERS = "it takes two numbers; decimals do not meet floats"
_COMPARED = "it takes two values of one type"
_TRUTHS = "it takes what is true or false"
FUNCTIONS = {
    "add": Function(_sum_type, _exactly(operator.add, _EXACT.add), _NUMBERS),
    "subtract": Function(_difference_type, _exactly(operator.sub, _EXACT.subtract), _NUMBERS),
    "multiply": Function(_product_type, _exactly(operator.mul, _EXACT.multiply), _NUMBERS),
    "divide": Function(_quotient_type, _guarded(operator.truediv), "it takes integers or floats; decimals are refused"),
    "divide_whole": Function(_whole_type, _guarded(operator.floordiv), "it takes two integers"),
    "remainder": Function(_whole_type, _guarded(operator.mod), "it takes two integers"),
    "negate": Function(_numeric, _unary(lambda value: _EXACT.minus(value) if _exact(value) else -value), _NUMBERS),
    "absolute": Function(_numeric, _unary(lambda value: _EXACT.abs(value) if _exact(value) else abs(value)), _NUMBERS),
    "equal": Function(_comparable, _binary(operator.eq), _COMPARED),
    "unequal": Function(_comparable, _binary(operator.ne), _COMPARED),
    "less": Function(_comparable, _binary(operator.lt), _COMPARED),
    "less_or_equal": Function(_comparable, _binary(operator.le), _COMPARED),
    "greater": Function(_comparable, _binary(operator.gt), _COMPARED),
    "greater_or_equal": Function(_comparable, _binary(operator.ge), _COMPARED),
    "and": Function(_logical, _and, _TRUTHS),
    "or": Function(_logical, _or, _TRUTHS),
    "not": Function(_logical, _unary(operator.not_), _TRUTHS),
    "is_null": Function(
        lambda type_: BOOLEAN, lambda argument: lambda row: argument(row) is None, "it takes any value"
    ),
    "coalesce": Function(_coalesced, _coalesce, "it takes two values of one type"),
}


def _exact(value: Any) -> bool:
    return isinstance(value, decimal.Decimal)

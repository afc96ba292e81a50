"""Expressions over columns: the functions of `expressions`, on Arrow arrays instead of rows. The row road is the rule.

By list: an expression is compiled only where each function in it, on the types it has there, is known to say what the
closure over rows says, null and overflow included. Integers are 64 bits wide; what may not fit raises `Unsure`, also
where the row road would not have looked at the value. Decimals, dates and true division are not on the list.
`tests/unit/processing/test_column_expressions.py` holds both together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.expressions import Call, Choice, Column, Expression, Literal
from headwater.processing.field_types import FieldType
from headwater.processing.named_ids import OfInput
from headwater.schemas.unsure import Unsure

Kernel = Callable[[Mapping[str, Any]], Any]
"""From columns by name to an array as long as they are, or to a scalar."""

ARROW = {"integer": pa.int64(), "string": pa.string(), "boolean": pa.bool_(), "double": pa.float64()}
_EXACT_IN_DOUBLE = 1 << 53  # up to here an integer and a double compare and add alike in Python and in Arrow
_LEAST, _BEYOND = -(1 << 63), 1 << 63


def lane_of(type_: FieldType) -> str:
    """How values of a type lie in columns; "" where nothing is computed with them, "null" where there are none.

    >>> from headwater.processing.field_types import INSTANT
    >>> lane_of(INSTANT), lane_of(FieldType("decimal", precision=9, scale=2))
    ('integer', '')
    """
    kind = "integer" if type_.kind == "instant" else type_.kind
    return kind if kind in ARROW or kind == "null" else ""


def kernel(expression: Expression, fields: Mapping[str, FieldType]) -> Kernel | None:
    """A function from columns of these types to the expression's values; None where it is not on the list.

    What it gives raises `Unsure` where a number does not fit 64 bits.

    >>> from headwater.processing.expressions import col
    >>> from headwater.processing.field_types import INTEGER
    >>> found = kernel(col("a") * 2 + 1, {"a": INTEGER})
    >>> found({"a": pa.array([1, None])}).to_pylist()
    [3, None]
    >>> kernel(col("a") / 2, {"a": INTEGER}) is None
    True
    """
    made = _made(expression, fields, lane_of(expression.type(fields)))
    if made is None:
        return None

    def values(columns: Mapping[str, Any]) -> Any:
        try:
            return made(columns)
        except pa.ArrowInvalid:
            raise Unsure from None

    return values


def _made(expression: Expression, fields: Mapping[str, FieldType], lane: str) -> Kernel | None:
    """`lane` is what the values lie in: it says what a null that stands in the flow is a null of."""
    if lane not in ARROW:
        return None
    if isinstance(expression, Column):
        name = expression.name
        return lambda columns: columns[name]
    if isinstance(expression, Literal):
        return _literal(expression.value, lane)
    if isinstance(expression, Choice):
        return _choice(expression, fields, lane)
    if isinstance(expression, OfInput):
        prefix = f"{expression.product}/"
        return lambda columns: pc.binary_join_element_wise(prefix, columns["event_id"], "")
    return _call(expression, fields) if isinstance(expression, Call) else None


def _literal(value: Any, lane: str) -> Kernel | None:
    if lane == "double" and isinstance(value, int):
        if abs(value) > _EXACT_IN_DOUBLE:
            return None
        value = float(value)
    if lane == "integer" and value is not None and not _LEAST <= value < _BEYOND:
        return None
    scalar = pa.scalar(value, ARROW[lane])
    return lambda columns: scalar


def _choice(choice: Choice, fields: Mapping[str, FieldType], lane: str) -> Kernel | None:
    values = [value for _, value in choice.branches]
    if not all(_lies_in(value, fields, lane) for value in [*values, choice.rest]):
        return None
    rest = _made(choice.rest, fields, lane)
    branches = [
        (_made(condition, fields, "boolean"), _made(value, fields, lane)) for condition, value in choice.branches
    ]
    if rest is None or any(condition is None or value is None for condition, value in branches):
        return None

    def choose(columns: Mapping[str, Any]) -> Any:
        found = rest(columns)
        for condition, value in reversed(branches):
            assert condition is not None
            assert value is not None
            found = pc.if_else(pc.fill_null(condition(columns), False), value(columns), found)
        return found

    return choose


def _call(call: Call, fields: Mapping[str, FieldType]) -> Kernel | None:
    lanes = {lane_of(argument.type(fields)) for argument in call.arguments} - {"null"}
    lane = "double" if lanes == {"double", "integer"} else next(iter(lanes), "")
    function = _FUNCTIONS.get((call.function, lane))
    if function is None or not all(_lies_in(argument, fields, lane) for argument in call.arguments):
        return None
    arguments = [_made(argument, fields, lane) for argument in call.arguments]
    if any(argument is None for argument in arguments):
        return None
    return lambda columns: function(*(argument(columns) for argument in arguments if argument is not None))


def _lies_in(expression: Expression, fields: Mapping[str, FieldType], lane: str) -> bool:
    """Whether values lie in a lane as they are; of integers among doubles only those that the flow says do."""
    own = lane_of(expression.type(fields))
    return own in (lane, "null") or (lane == "double" and own == "integer" and isinstance(expression, Literal))


def _floor(left: Any, right: Any) -> Any:
    quotient, remainder, below = _divided(left, right)
    del remainder
    return pc.subtract_checked(quotient, below)


def _remainder(left: Any, right: Any) -> Any:
    _, remainder, below = _divided(left, right)
    return pc.add(remainder, pc.multiply(below, right))


def _divided(left: Any, right: Any) -> tuple[Any, Any, Any]:
    """Arrow divides towards zero and Python downwards: both are one apart where `below` is 1. By zero it is null."""
    right = pc.if_else(pc.equal(right, 0), pa.scalar(None, pa.int64()), right)
    quotient = pc.divide_checked(left, right)
    remainder = pc.subtract(left, pc.multiply(quotient, right))
    below = pc.and_(pc.not_equal(remainder, 0), pc.xor(pc.less(remainder, 0), pc.less(right, 0)))
    return quotient, remainder, pc.cast(below, pa.int64())


_COMPARED = {
    "equal": pc.equal,
    "unequal": pc.not_equal,
    "less": pc.less,
    "less_or_equal": pc.less_equal,
    "greater": pc.greater,
    "greater_or_equal": pc.greater_equal,
}
_OF_INTEGERS = {
    "add": pc.add_checked,
    "subtract": pc.subtract_checked,
    "multiply": pc.multiply_checked,
    "negate": pc.negate_checked,
    "absolute": pc.abs_checked,
    "divide_whole": _floor,
    "remainder": _remainder,
}
_OF_DOUBLES = {"add": pc.add, "subtract": pc.subtract, "multiply": pc.multiply, "negate": pc.negate, "absolute": pc.abs}
_OF_TRUTHS = {"and": pc.and_kleene, "or": pc.or_kleene, "not": pc.invert}
# What a function is over columns, by its name and what its arguments lie in. What is not here goes row by row.
_FUNCTIONS: Mapping[tuple[str, str], Callable[..., Any]] = {
    **{(name, lane): function for name, function in _COMPARED.items() for lane in ARROW},
    **{(name, "integer"): function for name, function in _OF_INTEGERS.items()},
    **{(name, "double"): function for name, function in _OF_DOUBLES.items()},
    **{(name, "boolean"): function for name, function in _OF_TRUTHS.items()},
    **{("is_null", lane): pc.is_null for lane in ARROW},
    **{("coalesce", lane): pc.coalesce for lane in ARROW},
}

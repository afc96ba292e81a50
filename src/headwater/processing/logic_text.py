"""Expressions as text that says what they compute, whatever they were called on the way.

Each column stands for what it is made of, so that a helper column, its name, and in how many maps a value is computed
leave no trace. Arguments of what does not ask for an order stand in one; what is greater is written as what is less.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from headwater.processing.expressions import Call, Choice, Column, Expression, Literal
from headwater.processing.graph import Filter, Map
from headwater.processing.named_ids import OfInput

LENGTH_LIMIT = 200  # of one text: a longer one is told by a digest, since each column may be read many times
_SIGNS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "divide_whole": "//", "remainder": "%",
    "equal": "==", "unequal": "!=", "less": "<", "less_or_equal": "<=", "and": "&", "or": "|",
}  # fmt: skip
_TURNED = {"greater": "less", "greater_or_equal": "less_or_equal"}
_ANY_ORDER = ("add", "multiply", "equal", "unequal", "and", "or")


class Made(NamedTuple):
    """What a column is: its text, and the kept values that it is made of."""

    text: str
    of: frozenset[str] = frozenset()


Columns = Mapping[str, Made]


class Rows(NamedTuple):
    """What row steps do: which conditions a row meets, and what its columns are then."""

    conditions: tuple[str, ...]
    columns: dict[str, Made]


def rows_text(steps: Iterable[Map | Filter], given: Columns) -> Rows:
    """Row steps on columns; conditions in an order of their own, each once.

    >>> from headwater.processing.expressions import col
    >>> from headwater.processing.graph import Source
    >>> late = Map(Source(0), (("late", col("delay") - 5),), None)
    >>> both = (col("late") > 10) & (col("origin") == "JFK")
    >>> rows_text([late, Filter(late, both)], plain(["delay", "origin"])).conditions
    ('("JFK" == origin)', '(10 < (delay - 5))')
    """
    columns = dict(given)
    conditions: dict[str, None] = {}
    for step in steps:
        if isinstance(step, Filter):
            conditions.update((made(part, columns).text, None) for part in _parts_of_and(step.condition))
            continue
        computed = {name: made(value, columns) for name, value in step.fields if value.reads() <= columns.keys()}
        columns |= computed
    return Rows(tuple(sorted(conditions)), columns)


def plain(names: Iterable[str]) -> dict[str, Made]:
    """Columns that are what they are called."""
    return {name: Made(name) for name in names}


def made(expression: Expression, columns: Columns) -> Made:
    """What an expression computes from columns."""
    if isinstance(expression, Column):
        return columns[expression.name]
    if isinstance(expression, Literal):
        return Made(_literal(expression.value))
    if isinstance(expression, Call):
        return _called(expression, columns)
    if isinstance(expression, Choice):
        parts = [made(part, columns) for branch in expression.branches for part in (*branch,)]
        parts.append(made(expression.rest, columns))
        return joined("when", parts)
    assert isinstance(expression, OfInput), f"{type(expression).__name__} has no text"
    return joined("of_input", [Made(_literal(expression.product)), columns["event_id"]])


def joined(name: str, parts: Iterable[Made]) -> Made:
    """A named function of parts."""
    parts = list(parts)
    return _short(f"{name}({', '.join(part.text for part in parts)})", parts)


def digest(text: str) -> str:
    """Sixteen characters that stand for a text."""
    return f"#{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _called(call: Call, columns: Columns) -> Made:
    function, arguments = call.function, [made(argument, columns) for argument in call.arguments]
    if function in _TURNED:
        function, arguments = _TURNED[function], arguments[::-1]
    if function in _ANY_ORDER:
        arguments.sort(key=lambda argument: argument.text)
    if function in _SIGNS:
        return _short(f"({f' {_SIGNS[function]} '.join(argument.text for argument in arguments)})", arguments)
    return joined(function, arguments)


def _short(text: str, parts: Iterable[Made]) -> Made:
    of: frozenset[str] = frozenset().union(*(part.of for part in parts))
    return Made(text if len(text) <= LENGTH_LIMIT else digest(text), of)


def _parts_of_and(condition: Expression) -> list[Expression]:
    """A row has to meet each of them: one filter with all, or one after another, leave the same rows."""
    if isinstance(condition, Call) and condition.function == "and":
        return [part for argument in condition.arguments for part in _parts_of_and(argument)]
    return [condition]


def _literal(value: Any) -> str:
    # A sign before what no number or text is: a column could be called True.
    return (
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, str)
        else (f"!{value}" if value is None or isinstance(value, bool) else repr(value))
    )

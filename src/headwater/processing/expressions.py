"""Declarative expressions over the fields of a row: typed from the input's schema, compiled once, null as in SQL.

An expression is data: a tree of columns, literals and calls of named functions. It is checked against the fields it is
used on, and compiled to a closure over a row (a tuple). The same tree can later become SQL or a columnar kernel. Where
an operand is null the result is null, save for `is_null`, `coalesce`, `when` and three-valued `&` and `|`.

Above 300 lines because Python's operators, the tree they build and the words that start one are read together.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from headwater.errors import CallerFault
from headwater.processing.field_types import BOOLEAN, DOUBLE, INTEGER, NULL, STRING, FieldType, common
from headwater.processing.functions import FUNCTIONS

Row = tuple[Any, ...]
Getter = Callable[[Row], Any]


class Expression:
    """A value computed from a row. Built by `col`, `lit`, `when` and operators; computes nothing by itself."""

    __slots__ = ()

    def type(self, fields: Mapping[str, FieldType]) -> FieldType:
        """Its type on these fields; raises `CallerFault` HW-P010 (no such field) or HW-P011 (types)."""
        raise NotImplementedError

    def compile(self, getters: Mapping[str, Getter]) -> Getter:
        """A function from a row to the value, given one for each field."""
        raise NotImplementedError

    def reads(self) -> frozenset[str]:
        """The names of the fields it reads."""
        raise NotImplementedError

    def __add__(self, other: object) -> Expression:
        return _call("add", self, other)

    def __radd__(self, other: object) -> Expression:
        return _call("add", other, self)

    def __sub__(self, other: object) -> Expression:
        return _call("subtract", self, other)

    def __rsub__(self, other: object) -> Expression:
        return _call("subtract", other, self)

    def __mul__(self, other: object) -> Expression:
        return _call("multiply", self, other)

    def __rmul__(self, other: object) -> Expression:
        return _call("multiply", other, self)

    def __truediv__(self, other: object) -> Expression:
        return _call("divide", self, other)

    def __floordiv__(self, other: object) -> Expression:
        return _call("divide_whole", self, other)

    def __mod__(self, other: object) -> Expression:
        return _call("remainder", self, other)

    def __neg__(self) -> Expression:
        return _call("negate", self)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return _call("equal", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return _call("unequal", self, other)

    def __lt__(self, other: object) -> Expression:
        return _call("less", self, other)

    def __le__(self, other: object) -> Expression:
        return _call("less_or_equal", self, other)

    def __gt__(self, other: object) -> Expression:
        return _call("greater", self, other)

    def __ge__(self, other: object) -> Expression:
        return _call("greater_or_equal", self, other)

    def __and__(self, other: object) -> Expression:
        return _call("and", self, other)

    def __rand__(self, other: object) -> Expression:
        return _call("and", other, self)

    def __or__(self, other: object) -> Expression:
        return _call("or", self, other)

    def __ror__(self, other: object) -> Expression:
        return _call("or", other, self)

    def __invert__(self) -> Expression:
        return _call("not", self)

    def __bool__(self) -> NoReturn:
        raise CallerFault(
            "an expression is neither true nor false before it meets a row",
            code="HW-P012",
            detail="`and`, `or`, `not`, `in` and `if` ask for its truth while the flow is built",
            hint="write & | ~, .is_in(...), and when(...).then(...).otherwise(...)",
        )

    __hash__ = object.__hash__

    def is_null(self) -> Expression:
        """True where the value is null."""
        return _call("is_null", self)

    def is_not_null(self) -> Expression:
        """True where the value is not null."""
        return ~self.is_null()

    def is_in(self, values: Sequence[object]) -> Expression:
        """True where the value equals one of these."""
        found: Expression = lit(False)
        for value in values:
            found = found | (self == value)
        return found

    def coalesce(self, other: object) -> Expression:
        """The value, or the other where it is null."""
        return _call("coalesce", self, other)

    def absolute(self) -> Expression:
        """The value without its sign."""
        return _call("absolute", self)


@dataclass(frozen=True, slots=True, eq=False)
class Column(Expression):
    """A field of the row."""

    name: str

    def type(self, fields: Mapping[str, FieldType]) -> FieldType:
        """The field's type."""
        if self.name not in fields:
            raise CallerFault(
                f"there is no field '{self.name}' here",
                code="HW-P010",
                detail=f"the fields are {', '.join(sorted(fields))}",
            )
        return fields[self.name]

    def compile(self, getters: Mapping[str, Getter]) -> Getter:
        """The field's own getter."""
        return getters[self.name]

    def reads(self) -> frozenset[str]:
        """The field."""
        return frozenset([self.name])


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Expression):
    """A value written in the flow."""

    value: Any

    def type(self, fields: Mapping[str, FieldType]) -> FieldType:
        """The type of the Python value."""
        value = self.value
        if isinstance(value, decimal.Decimal) and value.is_finite():
            _, digits, exponent = value.as_tuple()
            scale = max(0, -int(exponent))
            return FieldType("decimal", precision=max(len(digits) + max(0, int(exponent)), scale, 1), scale=scale)
        for python, type_ in ((bool, BOOLEAN), (int, INTEGER), (float, DOUBLE), (str, STRING), (type(None), NULL)):
            if isinstance(value, python):
                return type_
        raise CallerFault(
            f"a {value.__class__.__name__} cannot stand in an expression",
            code="HW-P013",
            detail="literals are bool, int, float, finite Decimal, str and None",
        )

    def compile(self, getters: Mapping[str, Getter]) -> Getter:
        """A function that ignores the row."""
        value = self.value
        return lambda row: value

    def reads(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Call(Expression):
    """A named function of other expressions."""

    function: str
    arguments: tuple[Expression, ...]

    def type(self, fields: Mapping[str, FieldType]) -> FieldType:
        """The function's result on the arguments' types."""
        types = [argument.type(fields) for argument in self.arguments]
        result = FUNCTIONS[self.function].infer(*types)
        if result is None:
            raise CallerFault(
                f"'{self.function}' does not work on {' and '.join(type_.text() for type_ in types)}",
                code="HW-P011",
                detail=FUNCTIONS[self.function].rule,
            )
        return result

    def compile(self, getters: Mapping[str, Getter]) -> Getter:
        """The function over the arguments' closures."""
        return FUNCTIONS[self.function].build(*(argument.compile(getters) for argument in self.arguments))

    def reads(self) -> frozenset[str]:
        """What the arguments read."""
        return frozenset().union(*(argument.reads() for argument in self.arguments))


@dataclass(frozen=True, slots=True, eq=False)
class Choice(Expression):
    """The value of the first condition that is true, else the last value."""

    branches: tuple[tuple[Expression, Expression], ...]
    rest: Expression

    def type(self, fields: Mapping[str, FieldType]) -> FieldType:
        """The common type of all values."""
        result = self.rest.type(fields)
        for condition, value in self.branches:
            wider = common(result, value.type(fields)) if condition.type(fields).kind == "boolean" else None
            if wider is None:
                raise CallerFault(
                    "the branches of 'when' do not go together",
                    code="HW-P011",
                    detail="conditions are true or false, and all values have one type",
                )
            result = wider
        return result

    def compile(self, getters: Mapping[str, Getter]) -> Getter:
        """Branch after branch."""
        branches = [(condition.compile(getters), value.compile(getters)) for condition, value in self.branches]
        rest = self.rest.compile(getters)

        def choose(row: Row) -> Any:
            for condition, value in branches:
                if condition(row):
                    return value(row)
            return rest(row)

        return choose

    def reads(self) -> frozenset[str]:
        """What conditions and values read."""
        parts = [part.reads() for branch in self.branches for part in branch]
        return self.rest.reads().union(*parts)


@dataclass(frozen=True, slots=True)
class When:
    """The first half of a choice: `when(condition)` waits for `.then(value)`."""

    branches: tuple[tuple[Expression, Expression], ...]
    condition: Expression

    def then(self, value: object) -> Then:
        """The value where the condition is true."""
        return Then((*self.branches, (self.condition, _expression(value))))


@dataclass(frozen=True, slots=True)
class Then:
    """A choice that can take further conditions and ends with `otherwise`."""

    branches: tuple[tuple[Expression, Expression], ...]

    def when(self, condition: Expression) -> When:
        """A further condition."""
        return When(self.branches, condition)

    def otherwise(self, value: object) -> Expression:
        """The value where no condition is true."""
        return Choice(self.branches, _expression(value))


def col(name: str) -> Expression:
    """A field of the row.

    >>> late = col("delay") > 15
    >>> late.type({"delay": INTEGER}).text(), late.compile({"delay": lambda row: row[0]})((20,))
    ('boolean', True)
    """
    return Column(name)


def lit(value: object) -> Expression:
    """A value as an expression: bool, int, float, Decimal, str or None.

    >>> (lit(2) * 3).compile({})(())
    6
    """
    return Literal(value)


def when(condition: Expression) -> When:
    """A choice between values.

    >>> label = when(col("delay") > 15).then("late").otherwise("in time")
    >>> label.compile({"delay": lambda row: row[0]})((20,))
    'late'
    """
    return When((), condition)


def _call(function: str, *arguments: object) -> Expression:
    return Call(function, tuple(_expression(argument) for argument in arguments))


def _expression(value: object) -> Expression:
    return value if isinstance(value, Expression) else Literal(value)

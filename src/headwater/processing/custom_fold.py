"""A fold of the author's own: pure functions that put a row into a state and take it out again.

The state is fields of declared types: it lies in the cell among the sums, in the same form, and so survives restarts as
they do. What the functions mean is theirs to say, by `version`: a fold of another version begins with another state.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from headwater.errors import CallerFault
from headwater.processing.field_types import FieldType

State = dict[str, Any]
_CLASSES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "instant": (int,),
    "decimal": (Decimal,),
    "double": (float, int),
    "string": (str,),
    "boolean": (bool,),
    "bytes": (bytes,),
    "date": (date,),
    "array": (list,),
    "record": (dict,),
}


@dataclass(frozen=True)
class CustomFold:
    """The functions, the fields of the state with their types and first values, the result's type.

    Functions are not shown: the form of kept state is made of what is, and their addresses say nothing.
    """

    state: tuple[tuple[str, FieldType], ...]
    initial: tuple[Any, ...]
    type: FieldType
    version: int
    add: Callable[..., Mapping[str, Any]] = field(repr=False)
    remove: Callable[..., Mapping[str, Any]] = field(repr=False)
    result: Callable[[State], Any] = field(repr=False)

    def begun(self) -> State:
        """The state before any row."""
        return self.given(self.initial)

    def given(self, values: Sequence[Any]) -> State:
        """A state to hand to a function, which may change it in place."""
        nested = any(type_.kind in ("array", "record") for _, type_ in self.state)
        return dict(zip(self.names, copy.deepcopy(values) if nested else values, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the state."""
        return tuple(name for name, _ in self.state)

    def misfit(self, state: Any) -> str:
        """Why what a function gave is no state; empty if it is one."""
        if not isinstance(state, Mapping) or state.keys() != {*self.names}:
            return f"a state has the fields {', '.join(self.names)}, no more and no less"
        wrong = [f"'{name}' is {type_.text()}" for name, type_ in self.state if not fits(type_, state[name])]
        return f"of the state {', '.join(wrong)}" if wrong else ""


def fits(type_: FieldType, value: Any) -> bool:
    """Whether a value is one of a type.

    >>> fits(FieldType("integer"), 5), fits(FieldType("integer"), 5.0), fits(FieldType("integer"), None)
    (True, False, False)
    """
    if value is None:
        return type_.nullable
    if type_.kind != "boolean" and isinstance(value, bool):
        return False
    classes: Any = _CLASSES.get(type_.kind, ())
    if not isinstance(value, classes):
        return False
    if type_.kind == "decimal":
        exponent = value.as_tuple().exponent
        return isinstance(exponent, int) and -exponent <= type_.scale
    if type_.items is not None:
        return all(fits(type_.items, item) for item in value)
    return all(name in value and fits(member, value[name]) for name, member in type_.members)


def folding(custom: CustomFold, columns: Sequence[int], at: int) -> Callable[[list[Any], tuple[Any, ...], int], None]:
    """A function that puts a row of these columns into the state from position `at` of a cell, or takes it out."""
    names, end = custom.names, at + len(custom.state)

    def update(values: list[Any], row: tuple[Any, ...], sign: int) -> None:
        change = custom.add if sign > 0 else custom.remove
        given = custom.given(values[at:end])
        try:
            state = change(given, *[row[column] for column in columns])
        except Exception as error:
            raise _failed("add" if sign > 0 else "remove", f"it raised {type(error).__name__}") from None
        if problem := custom.misfit(state):
            raise _failed("add" if sign > 0 else "remove", problem)
        values[at:end] = [state[name] for name in names]

    return update


def resulting(custom: CustomFold, at: int) -> Callable[[Sequence[Any]], Any]:
    """A function from a cell to what its state amounts to."""
    end = at + len(custom.state)

    def result(values: Sequence[Any]) -> Any:
        given = custom.given(values[at:end])
        try:
            value = custom.result(given)
        except Exception as error:
            raise _failed("result", f"it raised {type(error).__name__}") from None
        if not fits(custom.type, value):
            raise _failed("result", f"its type is {custom.type.text()}")
        return value

    return result


def _failed(function: str, why: str) -> CallerFault:
    return CallerFault(
        f"the flow's own fold cannot go on: {function} failed on a row",
        code="HW-P127",
        detail=f"{why}; rows that come and go must all be counted, so none is left out",
        hint="mend the function in flow.py, for every value that the schema allows, and start again",
    )

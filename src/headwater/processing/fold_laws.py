"""What a fold of the author's own must keep to, tried on generated rows: nothing else says that remove undoes add.

Rows are made from the types of the fields alone, the same ones each time, edges and nulls among them. A law that is
broken on none of them may still be broken; one that is broken is shown with the rows that break it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from headwater.processing.custom_fold import CustomFold, State, fits
from headwater.processing.field_types import FieldType

ROUNDS = 60
ROWS_LIMIT = 6
_VALUES: dict[str, tuple[Any, ...]] = {
    "integer": (0, 1, -1, 2, 7, -13, 1_000, 2**53 + 1, -(2**63)),
    "instant": (0, 1, 1_357_394_700_000_000, -62_135_596_800_000_000),
    "double": (0.0, 0.1, -0.7, 3.5, 1e16, -1e-9),
    "string": ("", "a", "b", "ab", "é", "JFK"),
    "boolean": (True, False),
    "bytes": (b"", b"\0", b"a\xff"),
    "date": (date(1, 1, 1), date(2013, 1, 5), date(2024, 2, 29)),
}
_UNSCALED = (0, 1, -1, 5, 99, -1_234, 10**8 + 1)


@dataclass(frozen=True)
class Broken:
    """A law that does not hold: its code, what happened, and on which generated rows."""

    code: str
    what: str
    rows: tuple[tuple[Any, ...], ...]


class _Stopped(Exception):
    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code


def broken_law(custom: CustomFold, types: Sequence[FieldType]) -> Broken | None:
    """The first law that a fold over fields of these types breaks; None where all hold on the rows tried.

    >>> long = FieldType("integer")
    >>> def add(state, n):
    ...     return {"n": max(state["n"], n)}
    >>> greatest = CustomFold((("n", long),), (0,), long, 1, add, lambda state, n: state, lambda state: state["n"])
    >>> broken_law(greatest, [long]).what
    'remove does not undo add'
    """
    for round_ in range(ROUNDS):
        chance = random.Random(round_)
        rows = tuple(tuple(value_of(type_, chance) for type_ in types) for _ in range(chance.randint(1, ROWS_LIMIT)))
        try:
            _hold(custom, rows, chance)
        except _Stopped as stopped:
            return Broken(stopped.code, str(stopped), rows)
    return None


def value_of(type_: FieldType, chance: random.Random) -> Any:
    """A value of a type: an edge, a usual one, or null where it may be null."""
    if type_.nullable and chance.random() < 0.25:
        return None
    if type_.kind == "decimal":
        unscaled = chance.choice([value for value in _UNSCALED if len(str(abs(value))) <= type_.precision])
        return Decimal(unscaled).scaleb(-type_.scale)
    if type_.items is not None:
        return [value_of(type_.items, chance) for _ in range(chance.randint(0, 3))]
    if type_.members:
        return {name: value_of(member, chance) for name, member in type_.members}
    return chance.choice(_VALUES[type_.kind])


def can_be_tried(type_: FieldType) -> bool:
    """Whether values of a type can be made."""
    if type_.items is not None:
        return can_be_tried(type_.items)
    if type_.members:
        return all(can_be_tried(member) for _, member in type_.members)
    return type_.kind in (*_VALUES, "decimal")


def _hold(custom: CustomFold, rows: Sequence[tuple[Any, ...]], chance: random.Random) -> None:
    """Rows come in one order, some go in another, and what is left is what the rest alone would have made."""
    full = _folded(custom, custom.begun(), rows)
    if full != _folded(custom, custom.begun(), rows):
        raise _Stopped("HW-P124", "add gives another state for the same rows")
    _result(custom, full)
    shuffled = chance.sample(list(rows), len(rows))
    if _folded(custom, custom.begun(), shuffled) != full:
        raise _Stopped("HW-P124", "add gives another state for the same rows in another order")
    cut = chance.randint(1, len(rows))
    going, staying = shuffled[:cut], shuffled[cut:]
    left = full
    for row in going:
        left = _stepped(custom, "remove", left, row)
    if left != _folded(custom, custom.begun(), staying):
        raise _Stopped("HW-P124", "remove does not undo add")
    if staying and _result(custom, left) != _result(custom, _folded(custom, custom.begun(), staying)):
        raise _Stopped("HW-P124", "result gives two answers for one state")


def _folded(custom: CustomFold, state: State, rows: Sequence[tuple[Any, ...]]) -> State:
    for row in rows:
        state = _stepped(custom, "add", state, row)
    return state


def _stepped(custom: CustomFold, name: str, state: State, row: tuple[Any, ...]) -> State:
    function: Callable[..., Any] = custom.add if name == "add" else custom.remove
    made = _called(name, function, custom.given([state[part] for part in custom.names]), *row)
    if problem := custom.misfit(made):
        raise _Stopped("HW-P126", f"{name} gives what is no state: {problem}")
    return dict(made)


def _result(custom: CustomFold, state: State) -> Any:
    value = _called("result", custom.result, custom.given([state[part] for part in custom.names]))
    if not fits(custom.type, value):
        raise _Stopped("HW-P126", f"result gives a {type(value).__name__}, and its type is {custom.type.text()}")
    return value


def _called(name: str, function: Callable[..., Any], *values: Any) -> Any:
    try:
        return function(*values)
    except Exception as error:
        raise _Stopped("HW-P125", f"{name} raises {type(error).__name__}") from None


def shown(rows: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    """Generated rows as a finding shows them; none is anybody's data."""
    for row in rows:
        yield "(" + ", ".join(repr(value) for value in row) + ")"

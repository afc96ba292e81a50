"""`map` and `filter`: row by row, without state. Steps that follow one another become one function over rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from headwater.processing.expressions import Column, Getter
from headwater.processing.graph import Filter, Map
from headwater.processing.operators.core import Row, RowStep

LEAST, MOST = -(1 << 63), (1 << 63) - 1  # what a field holds; what is computed on the way to it may be beyond


def compile_rows(steps: Sequence[Map | Filter], given: Sequence[str], wanted: Sequence[str]) -> RowStep | None:
    """One function from rows with the columns `given` to rows with `wanted`, None where a row is left out.

    The result itself is None where there is nothing to do. It raises `OverflowError` where a column comes to an
    integer beyond 64 bits.

    >>> from headwater.processing.expressions import col
    >>> from headwater.processing.graph import Source
    >>> steps = [Filter(Source(0), col("a") > 1), Map(Source(0), (("c", col("a") + col("b")),), None)]
    >>> step = compile_rows(steps, ["a", "b"], ["c", "b"])
    >>> step((2, 3)), step((1, 3))
    ((5, 3), None)
    """
    getters: dict[str, Getter] = {name: itemgetter(index) for index, name in enumerate(given)}
    plain = {name: index for index, name in enumerate(given)}
    conditions: list[Getter] = []
    for step in steps:
        if isinstance(step, Filter):
            conditions.append(step.condition.compile(getters))
            continue
        computed = {name: value.compile(getters) for name, value in step.fields if _computable(value.reads(), getters)}
        copies = {name: plain.get(value.name) for name, value in step.fields if isinstance(value, Column)}
        plain = {name: index for name, index in plain.items() if name not in computed}
        plain.update({name: index for name, index in copies.items() if index is not None})
        getters = {**getters, **computed}
    if not conditions and all(name in plain for name in wanted):
        return _picking([plain[name] for name in wanted], len(given))
    computed_ones = [index for index, name in enumerate(wanted) if name not in plain]
    return _computing(conditions, [getters[name] for name in wanted], computed_ones)


def needed(steps: Iterable[Map | Filter], wanted: Iterable[str]) -> tuple[str, ...]:
    """The columns that steps need to make the wanted ones, sorted: what nobody reads is not kept.

    >>> from headwater.processing.expressions import col
    >>> from headwater.processing.graph import Source
    >>> needed([Map(Source(0), (("c", col("a") + 1),), None)], ["c", "b"])
    ('a', 'b')
    """
    names = set(wanted)
    for step in reversed(list(steps)):
        if isinstance(step, Filter):
            names |= step.condition.reads()
        else:
            computed = dict(step.fields)
            read = [value.reads() for name, value in computed.items() if name in names]
            names = (names - computed.keys()).union(*read)
    return tuple(sorted(names))


def carried(names: Iterable[str], step: Map | Filter) -> tuple[str, ...]:
    """Under which name each column's value goes on after a step; "" where it is lost."""
    if isinstance(step, Filter):
        return tuple(names)
    computed = dict(step.fields)
    copies = {value.name: name for name, value in step.fields if isinstance(value, Column)}
    return tuple(_carried(name, step.kept, computed, copies) for name in names)


def _carried(name: str, kept: tuple[str, ...] | None, computed: Mapping[str, Any], copies: Mapping[str, str]) -> str:
    untouched = name not in computed and (kept is None or name in kept)
    return name if untouched else copies.get(name, "")


def _computable(reads: frozenset[str], getters: Mapping[str, Getter]) -> bool:
    # A field that nobody wants may read columns that were not kept for it.
    return reads <= getters.keys()


def _picking(positions: list[int], width: int) -> RowStep | None:
    if positions == list(range(width)):
        return None
    if len(positions) == 1:
        only = positions[0]
        return lambda row: (row[only],)
    return itemgetter(*positions)


def _computing(conditions: list[Getter], columns: list[Getter], computed: list[int]) -> RowStep:
    def step(row: Row) -> Row | None:
        for condition in conditions:
            if not condition(row):
                return None
        made = tuple([column(row) for column in columns])
        for index in computed:
            if made[index].__class__ is int and not LEAST <= made[index] <= MOST:
                raise OverflowError
        return made

    return step

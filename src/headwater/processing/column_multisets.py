"""Measures over columns of which a multiset lies beside the cell: least and greatest, first and last, how many differ.

`multisets` is the rule, with the same entries in the same table. Only of rows that come: an entry is then in once more,
or is new, and no end is ever looked up. Where rows are never taken out nothing lies beside but what counts values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.column_amounts import Amounts, Held, Touched, integers, nothing, of_numbers
from headwater.processing.column_state import closed_text, held_column, joined_column, ordered_integers, packed_rows
from headwater.processing.column_windows import Groups
from headwater.processing.state import Table
from headwater.schemas.unsure import Unsure

_NULL = pa.scalar(None, pa.binary())


class Beside(NamedTuple):
    """Where a multiset lies: the table that cells share for all of theirs, and the first slot of the measure."""

    table: Table
    position: int


class Ends:
    """The least or greatest value of a field; beside the cell lie all of them, if any ever goes (`beside`)."""

    starting = (None,)
    packs = True

    def __init__(self, field: str, type_: Any, beside: Beside | None, *, greatest: bool) -> None:
        self._field, self._type = field, type_
        self._beside, self._greatest = beside, greatest

    def amounts(self, touched: Touched, held: Held) -> Amounts:
        """What it amounts to."""
        ranked = _ranked(_column(touched, self._field, self._type), held[0])
        before, after = ranked.reached(touched.groups, greatest=self._greatest)
        keep = nothing
        if self._beside is not None:
            keep = _moved(self._beside, touched, ranked, _ordered(ranked.values), ranked.values).keep
        differs = before != after
        return Amounts(
            differs,
            differs,
            lambda some, came: _taken(ranked.values, np.where(came, after[some], before[some])),
            lambda some: [_taken(ranked.values, after[some])],
            keep,
        )


class Distinct:
    """How many different values a field has."""

    starting = (0,)
    packs = True

    def __init__(self, field: str, type_: Any, beside: Beside) -> None:
        self._field, self._type = field, type_
        self._beside = beside

    def amounts(self, touched: Touched, held: Held) -> Amounts:
        """What it amounts to."""
        groups = touched.groups
        ranked = _ranked(_column(touched, self._field, self._type), ())
        moved = _moved(self._beside, touched, ranked, _ordered(ranked.values), None)
        change = np.bincount(moved.first[moved.was == 0], minlength=len(groups.sizes))
        after = groups.running(change, integers(held[0]))
        before = after - change
        return of_numbers(before, after, before != after, [after])._replace(keep=moved.keep)


class Edges:
    """A field's value in the first row, or the last, of those that have one, in the order of these columns."""

    starting = (None, None)
    packs = True

    def __init__(
        self, field: str, order: Sequence[str], types: Mapping[str, Any], beside: Beside | None, *, last: bool
    ):
        """The first of `order` is the instant; `types` are those of all these."""
        self._field, self._types, self._order = field, types, order
        self._beside, self._last = beside, last

    def amounts(self, touched: Touched, held: Held) -> Amounts:
        """What it amounts to."""
        values = _column(touched, self._field, self._types[self._field])
        instant, *rest = [_column(touched, name, self._types[name]) for name in self._order]
        places = joined_column([_ordered(instant), *map(_part, rest), _ordered(values)])
        ranked = _ranked(places, held[0])
        by_place = pa.concat_arrays([values, held_column(held[1], values.type)]).take(ranked.at)
        before, after = ranked.reached(touched.groups, greatest=self._last)
        keep = nothing
        if self._beside is not None:
            keep = _moved(self._beside, touched, ranked, ranked.values, by_place).keep
        alike = np.append(by_place.dictionary_encode().indices.to_numpy(), -1)  # of none the last one
        return Amounts(
            alike[before] != alike[after],
            before != after,
            lambda some, came: _taken(by_place, np.where(came, after[some], before[some])),
            lambda some: [_taken(ranked.values, after[some]), _taken(by_place, after[some])],
            keep,
        )


class _Ranked(NamedTuple):
    """Values by rank: that of each row, and of what each cell held at first; below zero for none.

    `at` is where the value of each rank lies among those of the rows and, after them, of the cells.
    """

    of_row: Any
    held: Any
    at: Any
    values: Any

    def reached(self, groups: Groups, *, greatest: bool) -> tuple[Any, Any]:
        """The ranks of the best before each group and after it."""
        top = len(self.values) - 1

        def turned(ranks: Any) -> Any:
            return ranks if greatest else np.where(ranks < 0, -1, top - ranks)

        base = turned(self.held)
        own = np.maximum.reduceat(turned(self.of_row)[groups.order], groups.begins)
        after = groups.reached(np.maximum, own, base)
        return turned(groups.earlier(after, base)), turned(after)


def _ranked(column: Any, held: Sequence[Any]) -> _Ranked:
    both = pa.concat_arrays([column, held_column(held, column.type)])
    if both.type == pa.string():  # the same ones again and again, most often
        coded = both.dictionary_encode()
        codes = np.append(_ranks(coded.dictionary), -1)[coded.indices.fill_null(-1).to_numpy()]
    else:
        codes = _ranks(both)
    some = np.flatnonzero(both.is_valid().to_numpy(zero_copy_only=False))
    ranks = np.full(len(both), -1, np.int64)
    ranks[some] = codes[some]
    at = np.zeros(int(ranks.max(initial=-1)) + 1, np.int64)
    at[ranks[some]] = some
    which = pa.array(at)
    return _Ranked(ranks[: len(column)], ranks[len(column) :], which, both.take(which))


def _ranks(column: Any) -> Any:
    return pc.rank(column, tiebreaker="dense").to_numpy().astype(np.int64) - 1


class _Moved(NamedTuple):
    """Entries that come, each once for a cell: how often each was in, and the group that brings it first."""

    beside: Beside
    keys: list[bytes]
    bodies: list[bytes]
    was: Any
    first: Any

    def keep(self) -> None:
        """Write how often each is in now."""
        self.beside.table.put_packed(self.keys, self.bodies)


def _moved(beside: Beside, touched: Touched, ranked: _Ranked, places: Any, written: Any) -> _Moved:
    """What comes; `places` and `written` are by rank: where an entry lies among others, and what is stored of it."""
    groups, table = touched.groups, beside.table
    of_group = np.repeat(np.arange(len(groups.sizes)), groups.sizes)
    ranks = ranked.of_row[groups.order]
    some = np.flatnonzero(ranks >= 0)
    of_group, ranks = of_group[some], ranks[some]
    size = max(len(ranked.values), 1)
    found, first, comes = np.unique(groups.of_cell[of_group] * size + ranks, return_index=True, return_counts=True)
    cells, which = np.divmod(found, size)
    taken = pa.array(which)
    keys: list[bytes] = joined_column(
        [
            pa.array(touched.places, pa.binary()).take(pa.array(cells)),
            bytes([beside.position]),
            places.take(taken),
        ]
    ).to_pylist()
    was = np.zeros(len(keys), np.int64)
    known = np.flatnonzero(table.has_many(keys)).tolist()
    if known:
        was[known] = [entry[1] for entry in table.get_many([keys[place] for place in known])]
    stored = pa.nulls(len(keys), pa.int64()) if written is None else written.take(taken)
    bodies = packed_rows([stored, pa.array(was + comes)]) if keys else []
    return _Moved(beside, keys, bodies, was, of_group[first])


def _column(touched: Touched, name: str, type_: Any) -> Any:
    """A column of rows that come; raises `Unsure` where some go, or it lies in another type."""
    column = touched.rows.columns[name]
    if touched.rows.weights is not None or column.type != type_:
        raise Unsure
    return column


def _ordered(column: Any) -> Any:
    """Values as bytes whose order is the values', null where they are."""
    if column.type == pa.string():
        return column.cast(pa.binary())
    if column.type == pa.bool_():
        return pc.if_else(column, pa.scalar(b"\1", pa.binary()), pa.scalar(b"\0", pa.binary()))
    made = ordered_integers(column.fill_null(0).to_numpy())
    return pc.if_else(column.is_valid(), made, _NULL) if column.null_count else made


def _part(column: Any) -> Any:
    """Values of a column that rows of one instant are told apart by, null last."""
    ordered = _ordered(column)
    if column.type == pa.string():
        ordered = closed_text(ordered)
    return joined_column([b"\1", ordered]).fill_null(b"\2")


def _taken(values: Any, ranks: Any) -> Any:
    return values.take(pa.array(ranks, mask=ranks < 0))

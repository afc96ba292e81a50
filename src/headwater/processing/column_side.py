"""One side of a pairing as columns: its new rows, those that are kept, and how they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.column_changes import NewRows
from headwater.processing.column_keys import key_column
from headwater.processing.column_near import Places
from headwater.processing.column_state import (
    arrow_type,
    joined_keys,
    ordered_integers,
    packed_rows,
    require_types,
    sized_keys,
)
from headwater.processing.field_types import FieldType
from headwater.processing.lanes import NEVER
from headwater.processing.operators.core import Change
from headwater.processing.operators.join_interval import Side
from headwater.processing.state import Span
from headwater.schemas.unsure import Unsure

Changes = Mapping[int, Sequence[Change]]


class SideRows(NamedTuple):
    """Rows of one side: the tick that each came in, its key and instant, its columns."""

    ticks: Any
    places: Places
    columns: Sequence[Any]

    def and_also(self, more: SideRows) -> SideRows:
        """These, and others behind them."""
        codes, instants = (np.concatenate(pair) for pair in zip(self.places, more.places, strict=True))
        columns = [pa.concat_arrays(pair) for pair in zip(self.columns, more.columns, strict=True)]
        return SideRows(np.concatenate([self.ticks, more.ticks]), Places(codes, instants), columns)


class ColumnSide:
    """One side of a pairing: its rows as columns of these types, and where they are kept."""

    def __init__(
        self, side: Side, columns: Sequence[str], types: Sequence[FieldType], key: Sequence[str], on: Sequence[str]
    ) -> None:
        self.columns, self._types = columns, types
        self._table, self._key, self._on = side.table, key, on
        self._instant = columns.index("occurred_at")

    def meeting(self, new: NewRows) -> NewRows:
        """The new rows that have the other side's key; raises `Unsure` where columns cannot hold them."""
        if not len(new):
            return NewRows(new.ticks, new.keys, self._named([pa.array([], arrow_type(type_)) for type_ in self._types]))
        require_types(new.columns, self.columns, self._types)
        mask = np.ones(len(new), bool)
        for name in self._on:
            mask &= new.columns[name].is_valid().to_numpy(zero_copy_only=False)
        return new if mask.all() else new.filter(mask)

    def rows(self, new: NewRows, codes: Any) -> SideRows:
        """New rows, of keys of these codes."""
        columns = [new.columns[name] for name in self.columns]
        return SideRows(new.ticks, Places(codes, columns[self._instant].to_numpy()), columns)

    def touched(self, changes: Changes, codes: Mapping[bytes, int]) -> Places:
        """Where the rows lie that ticks change, as they were and as they are, of keys that have a code."""
        found = [
            (codes[key], row[self._instant])
            for some in changes.values()
            for key, *rows in some
            for row in rows
            if row is not None and key in codes
        ]
        return Places(*np.array(found, np.int64).reshape(-1, 2).T)

    def kept(self, codes: Any, spans: Sequence[Span]) -> SideRows:
        """The rows that are kept in spans, each of a key of one code."""
        found = list(self._table.scan_many(spans))
        rows = [row for _, _, row in found]
        values = list(zip(*rows, strict=True)) or [()] * len(self._types)
        columns = [pa.array(some, arrow_type(type_)) for some, type_ in zip(values, self._types, strict=True)]
        of_span = codes[np.array([number for number, _, _ in found], np.int64)]
        return SideRows(np.full(len(rows), NEVER), Places(of_span, columns[self._instant].to_numpy()), columns)

    def packed(self, new: NewRows) -> tuple[list[bytes], list[bytes]]:
        """Where these rows are kept, and as what."""
        columns = new.columns
        parts = [sized_keys(new.keys), ordered_integers(columns["occurred_at"].to_numpy())]
        if self._key:
            parts.append(sized_keys(key_column([columns[name] for name in self._key])))
        parts.append(columns["event_id"].cast(pa.binary()))
        return joined_keys(parts), packed_rows([columns[name] for name in self.columns])

    def require_new(self, places: Sequence[bytes]) -> None:
        """Raises `Unsure` where a row is kept already, or comes twice."""
        if len(set(places)) < len(places) or any(self._table.has_many(places)):
            raise Unsure

    def put(self, packed: tuple[list[bytes], list[bytes]]) -> None:
        """Keep rows."""
        self._table.put_packed(*packed)

    def _named(self, columns: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.columns, columns, strict=True))


def coded(news: Sequence[NewRows]) -> tuple[Any, Any, list[Any]]:
    """The keys of these rows, also as tables begin with them and in that order, and the number of each row's key."""
    keys = pa.concat_arrays([new.keys for new in news])
    found = keys.dictionary_encode()
    prefixes = sized_keys(found.dictionary)
    order = pc.sort_indices(prefixes)
    ranks = np.empty(len(order), np.int64)
    ranks[order.to_numpy()] = np.arange(len(order))
    codes = ranks[found.indices.to_numpy()]
    first = len(news[0])
    return found.dictionary.take(order), prefixes.take(order), [codes[:first], codes[first:]]

"""`map` and `filter` over columns: many rows at once, for steps whose expressions are on the list of kernels.

`operators/rows` is the rule. What is made here is what it would make of the same rows, or `Unsure` is raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.column_expressions import ARROW, Kernel, kernel, lane_of
from headwater.processing.expressions import Column, Expression
from headwater.processing.field_types import FieldType
from headwater.processing.graph import Filter, Map
from headwater.processing.operators.rows import needed
from headwater.schemas.unsure import Unsure

Columns = dict[str, Any]


class _Filtering(NamedTuple):
    condition: Kernel


class _Mapping(NamedTuple):
    """Columns that go on under another name, and those that are computed, with the type they lie in."""

    copies: tuple[tuple[str, str], ...]
    computed: tuple[tuple[str, Kernel, Any], ...]


class ColumnSteps:
    """Steps compiled. `column_steps` makes it."""

    def __init__(self, steps: Sequence[_Filtering | _Mapping], wanted: Mapping[str, FieldType]) -> None:
        self._steps = steps
        self._wanted = wanted

    def __call__(self, batch: Any) -> tuple[Any, Any]:
        """A record batch of the wanted columns, and which rows of `batch` are left in it, in their order."""
        columns: Columns = {name: batch.column(name) for name in batch.schema.names}
        kept = np.arange(batch.num_rows)
        for step in self._steps:
            if isinstance(step, _Filtering):
                holds = pc.fill_null(_array(step.condition(columns), pa.bool_(), len(kept)), False)
                columns = {name: column.filter(holds) for name, column in columns.items()}
                kept = kept[holds.to_numpy(zero_copy_only=False)]
                continue
            made = {name: columns[source] for name, source in step.copies}
            for name, values, arrow in step.computed:
                made[name] = _array(values(columns), arrow, len(kept))
            columns.update(made)
        for name, type_ in self._wanted.items():
            if columns[name].null_count and not type_.nullable:
                raise Unsure
        names = list(self._wanted)
        return pa.RecordBatch.from_arrays([columns[name] for name in names], names=names), kept


def column_steps(
    steps: Sequence[Map | Filter], given: Mapping[str, FieldType], wanted: Mapping[str, FieldType]
) -> ColumnSteps | None:
    """Steps over columns of the types `given` to those `wanted`; None where one of them is not on the list.

    >>> from headwater.processing.expressions import col
    >>> from headwater.processing.field_types import INTEGER
    >>> from headwater.processing.graph import Source
    >>> steps = [Filter(Source(0), col("a") > 1), Map(Source(0), (("b", col("a") * 2),), None)]
    >>> batch, kept = column_steps(steps, {"a": INTEGER}, {"b": INTEGER})(pa.RecordBatch.from_pydict({"a": [1, 2]}))
    >>> batch.to_pydict(), kept.tolist()
    ({'b': [4]}, [1])
    """
    fields, compiled = dict(given), list[_Filtering | _Mapping]()
    for place, step in enumerate(steps):
        if isinstance(step, Filter):
            condition = kernel(step.condition, fields)
            if condition is None:
                return None
            compiled.append(_Filtering(condition))
            continue
        read = needed(steps[place + 1 :], wanted)
        values = [(name, value) for name, value in step.fields if name in read]
        mapping = _mapping(values, fields)
        if mapping is None:
            return None
        compiled.append(mapping)
        fields.update({name: value.type(fields) for name, value in values})
    return ColumnSteps(compiled, wanted)


def _mapping(values: Sequence[tuple[str, Expression]], fields: Mapping[str, FieldType]) -> _Mapping | None:
    copies, computed = [], []
    for name, value in values:
        if isinstance(value, Column):
            copies.append((name, value.name))
            continue
        function = kernel(value, fields)
        if function is None:
            return None
        computed.append((name, function, ARROW[lane_of(value.type(fields))]))
    return _Mapping(tuple(copies), tuple(computed))


def _array(values: Any, arrow: Any, size: int) -> Any:
    """An array of one type and length: what nothing but the flow's own words decide is one value for all."""
    if isinstance(values, pa.Scalar):
        values = pa.repeat(values, size)
    if values.type != arrow:
        raise Unsure
    return values

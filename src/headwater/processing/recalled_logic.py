"""What a stage remembers of its inputs, as text: equal where the same records leave the same behind.

Versions, and the rows and facts of joins, follow from the records of one input alone. They need no changelog, as long
as whoever reads those records again makes of them what was made the first time: this text says when that is so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from headwater.processing.compile_inputs import OfInput
from headwater.processing.graph import Aggregate, JoinAsOf, JoinWithin, Latest, Map
from headwater.processing.logic_text import plain, rows_text
from headwater.processing.operators.changes import ChangesSpec
from headwater.processing.operators.join_as_of import FactsSpec, JoinSpec
from headwater.processing.operators.join_interval import IntervalSpec, OthersSpec
from headwater.processing.steps import StageInput

_COMBINING = (Aggregate, JoinAsOf, JoinWithin, Latest)
_JOINS = (JoinSpec, IntervalSpec)


class Recalled(NamedTuple):
    """The topics of which something is kept that follows from their records, and what is made of those, as a digest."""

    text: str = ""
    topics: tuple[str, ...] = ()


def recalled_logic(inputs: Sequence[StageInput], specs: Sequence[Any], steps: Iterable[Any]) -> Recalled:
    """What a stage of these inputs and operations recalls: nothing where that may be made otherwise under the same
    major version. `steps` are those of the whole flow.

    What precedes no fold and no join may be done otherwise from one version to the next: what was kept before then
    is not what would be made of the same records now.
    """
    if not any(isinstance(step, _COMBINING) for step in steps):
        return Recalled()
    joins = bool(specs) and isinstance(specs[0], _JOINS) and rows_recalled(inputs)
    topics = tuple(entry.topic for entry in inputs if _kept(entry.logic, joins))
    texts = [_text(entry) for entry in inputs if entry.topic in topics]
    if not all(texts):
        return Recalled()
    texts += [f"{spec.name}:{spec.on}:{spec.key}" for spec in specs if isinstance(spec, _JOINS)]
    return Recalled(hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16], topics)


def rows_recalled(inputs: Sequence[StageInput]) -> bool:
    """Whether the rows that the first operation is given follow from the records of one input alone."""
    return sum(isinstance(entry.logic, ChangesSpec) for entry in inputs) == 1


def _kept(logic: Any, joins: bool) -> bool:
    if isinstance(logic, ChangesSpec):
        return logic.kept or joins
    return isinstance(logic, FactsSpec | OthersSpec)


def _text(entry: StageInput) -> str:
    """Of one input; empty where it cannot be told."""
    logic = entry.logic.changes if isinstance(entry.logic, OthersSpec) else entry.logic
    if any(isinstance(value, OfInput) for row in logic.rows if isinstance(row, Map) for _, value in row.fields):
        return ""
    rows = rows_text(logic.rows, plain(logic.fields))
    made = [f"{name}={rows.columns[name].text}" for name in logic.gives]
    promises = (logic.kept, logic.accept_late) if isinstance(logic, ChangesSpec) else ()
    return f"{entry.topic}:{rows.conditions}:{made}:{promises}"

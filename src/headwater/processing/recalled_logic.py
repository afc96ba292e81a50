"""What a stage remembers of its inputs, as text: equal where the same records leave the same behind.

Versions, the facts of joins, and the rows that the first operation keeps follow from the records of each input alone:
in a union no row is another input's. They need no changelog, as long as whoever reads those records again makes of
them what was made the first time: this text says when that is so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from headwater.processing.graph import Aggregate, JoinAsOf, JoinWithin, Latest
from headwater.processing.logic_text import plain, rows_text
from headwater.processing.operators.changes import ChangesSpec
from headwater.processing.operators.join_as_of import FactsSpec, JoinSpec
from headwater.processing.operators.join_interval import IntervalSpec, OthersSpec
from headwater.processing.operators.latest import LatestSpec
from headwater.processing.operators.sessions import SessionSpec
from headwater.processing.steps import StageInput

_COMBINING = (Aggregate, JoinAsOf, JoinWithin, Latest)
_JOINS = (JoinSpec, IntervalSpec)
_KEEPS_ROWS = (*_JOINS, LatestSpec, SessionSpec)


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
    rows = rows_recalled(inputs, specs)
    topics = tuple(entry.topic for entry in inputs if _kept(entry.logic, rows))
    texts = [_text(entry) for entry in inputs if entry.topic in topics]
    texts += [f"{spec.name}:{spec.on}:{spec.key}" for spec in specs if isinstance(spec, _JOINS)]
    if rows and not isinstance(specs[0], _JOINS):
        texts.append("rows")  # a state that has them in its changelog is another
    return Recalled(hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16], topics)


def rows_recalled(inputs: Sequence[StageInput], specs: Sequence[Any]) -> bool:
    """Whether the first operation keeps the rows that it is given, and they follow from records of inputs."""
    keeps = bool(specs) and isinstance(specs[0], _KEEPS_ROWS)
    return keeps and any(isinstance(entry.logic, ChangesSpec) for entry in inputs)


def _kept(logic: Any, rows: bool) -> bool:
    if isinstance(logic, ChangesSpec):
        return logic.kept or rows
    return isinstance(logic, FactsSpec | OthersSpec)


def _text(entry: StageInput) -> str:
    """Of one input."""
    logic = entry.logic.changes if isinstance(entry.logic, OthersSpec) else entry.logic
    rows = rows_text(logic.rows, plain(logic.fields))
    made = [f"{name}={rows.columns[name].text}" for name in logic.gives]
    promises = (logic.kept, logic.accept_late) if isinstance(logic, ChangesSpec) else ()
    return f"{entry.topic}:{rows.conditions}:{made}:{promises}"

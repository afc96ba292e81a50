"""How `explode` is compiled."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.processing.graph import Explode, Graph
from headwater.processing.operators.explode import ExplodeSpec
from headwater.processing.step_rules import Given, Made, StepRule
from headwater.processing.validation import relate
from headwater.processing.validation_explode import Taken, taken_of


def _taken(graph: Graph, step: Explode, wanted: Sequence[str]) -> tuple[str, ...]:
    made = {step.position, *(one.name for one in _elements(graph, step))}
    return tuple(sorted({*wanted} - made | {step.field}))


def _made(graph: Graph, step: Explode, given: Given) -> Made:
    elements = _elements(graph, step)
    width = len(given.columns)
    places = {name: index for index, name in enumerate(given.columns)}
    event_id = places.get("event_id")
    places |= {"event_id": width, step.position: width + 1}
    places |= {one.name: width + 2 + index for index, one in enumerate(elements)}
    members = tuple(one.member for one in elements if one.member is not None)
    spec = ExplodeSpec(
        given.columns,
        given.columns.index(step.field),
        event_id,
        None if any(one.member is None for one in elements) else members,
        tuple(places[name] for name in given.gives),
    )
    return Made(spec, f"explode:{spec.columns}:{spec.members}:{spec.gives}")


def _elements(graph: Graph, step: Explode) -> tuple[Taken, ...]:
    return taken_of(graph, step, relate(graph, step.source))


EXPLODE_RULE = StepRule(_taken, None, _made)

"""How `aggregate` is compiled."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.processing.graph import Aggregate, Graph
from headwater.processing.operators.aggregate import FoldSpec
from headwater.processing.step_rules import Given, Made, StepRule
from headwater.processing.validation import relate


def _taken(graph: Graph, step: Aggregate, wanted: Sequence[str]) -> tuple[str, ...]:
    fields = {measure.field for _, measure in step.measures if measure.field is not None}
    return tuple(sorted({*step.by, *fields, relate(graph, step.source).instant}))


def _home(graph: Graph, step: Aggregate) -> tuple[tuple[str, ...], int]:
    return step.by, graph.output.partitions


def _made(graph: Graph, step: Aggregate, given: Given) -> Made:
    spec = FoldSpec(
        given.name,
        given.columns,
        given.types,
        step.by,
        given.relation.instant,
        step.window,
        step.measures,
        given.gives,
    )
    return Made(spec, f"{spec.name}:{spec.columns}:{spec.types}:{step.by}:{step.window}:{step.measures}")


AGGREGATE_RULE = StepRule(_taken, _home, _made)

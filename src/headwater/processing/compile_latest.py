"""How `latest` is compiled."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.processing.graph import FACT_TIMES, Graph, Latest
from headwater.processing.operators.latest import LatestSpec
from headwater.processing.step_rules import Given, Made, StepRule
from headwater.processing.validation import relate


def _taken(graph: Graph, step: Latest, wanted: Sequence[str]) -> tuple[str, ...]:
    before = relate(graph, step.source)
    return tuple(sorted({*wanted, *step.by, *before.key, *before.identity, before.instant} - {*FACT_TIMES}))


def _home(graph: Graph, step: Latest) -> tuple[tuple[str, ...], int]:
    return step.by, graph.output.partitions


def _made(graph: Graph, step: Latest, given: Given) -> Made:
    places = {name: index for index, name in enumerate((*given.columns, *FACT_TIMES))}
    spec = LatestSpec(
        given.name, given.columns, given.types, given.relation.key, tuple(places[name] for name in given.gives)
    )
    # With the newest of each key by itself: state that has it among the others is told from this by its form.
    form = f"newest:{spec.name}:{spec.columns}:{spec.types}:{step.by}:{spec.key}"
    return Made(spec, form, keeps=tuple(zip(given.columns, given.types, strict=True)))


LATEST_RULE = StepRule(_taken, _home, _made)

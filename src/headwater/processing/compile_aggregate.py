"""How `aggregate` is compiled."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.processing.cells import FoldSpec
from headwater.processing.compile_inputs import branches_of
from headwater.processing.graph import Aggregate, Explode, Filter, Graph, Map, Relation, Start, main_line
from headwater.processing.measures import ordered_kind
from headwater.processing.operators.sessions import SessionSpec
from headwater.processing.step_rules import Given, Made, StepRule
from headwater.processing.validation import relate

_ENDS = ("minimum", "maximum", "first", "last")  # of which a multiset lies beside the cell, unless it grows


def _taken(graph: Graph, step: Aggregate, wanted: Sequence[str]) -> tuple[str, ...]:
    before = relate(graph, step.source)
    fields = {name for _, measure in step.measures for name in measure.reads()}
    return tuple(sorted({*step.by, *fields, before.instant, *_order(step, before)}))


def _order(step: Aggregate, before: Relation) -> tuple[str, ...]:
    """What rows of one instant are told apart by, where it counts: the identity, then what is left of the key."""
    if not any(measure.function in ("first", "last") for _, measure in step.measures):
        return ()
    names = (*before.identity, *before.key)
    return tuple(name for name in names if name not in ("", before.instant) and ordered_kind(before.fields[name]))


def _home(graph: Graph, step: Aggregate) -> tuple[tuple[str, ...], int]:
    return step.by, graph.output.partitions


def _grows(graph: Graph, step: Aggregate) -> bool:
    """Whether no row that the step takes is ever taken out again, and it has measures to which that matters."""
    if not any(measure.function in _ENDS for _, measure in step.measures):
        return False
    rows = all(isinstance(before, Start | Map | Filter | Explode) for before in main_line(step.source))
    return rows and not any(branch.port.corrections for branch in branches_of(graph))


def _made(graph: Graph, step: Aggregate, given: Given) -> Made:
    gap = step.window.gap
    grows = not gap and _grows(graph, step)  # where sessions merge, rows go from one cell to another
    spec = FoldSpec(
        given.name,
        given.columns,
        given.types,
        step.by,
        given.relation.instant,
        step.window,
        step.measures,
        given.gives,
        _order(step, given.relation),
        grows,
    )
    form = f"{spec.name}:{spec.columns}:{spec.types}:{step.by}:{step.window}:{step.measures}:{spec.order}"
    if gap:
        # The rows are kept beside the cells, as they are.
        return Made(SessionSpec(spec), f"{form}:gap {gap}", keeps=tuple(zip(given.columns, given.types, strict=True)))
    return Made(spec, f"{form}:grows" if grows else form)


AGGREGATE_RULE = StepRule(_taken, _home, _made)

"""How `join_within` is compiled: beside the rows its stage reads the events that they are paired with."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.processing.graph import HIDDEN, Filter, Graph, JoinWithin, Map, Port, Source, main_line, step_name
from headwater.processing.operators.changes import ChangesSpec
from headwater.processing.operators.join_interval import IntervalSpec, OthersSpec
from headwater.processing.operators.rows import compile_rows, needed
from headwater.processing.step_rules import Given, Made, StepRule, times_of, types_of
from headwater.processing.steps import StageInput
from headwater.processing.validation import relate


def _taken(graph: Graph, step: JoinWithin, wanted: Sequence[str]) -> tuple[str, ...]:
    before = relate(graph, step.source)
    left = {*wanted, *(name for name, _ in step.on), *before.key, *before.times}
    return tuple(sorted(left - {name for name, _ in step.take}))


def _home(graph: Graph, step: JoinWithin) -> tuple[tuple[str, ...], int]:
    left_of = {right_name: left_name for left_name, right_name in step.on}
    return tuple(left_of[name] for name in relate(graph, step.right).key), _right(graph, step).partitions


def _made(graph: Graph, step: JoinWithin, given: Given) -> Made:
    entry = _others(graph, step)
    right: OthersSpec = entry.logic
    places = {name: index for index, name in enumerate(given.columns)}
    width = len(given.columns)
    taken = {right_name: width + index for index, right_name in enumerate(right.columns)}
    places |= {name: taken[right_name] for name, right_name in step.take}
    places["event_id"] = width + len(right.columns)
    spec = IntervalSpec(
        given.name,
        given.columns,
        given.types,
        given.relation.key,
        _home(graph, step)[0],
        step.distance,
        right,
        tuple(places[name] for name in given.gives),
    )
    form = f"within:{spec.name}:{spec.columns}:{spec.types}:{spec.key}:{spec.on}:{right.columns}:{right.types}"
    left = zip(given.columns, given.types, strict=True)
    return Made(spec, form, (entry,), (*left, *zip(right.columns, right.types, strict=True)))


def _others(graph: Graph, step: JoinWithin) -> StageInput:
    port, relation = _right(graph, step), relate(graph, step.right)
    rows = tuple(node for node in main_line(step.right) if isinstance(node, Map | Filter))
    columns = tuple(sorted({*(name for _, name in step.take), *relation.times}))
    fields = needed(rows, columns)
    changes = ChangesSpec(
        f"{step_name(graph, step)}.versions",
        "event",
        fields,
        compile_rows(rows, fields, columns),
        types_of(relation, columns),
        port.corrections,
        graph.output.accept_late,
        rows,
        tuple(port.fields[name] for name in fields),
        columns,
    )
    read = tuple(sorted({*fields, *HIDDEN, *times_of(port)}))
    others = OthersSpec(changes, columns, changes.types)
    return StageInput(port.topic, "facts", 1, read, port.product, port.major, others)


def _right(graph: Graph, step: JoinWithin) -> Port:
    source = main_line(step.right)[0]
    assert isinstance(source, Source)
    return graph.inputs[source.index]


WITHIN_RULE = StepRule(_taken, _home, _made)

"""How `join_as_of` is compiled: beside the rows its stage reads the facts that they are joined to."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.processing.graph import HIDDEN, Filter, Graph, JoinAsOf, Map, Port, Source, main_line, step_name
from headwater.processing.operators.join_as_of import FactsSpec, JoinSpec
from headwater.processing.operators.rows import compile_rows, needed
from headwater.processing.step_rules import Given, Made, StepRule, times_of, types_of
from headwater.processing.steps import StageInput
from headwater.processing.validation import relate


def _taken(graph: Graph, step: JoinAsOf, wanted: Sequence[str]) -> tuple[str, ...]:
    before = relate(graph, step.source)
    joined = {name for name, _ in step.take}
    left = {*wanted, *(name for name, _ in step.on), *before.key, *before.identity, before.instant}
    return tuple(sorted(left - joined))


def _home(graph: Graph, step: JoinAsOf) -> tuple[tuple[str, ...], int]:
    left_of = {right_name: left_name for left_name, right_name in step.on}
    return tuple(left_of[name] for name in relate(graph, step.right).key), _right(graph, step).partitions


def _made(graph: Graph, step: JoinAsOf, given: Given) -> Made:
    entry = _facts(graph, step)
    positions = {name: index for index, name in enumerate(given.columns)}
    positions |= {name: len(given.columns) + index for index, (name, _) in enumerate(step.take)}
    spec = JoinSpec(
        given.name,
        given.relation.shape,
        given.columns,
        given.types,
        given.relation.key,
        given.relation.instant,
        _home(graph, step)[0],
        entry.logic,
        tuple(positions[name] for name in given.gives),
        given.gives,
    )
    form = f"{spec.name}:{spec.columns}:{spec.types}:{spec.right.fields}:{spec.right.types}"
    left = zip(given.columns, given.types, strict=True)
    taken = zip((name for name, _ in step.take), spec.right.types, strict=True)
    return Made(spec, form, (entry,), (*left, *taken))


def _facts(graph: Graph, step: JoinAsOf) -> StageInput:
    port, right = _right(graph, step), relate(graph, step.right)
    rows = tuple(node for node in main_line(step.right) if isinstance(node, Map | Filter))
    taken = tuple(name for _, name in step.take)
    fields = needed(rows, taken)
    name = f"{step_name(graph, step)}.facts"
    facts = FactsSpec(name, fields, compile_rows(rows, fields, taken), types_of(right, taken), rows, taken)
    read = tuple(sorted({*fields, *HIDDEN, *times_of(port)}))
    return StageInput(port.topic, "facts", 1, read, port.product, port.major, facts)


def _right(graph: Graph, step: JoinAsOf) -> Port:
    source = main_line(step.right)[0]
    assert isinstance(source, Source)
    return graph.inputs[source.index]


JOIN_RULE = StepRule(_taken, _home, _made)

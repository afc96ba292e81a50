"""The rules of inputs, `map` and `filter`: which rows each gives, or why it cannot be."""

from __future__ import annotations

from dataclasses import replace

from headwater.errors import CallerFault
from headwater.processing.expressions import Expression
from headwater.processing.field_types import FieldType
from headwater.processing.graph import HIDDEN, Filter, Graph, Map, Relation, Source
from headwater.processing.operators.rows import carried
from headwater.processing.refusals import fields_of, wrong


def source_rule(graph: Graph, node: Source) -> Relation:
    """The rows of an input, as its schema and contract say."""
    port = graph.inputs[node.index]
    fields = port.columns()
    lines = {name: frozenset([(str(port.product), name)]) for name in fields}
    return Relation(fields, port.key, port.shape, port.grid, lines, port.corrections, moving=port.moving)


def filter_rule(graph: Graph, node: Filter, before: Relation) -> Relation:
    """Rows of one shape in, the same out; the condition is true or false."""
    if _typed(graph, node.line, node.condition, before).kind != "boolean":
        raise wrong(graph, node.line, "HW-P071", "a filter's condition is not true or false", "compare two values")
    return before


def map_rule(graph: Graph, node: Map, before: Relation) -> Relation:
    """Fields computed or chosen; identity, times and what the platform writes stay."""
    for name in (*dict(node.fields), *(node.kept or ())):
        if name in HIDDEN or (name in before.times and name in dict(node.fields)):
            raise wrong(graph, node.line, "HW-P072", f"'{name}' is the platform's", "take another name")
        if name in (node.kept or ()) and name not in before.fields:
            raise wrong(graph, node.line, "HW-P010", f"there is no field '{name}' here", fields_of(before))
    computed = {name: _typed(graph, node.line, value, before) for name, value in node.fields}
    kept = {*before.fields} if node.kept is None else {*node.kept, *before.times}
    made = {name: frozenset().union(*(before.lineage[field] for field in value.reads())) for name, value in node.fields}
    return replace(
        before,
        fields={**{name: type_ for name, type_ in before.fields.items() if name in kept}, **computed},
        lineage={**{name: lines for name, lines in before.lineage.items() if name in kept}, **made},
        key=carried(before.key, node),
    )


def _typed(graph: Graph, line: int, expression: Expression, before: Relation) -> FieldType:
    try:
        return expression.type(before.fields)
    except CallerFault as fault:
        raise wrong(graph, line, fault.code, fault.message, fault.detail) from None

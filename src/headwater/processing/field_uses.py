"""Which fields of its inputs a flow reads, and what for: from its steps alone, nobody has to write it down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from headwater.lineage.fields import Edge, Use, field, product
from headwater.naming import ProductName
from headwater.processing.compiler import compile_plan
from headwater.processing.graph import (
    HIDDEN,
    Aggregate,
    Explode,
    Field,
    Filter,
    Graph,
    JoinAsOf,
    JoinWithin,
    Latest,
    Node,
    Relation,
    Source,
    Union,
)
from headwater.processing.steps import Plan
from headwater.processing.validation import lineage, relate


def fields_read(graph: Graph, *, tick: int) -> Mapping[ProductName, frozenset[str]]:
    """The fields that a valid flow reads of each input, those of valid time and identity among them."""
    return read_by(graph, compile_plan(graph, tick=tick))


def read_by(graph: Graph, plan: Plan) -> Mapping[ProductName, frozenset[str]]:
    """The same, of a flow with its plan."""
    read: dict[ProductName, frozenset[str]] = {port.product: frozenset() for port in graph.inputs}
    for stage in plan.stages:
        for entry in stage.inputs:
            if entry.product is not None:
                read[entry.product] |= frozenset(entry.fields) - frozenset(HIDDEN)
    return read


def field_uses(graph: Graph) -> list[Edge]:
    """The edges from the inputs' fields to those of each output, and to the output whose rows they decide on."""
    return sorted({edge for one in graph.outputs for edge in _uses(one)})


def _uses(graph: Graph) -> list[Edge]:
    target = str(graph.output.product)
    edges = [
        Edge(field(*source), field(target, name), "value")
        for name, sources in lineage(graph).items()
        if name not in HIDDEN
        for source in sources
    ]
    for (source_product, source_field), use in _deciding(graph, graph.root):
        edges.append(Edge(field(source_product, source_field), product(target), use))
    return edges


def _deciding(graph: Graph, node: Node) -> Iterator[tuple[Field, Use]]:
    if isinstance(node, Source):
        return
    if isinstance(node, Union):
        for branch in node.sources:
            yield from _deciding(graph, branch)
        return
    before = relate(graph, node.source)
    if isinstance(node, Filter):
        yield from _of(before, node.condition.reads(), "filter")
    elif isinstance(node, Explode):
        yield from _of(before, [node.field], "filter")
    elif isinstance(node, Aggregate | Latest):
        yield from _of(before, node.by, "group")
        yield from _of(before, [before.instant], "time")
    elif isinstance(node, JoinAsOf | JoinWithin):
        right = relate(graph, node.right)
        yield from _of(before, [left for left, _ in node.on], "join")
        yield from _of(before, [before.instant], "time")
        yield from _of(right, [name for _, name in node.on], "join")
        yield from _of(right, right.times, "time")
        yield from _deciding(graph, node.right)
    yield from _deciding(graph, node.source)


def _of(relation: Relation, names: Iterable[str], use: Use) -> Iterator[tuple[Field, Use]]:
    for name in names:
        for source in relation.lineage.get(name, ()):
            yield source, use

"""What is wrong with a flow before it runs: every step against the fields it gets, the result against its schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from headwater.errors import Finding
from headwater.processing.branching import parting_findings
from headwater.processing.field_types import misfit
from headwater.processing.fold_admission import fold_findings
from headwater.processing.graph import (
    Aggregate,
    Explode,
    Field,
    Filter,
    Graph,
    JoinAsOf,
    JoinWithin,
    Latest,
    Map,
    Node,
    Port,
    Relation,
    Source,
    Stateful,
    Union,
    before_of,
    main_line,
    stateful,
    step_name,
)
from headwater.processing.refusals import Wrong, fields_of, finding
from headwater.processing.validation_aggregate import aggregate_rule
from headwater.processing.validation_explode import explode_rule
from headwater.processing.validation_interval import within_rule
from headwater.processing.validation_join import join_rule
from headwater.processing.validation_latest import check_pieces, latest_rule
from headwater.processing.validation_rows import filter_rule, map_rule, source_rule
from headwater.processing.validation_union import union_rule

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_RESERVED = ("changes", "publish", "map", "current", "progress", "quarantine")

# A step's rule: from the flow, the step and the rows of each step before it, to the rows that it gives.
_RULES: Mapping[type, Callable[..., Relation]] = {
    Source: source_rule,
    Union: union_rule,
    Map: map_rule,
    Filter: filter_rule,
    Explode: explode_rule,
    Latest: latest_rule,
    Aggregate: aggregate_rule,
    JoinAsOf: join_rule,
    JoinWithin: within_rule,
}


def validate(graph: Graph) -> list[Finding]:
    """All findings of a flow; empty where it can run.

    Within a line of steps the first that is wrong hides those after it, since nobody knows what they would be given.
    """
    try:
        relations = [relate(one, one.root) for one in graph.outputs]
    except Wrong as wrong:
        return [wrong.finding]
    if apart := list(parting_findings(graph)):
        return apart
    return [
        *_name_findings(graph),
        *(found for one, given in zip(graph.outputs, relations, strict=True) for found in _output_findings(one, given)),
        *fold_findings(graph, graph.root, relate),
    ]


def relate(graph: Graph, node: Node) -> Relation:
    """The rows that a step gives; raises where the flow is not valid (`validate` says it as findings)."""
    inputs = [relate(graph, before) for before in before_of(node)]
    check_pieces(graph, node, *inputs)
    return _RULES[type(node)](graph, node, *inputs)


def lineage(graph: Graph) -> Mapping[str, frozenset[Field]]:
    """Of which fields of which inputs each field of the output is made; of several outputs, of the first.

    A field that was joined is also made of the fields that it was joined on. Filters are not among them.
    """
    made = relate(graph, graph.root).lineage
    return {name: made[name] for name in graph.output.fields if name in made}


def _name_findings(graph: Graph) -> Iterator[Finding]:
    seen: set[str] = set()
    for node in main_line(graph.root):
        if isinstance(node, Stateful):
            name = step_name(graph, node)
            why = "the state and the topics of a step are named by it"
            if not _NAME.match(name) or "__" in name or name in _RESERVED:
                yield finding(
                    graph, node.line, "HW-P069", f"'{name}' cannot name a step", why, "small letters, digits, _"
                )
            elif name in seen:
                yield finding(
                    graph, node.line, "HW-P070", f"two steps are named '{name}'", why, 'give one a name="..."'
                )
            seen.add(name)


def _output_findings(graph: Graph, given: Relation) -> Iterator[Finding]:
    output, line = graph.output, getattr(graph.root, "line", 0)
    if given.shape != output.shape:
        yield finding(graph, line, "HW-P050", f"the flow gives {given.shape}s, and the schema holds {output.shape}s")
        return
    if output.grid and given.shape == "fact" and not given.grid:
        message = "a product of type aggregate holds facts of windows, and these may overlap"
        why = "flows that read it would fold the overlap twice"
        yield finding(graph, line, "HW-P116", message, why, "type: consumer-aligned")
    for name, wanted in output.columns().items():
        if name not in given.fields:
            yield finding(
                graph, line, "HW-P051", f"the flow gives no field '{name}'", fields_of(given), "compute it in a map"
            )
        elif problem := misfit(given.fields[name], wanted):
            yield finding(graph, line, "HW-P052", f"the field '{name}' {problem}", "", "change the flow or the schema")
    if given.key != output.key:
        held = ", ".join(name or "(lost)" for name in given.key)
        yield finding(
            graph,
            line,
            "HW-P053",
            f"the contract's key is {', '.join(output.key)}, and the flow's rows are kept by {held}",
            "a product has one writer for each key: the grouping of its last aggregate, in order, or its input's key",
        )
    source = main_line(graph.root)[0]
    if isinstance(source, Source):
        yield from _passing_findings(graph, graph.inputs[source.index], line)


def _passing_findings(graph: Graph, source: Port, line: int) -> Iterator[Finding]:
    if not stateful(graph.root) and source.partitions != graph.output.partitions:
        yield finding(
            graph,
            line,
            "HW-P054",
            f"the output has {graph.output.partitions} partitions, and {source.product} has {source.partitions}",
            "what only maps and filters stays in its partition",
            f"partitions: {source.partitions}",
        )

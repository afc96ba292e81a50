"""What is wrong with a flow before it runs: every step against the fields it gets, the result against its schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from headwater.errors import CallerFault, Finding
from headwater.processing.expressions import Expression
from headwater.processing.field_types import FieldType, misfit
from headwater.processing.graph import (
    FACT_TIMES,
    HIDDEN,
    Aggregate,
    Field,
    Filter,
    Graph,
    JoinAsOf,
    Map,
    Node,
    Port,
    Relation,
    Source,
    main_line,
    step_name,
)
from headwater.processing.measures import measure_type
from headwater.processing.operators.rows import carried

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_RESERVED = ("changes", "publish", "map", "current", "progress", "quarantine")


class _Wrong(Exception):
    """A step cannot be typed, and so nothing after it can."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def validate(graph: Graph) -> list[Finding]:
    """All findings of a flow; empty where it can run.

    Within a line of steps the first that is wrong hides those after it, since nobody knows what they would be given.
    """
    try:
        relation = relate(graph, graph.root)
    except _Wrong as wrong:
        return [wrong.finding]
    return [*_name_findings(graph), *_output_findings(graph, relation)]


def relate(graph: Graph, node: Node) -> Relation:
    """The rows that a step gives; raises where the flow is not valid (`validate` says it as findings)."""
    if isinstance(node, Source):
        return _source(graph, node)
    before = relate(graph, node.source)
    if isinstance(node, Filter):
        if _typed(graph, node.line, node.condition, before).kind != "boolean":
            raise _wrong(graph, node.line, "HW-P071", "a filter's condition is not true or false", "compare two values")
        return before
    if isinstance(node, Map):
        return _map(graph, node, before)
    return _aggregate(graph, node, before) if isinstance(node, Aggregate) else _join(graph, node, before)


def lineage(graph: Graph) -> Mapping[str, frozenset[Field]]:
    """Of which fields of which inputs each field of the output is made.

    A field that was joined is also made of the fields that it was joined on. Filters are not among them.
    """
    made = relate(graph, graph.root).lineage
    return {name: made[name] for name in graph.output.fields if name in made}


def _source(graph: Graph, node: Source) -> Relation:
    port = graph.inputs[node.index]
    fields = port.columns()
    lines = {name: frozenset([(str(port.product), name)]) for name in fields}
    return Relation(fields, port.key, port.shape, port.grid, lines, port.corrections)


def _map(graph: Graph, node: Map, before: Relation) -> Relation:
    for name in (*dict(node.fields), *(node.kept or ())):
        if name in HIDDEN or (name in before.times and name in dict(node.fields)):
            raise _wrong(graph, node.line, "HW-P072", f"'{name}' is the platform's", "take another name")
        if name in (node.kept or ()) and name not in before.fields:
            raise _wrong(graph, node.line, "HW-P010", f"there is no field '{name}' here", _fields(before))
    computed = {name: _typed(graph, node.line, value, before) for name, value in node.fields}
    kept = {*before.fields} if node.kept is None else {*node.kept, *before.times}
    made = {name: frozenset().union(*(before.lineage[field] for field in value.reads())) for name, value in node.fields}
    return replace(
        before,
        fields={**{name: type_ for name, type_ in before.fields.items() if name in kept}, **computed},
        lineage={**{name: lines for name, lines in before.lineage.items() if name in kept}, **made},
        key=carried(before.key, node),
    )


def _aggregate(graph: Graph, node: Aggregate, before: Relation) -> Relation:
    if before.shape == "fact" and not before.grid:
        raise _wrong(
            graph,
            node.line,
            "HW-P073",
            "these facts may overlap, and a fold would count the overlap twice",
            "aggregate events, or facts whose intervals are windows",
        )
    fields: dict[str, FieldType] = {}
    for name in node.by:
        if name not in before.fields:
            raise _wrong(graph, node.line, "HW-P010", f"there is no field '{name}' here", _fields(before))
        if before.fields[name].kind not in ("string", "integer", "boolean"):
            kind = before.fields[name].text()
            raise _wrong(graph, node.line, "HW-P074", f"'{name}' is {kind}, and no key", "group by text or integers")
        fields[name] = before.fields[name]
    made = {name: before.lineage[name] for name in node.by}
    when = before.lineage[before.instant]
    for name, measure in node.measures:
        if name in fields or name in FACT_TIMES or name in HIDDEN:
            raise _wrong(graph, node.line, "HW-P072", f"'{name}' is taken", "give the measure another name")
        if measure.field is not None and measure.field not in before.fields:
            raise _wrong(graph, node.line, "HW-P010", f"there is no field '{measure.field}' here", _fields(before))
        field = None if measure.field is None else before.fields[measure.field]
        type_ = measure_type(measure.function, field)
        if type_ is None:
            given = "nothing" if field is None else field.text()
            message = f"{measure.function} of '{measure.field}' ({given}) cannot be taken back exactly"
            raise _wrong(graph, node.line, "HW-P075", message, "sum integers or decimals, never floats")
        fields[name] = type_
        made[name] = before.lineage[measure.field] if measure.field is not None else when
    instant = before.fields[before.instant]
    fields |= {"valid_from": instant, "valid_to": instant.or_null(node.window.text() == "whole")}
    made |= {"valid_from": when, "valid_to": when}
    return Relation(fields, node.by, "fact", True, made)


def _join(graph: Graph, node: JoinAsOf, before: Relation) -> Relation:
    right, line = relate(graph, node.right), node.line
    if not isinstance(main_line(node.right)[0], Source) or _stateful(node.right):
        raise _wrong(
            graph, line, "HW-P076", "the right of a join is an input, mapped or filtered", "join the input itself"
        )
    if right.shape != "fact":
        raise _wrong(graph, line, "HW-P076", "the right of a join holds facts", "join facts: they hold over intervals")
    if "" in before.key:
        raise _wrong(graph, line, "HW-P077", "a row to join has lost a field of its key", "keep the key's fields")
    on = dict(node.on)
    if sorted(on.values()) != sorted(right.key):
        key = ", ".join(right.key) or "(lost)"
        raise _wrong(graph, line, "HW-P078", "a join is on the right's whole key and nothing else", f"its key is {key}")
    fields, made = dict(before.fields), dict(before.lineage)
    for left_name, right_name in node.on:
        if left_name not in before.fields:
            raise _wrong(graph, line, "HW-P010", f"there is no field '{left_name}' here", _fields(before))
        if before.fields[left_name].kind != right.fields[right_name].kind:
            pair = (
                f"'{left_name}' is {before.fields[left_name].text()}, '{right_name}' {right.fields[right_name].text()}"
            )
            raise _wrong(graph, line, "HW-P079", pair, "join fields of one type")
    joined_by = frozenset().union(
        *(before.lineage[name] for name in on), *(right.lineage[name] for name in on.values())
    )
    for name, right_name in node.take:
        if name in fields or name in HIDDEN:
            raise _wrong(graph, line, "HW-P072", f"'{name}' is taken", "give the field that is joined another name")
        if right_name not in right.fields:
            raise _wrong(graph, line, "HW-P010", f"the right has no field '{right_name}'", _fields(right))
        fields[name] = right.fields[right_name].or_null()
        made[name] = right.lineage[right_name] | joined_by
    return replace(before, fields=fields, lineage=made)


def _name_findings(graph: Graph) -> Iterator[Finding]:
    seen: set[str] = set()
    for node in main_line(graph.root):
        if isinstance(node, Aggregate | JoinAsOf):
            name = step_name(graph, node)
            why = "the state and the topics of a step are named by it"
            if not _NAME.match(name) or "__" in name or name in _RESERVED:
                yield _finding(
                    graph, node.line, "HW-P069", f"'{name}' cannot name a step", why, "small letters, digits, _"
                )
            elif name in seen:
                yield _finding(
                    graph, node.line, "HW-P070", f"two steps are named '{name}'", why, 'give one a name="..."'
                )
            seen.add(name)


def _stateful(node: Node) -> bool:
    return any(isinstance(step, Aggregate | JoinAsOf) for step in main_line(node))


def _output_findings(graph: Graph, given: Relation) -> Iterator[Finding]:
    output, line = graph.output, getattr(graph.root, "line", 0)
    if given.shape != output.shape:
        yield _finding(graph, line, "HW-P050", f"the flow gives {given.shape}s, and the schema holds {output.shape}s")
        return
    for name, wanted in output.columns().items():
        if name not in given.fields:
            yield _finding(
                graph, line, "HW-P051", f"the flow gives no field '{name}'", _fields(given), "compute it in a map"
            )
        elif problem := misfit(given.fields[name], wanted):
            yield _finding(graph, line, "HW-P052", f"the field '{name}' {problem}", "", "change the flow or the schema")
    if given.key != output.key:
        held = ", ".join(name or "(lost)" for name in given.key)
        yield _finding(
            graph,
            line,
            "HW-P053",
            f"the contract's key is {', '.join(output.key)}, and the flow's rows are kept by {held}",
            "a product has one writer for each key: the grouping of its last aggregate, in order, or its input's key",
        )
    source = main_line(graph.root)[0]
    assert isinstance(source, Source)
    yield from _passing_findings(graph, graph.inputs[source.index], line)


def _passing_findings(graph: Graph, source: Port, line: int) -> Iterator[Finding]:
    if not _stateful(graph.root) and source.partitions != graph.output.partitions:
        yield _finding(
            graph,
            line,
            "HW-P054",
            f"the output has {graph.output.partitions} partitions, and {source.product} has {source.partitions}",
            "what only maps and filters stays in its partition",
            f"partitions: {source.partitions}",
        )


def _typed(graph: Graph, line: int, expression: Expression, before: Relation) -> FieldType:
    try:
        return expression.type(before.fields)
    except CallerFault as fault:
        raise _wrong(graph, line, fault.code, fault.message, fault.detail) from None


def _fields(relation: Relation) -> str:
    return f"the fields are {', '.join(sorted(relation.fields))}"


def _wrong(graph: Graph, line: int, code: str, message: str, why: str) -> _Wrong:
    return _Wrong(_finding(graph, line, code, message, why))


def _finding(graph: Graph, line: int, code: str, message: str, why: str = "", fix: str = "") -> Finding:
    return Finding(code, "error", graph.file, line, 1 if line else 0, "", message, why, fix)

"""The `flink` runner's compiler: a declarative flow to Flink SQL whose records are those of the other runners.

What Flink SQL cannot be made to say exactly is refused with its place, never approximated
([decision 31](../../../../docs/decisions/0031-flink-says-the-same-or-nothing.md)).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.errors import Finding, InvalidFiles
from headwater.processing.compile_inputs import branches_of
from headwater.processing.graph import (
    Aggregate,
    Explode,
    Graph,
    JoinAsOf,
    JoinWithin,
    Latest,
    Port,
    main_line,
    stateful,
)
from headwater.processing.infer import avro_of
from headwater.processing.refusals import finding
from headwater.processing.runners import flink_fold, flink_publish
from headwater.processing.runners.flink_expressions import Inexpressible
from headwater.processing.runners.flink_rows import fields_read, read
from headwater.processing.runners.flink_tables import Where, sink_table
from headwater.processing.runners.flink_text import TYPES, name, text
from headwater.processing.stretches import stretches
from headwater.processing.validation import relate, validate

CLASSES = "org.headwater.flink"
FUNCTIONS: Mapping[str, str] = {
    "hw_frame": "Frame",
    "hw_key": "Key",
    "hw_partition": "Partition",
    "hw_revision": "Revision",
    "hw_interval": "Interval",
    "hw_hops": "Hops",
    "hw_newer": "Newer",
    "hw_add": "Whole$Add",
    "hw_subtract": "Whole$Subtract",
    "hw_multiply": "Whole$Multiply",
    "hw_divide": "Whole$Divide",
    "hw_floor_divide": "Whole$FloorDivide",
    "hw_floor_remainder": "Whole$FloorRemainder",
    "hw_negate": "Whole$Negate",
    "hw_absolute": "Whole$Absolute",
    "hw_long_total": "Longs$Total",
    "hw_long_minimum": "Longs$Minimum",
    "hw_long_maximum": "Longs$Maximum",
    "hw_long_distinct": "Longs$Distinct",
    "hw_text_minimum": "Texts$Minimum",
    "hw_text_maximum": "Texts$Maximum",
    "hw_text_distinct": "Texts$Distinct",
}
_STEPS = {Explode: "explode", JoinAsOf: "join_as_of", JoinWithin: "join_within", Latest: "latest"}
_WAY_OUT = "leave it to the kafka runner, or split the flow so that this part is a product of its own"


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of a flow's inputs in order, of its output, and the id that `apply` registered for that."""

    inputs: Sequence[Mapping[str, Any]]
    output: Mapping[str, Any]
    output_id: int


def refusals(graph: Graph) -> list[Finding]:
    """Why a flow cannot run on Flink with the same records; empty where it can."""
    found = [*validate(graph)] or [*_contract_refusals(graph), *_step_refusals(graph)]
    return found or [*_part_refusals(graph)]


def compile_sql(graph: Graph, schemas: Schemas, where: Where, *, tick: int) -> list[str]:
    """The statements of a flow's job, the last one its INSERT; `tick` in microseconds.

    Raises `InvalidFiles` HW-P240 to HW-P242, each at its line of the flow, where Flink cannot say the same.
    """
    if found := refusals(graph):
        raise InvalidFiles(found)
    try:
        return _statements(graph, schemas, where, tick=tick)
    except Inexpressible as what:
        raise InvalidFiles([_inexpressible(graph, what)]) from None


def _statements(graph: Graph, schemas: Schemas, where: Where, *, tick: int) -> list[str]:
    parts = stretches(graph)
    made = read(graph, parts[0], schemas.inputs, where, tick)
    ticks = stateful(graph.root)
    if len(parts) > 1:
        step, columns = parts[1].step, parts[0].wanted
        assert isinstance(step, Aggregate)
        made += flink_fold.versions(graph, columns)
        made += flink_fold.cells(graph, step, columns)
        given = {one: column for one, column in flink_fold.results(step).items() if one in parts[1].given}
        made += flink_publish.changed(graph, parts[1].rows, given, relate(graph, step).fields)
    else:
        port = branches_of(graph)[0].port
        relation = relate(graph, graph.root)
        given = {one: name(one) for one in parts[0].wanted}
        made += flink_publish.passed(graph, port.shape == "fact" and not port.grid, given, relation.fields)
    made.append(sink_table(graph.output.topic, where))
    made.append(flink_publish.insert(graph, schemas.output, schemas.output_id, where.reach, ticks=ticks))
    return [*_functions(made), *made]


def _functions(statements: Sequence[str]) -> list[str]:
    """Those of our functions that the job calls."""
    used = "\n".join(statements)
    return [
        f"CREATE TEMPORARY FUNCTION {called} AS {text(f'{CLASSES}.{of}')} LANGUAGE JAVA"
        for called, of in FUNCTIONS.items()
        if f"{called}(" in used
    ]


def _contract_refusals(graph: Graph) -> Iterator[Finding]:
    line = getattr(graph.root, "line", 0)
    if graph.further:
        yield _refused(graph, line, "several outputs", "one job writes one topic")
    if graph.output.accept_late is not None:
        why = "what comes too late goes to quarantine as it was, with the reason in its headers, and no SQL job does so"
        yield _refused(graph, line, "accept_late", why)


def _step_refusals(graph: Graph) -> Iterator[Finding]:
    steps = [step for step in main_line(graph.root) if type(step) in _STEPS or isinstance(step, Aggregate)]
    for place, step in enumerate(steps):
        line = getattr(step, "line", 0)
        if type(step) in _STEPS:
            why = "nothing of Flink SQL takes back and says again what it made of a row, tick by tick"
            yield _refused(graph, line, _STEPS[type(step)], why)
        elif isinstance(step, Aggregate) and step.window.gap:
            why = "its own drop late rows, and nothing else of it tells where a session begins once rows go"
            yield _refused(graph, line, "session windows", why)
        elif place:
            yield _refused(graph, line, "a second aggregate", "one fold for each product")
    if stateful(graph.root) and not steps:
        yield _refused(graph, getattr(graph.root, "line", 0), "a union without an aggregate", "nothing ticks its rows")


def _part_refusals(graph: Graph) -> Iterator[Finding]:
    """What only shows while a part is written: types, measures, expressions, windows."""
    parts = stretches(graph)
    first = parts[0]
    for branch in branches_of(graph):
        for field in fields_read(branch, first):
            if branch.port.fields[field].kind not in TYPES:
                kind = branch.port.fields[field].required().text()
                message = f"Flink does not carry '{field}' of {branch.port.product}: it is {kind}"
                why = f"it carries {', '.join(TYPES)}"
                yield finding(graph, first.line, "HW-P241", message, why, _WAY_OUT)
                return
    schemas = Schemas([_schema_of(port) for port in graph.inputs], _schema_of(graph.output), 0)
    try:
        _statements(graph, schemas, Where("", "", ""), tick=1)
    except Inexpressible as what:
        yield _inexpressible(graph, what)


def _schema_of(port: Port) -> dict[str, Any]:
    """A schema with fields of these types: enough to see whether a job can be written."""
    types = {name: avro_of(type_.required()) for name, type_ in port.fields.items()}
    fields = [
        {"name": name, "type": ["null", made] if port.fields[name].nullable else made} for name, made in types.items()
    ]
    return {"type": "record", "name": "Any", "fields": fields}


def _inexpressible(graph: Graph, what: Inexpressible) -> Finding:
    message = f"Flink SQL does not compute {what} as the engine does"
    line = what.line or getattr(graph.root, "line", 0)
    return finding(graph, line, "HW-P242", message, "the records would not be those of the other runners", _WAY_OUT)


def _refused(graph: Graph, line: int, what: str, why: str) -> Finding:
    return finding(graph, line, "HW-P240", f"the flink runner does not take {what}", why, _WAY_OUT)

"""How the inputs that a flow begins with are read: one, or those of a union, whose rows name where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.processing.expressions import Expression, Literal
from headwater.processing.graph import HIDDEN, Filter, Graph, Map, Node, Port, Source, Union, main_line
from headwater.processing.named_ids import OfInput
from headwater.processing.operators.changes import ChangesSpec
from headwater.processing.operators.rows import compile_rows, needed
from headwater.processing.step_rules import times_of, types_of
from headwater.processing.steps import StageInput
from headwater.processing.validation import relate

Rows = Sequence[Map | Filter]


class Branch(NamedTuple):
    """An input that the flow begins with, and what is done to its rows before they meet those of others.

    `form` is what a union adds to the form of what is kept.
    """

    port: Port
    rows: tuple[Map | Filter, ...] = ()
    form: str = ""


def branches_of(graph: Graph) -> tuple[Branch, ...]:
    """The inputs that the main line begins with."""
    start = main_line(graph.root)[0]
    if isinstance(start, Source):
        return (Branch(graph.inputs[start.index]),)
    assert isinstance(start, Union)
    return tuple(_branch(graph, start, source) for source in start.sources)


def lies_by(graph: Graph) -> tuple[tuple[str, ...], int]:
    """By which columns, in how many partitions, rows of the inputs lie: a union's field for them is none."""
    start = main_line(graph.root)[0]
    key = relate(graph, start).key
    if isinstance(start, Union) and start.named in key:
        key = key[1:]
    return key, branches_of(graph)[0].port.partitions


def changes_inputs(graph: Graph, rows: Rows, wanted: Sequence[str], last: Node) -> list[tuple[StageInput, str]]:
    """Each input as changes, with the form of what is kept of it."""
    types = types_of(relate(graph, last), wanted)
    made = []
    for branch in branches_of(graph):
        port, steps = branch.port, (*branch.rows, *rows)
        given = needed(steps, wanted)
        spec = ChangesSpec(
            f"versions.{port.product}",
            port.shape,
            given,
            compile_rows(steps, given, wanted),
            types,
            port.corrections,
            graph.output.accept_late,
            steps,
            tuple(port.fields[name] for name in given),
            tuple(wanted),
        )
        fields = tuple(sorted({*given, *HIDDEN, *times_of(port)}))
        entry = StageInput(port.topic, "changes", 1, fields, port.product, port.major, spec)
        made.append((entry, f"{spec.name}:{wanted}:{types}{branch.form}"))
    return made


def _branch(graph: Graph, union: Union, source: Node) -> Branch:
    line = main_line(source)
    start = line[0]
    assert isinstance(start, Source)
    port = graph.inputs[start.index]
    fields: list[tuple[str, Expression]] = []
    if port.shape == "event":
        fields.append(("event_id", OfInput(str(port.product))))
    if union.named:
        fields.append((union.named, Literal(str(port.product))))
    rows = tuple(step for step in line if isinstance(step, Map | Filter))
    return Branch(port, (*rows, Map(source, tuple(fields), None)), f":union:{union.named}")

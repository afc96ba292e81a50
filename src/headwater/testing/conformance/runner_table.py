"""What the suite over runners holds, as a table: of each case what it is made of, and which runner it is compared on.

`docs/concepts/runners.md` shows it, and a test holds it against the cases and the compiler of Flink's jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headwater.processing.flow import source
from headwater.processing.graph import (
    Aggregate,
    Explode,
    Filter,
    Graph,
    JoinAsOf,
    JoinWithin,
    Latest,
    Map,
    Node,
    Source,
    Union,
    before_of,
)
from headwater.processing.runners.flink import refusals
from headwater.processing.windows import Window
from headwater.testing.conformance.runner_cases import Case
from headwater.testing.conformance.runner_mesh import CaseFile
from headwater.testing.harness import plan_of

_WORDS = {
    Filter: "filter",
    Map: "map",
    Explode: "explode",
    Union: "union",
    Aggregate: "aggregate",
    Latest: "latest",
    JoinAsOf: "join_as_of",
    JoinWithin: "join_within",
}


def operators_of(case: Case) -> list[str]:
    """Steps, windows and measures of a case in the order of the flow, each once; `rekey` where rows change partition.

    >>> from headwater.testing.conformance.runner_cases import OWN_KEY
    >>> operators_of(OWN_KEY)[:3]
    ['aggregate', 'whole', 'count']
    """
    graph = _graph(case)
    found = dict.fromkeys(part for node in _steps(graph.root) for part in _parts(node))
    rekeyed = len(plan_of(case.flow, case.inputs, case.output, tick=1).stages) > 1
    return [*found, *(["rekey"] if rekeyed else [])]


def refused_on_flink(case: Case) -> str:
    """The code of the refusal by which `check` and `plan` keep a flow from Flink; empty where it is compared there."""
    found = refusals(_graph(case))
    return found[0].code if found else ""


def runner_table(files: Sequence[CaseFile]) -> list[str]:
    """The table's lines: every runner but Flink is compared on every case."""
    lines = ["| case | of | memory, kafka, faust | flink |", "| --- | --- | --- | --- |"]
    for file in files:
        code = refused_on_flink(file.case)
        parts = ", ".join(f"`{part}`" for part in operators_of(file.case))
        lines.append(f"| {file.case.name} | {parts} | compared | {f'refused, {code}' if code else 'compared'} |")
    return lines


def _graph(case: Case) -> Graph:
    streams = (source(place) for place in range(len(case.inputs)))
    return Graph(case.flow(*streams).node, case.inputs, case.output)


def _steps(node: Node) -> Iterator[Node]:
    for before in before_of(node):
        yield from _steps(before)
    yield node


def _parts(node: Node) -> Iterator[str]:
    if isinstance(node, Source):
        return
    yield _WORDS[type(node)]
    if isinstance(node, Aggregate):
        yield _window(node.window)
        yield from (measure.function for _, measure in node.measures)


def _window(window: Window) -> str:
    """Its kind. Hours and days in UTC are of one length, and so tumbling windows of it."""
    word, *_ = window.text().split()
    return f"calendar {window.unit}" if window.unit else word

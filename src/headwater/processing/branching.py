"""A flow with several outputs: where they part, and the columns that what they share must give to all of them.

They may part after the last step that keeps something: each output goes on by maps and filters of its own. What comes
before is one line of steps, computed once, so that one stage writes all outputs in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator

from headwater.errors import Finding
from headwater.processing.graph import HIDDEN, Filter, Graph, Map, Node, Union, main_line
from headwater.processing.operators.rows import needed
from headwater.processing.refusals import finding

Rows = tuple[Map | Filter, ...]


def trunk(graph: Graph) -> Node:
    """The last step that all outputs share, be it kept or the beginning; every output goes on from it."""
    line = main_line(graph.root)
    while isinstance(line[-1], Map | Filter):
        line.pop()
    return line[-1]


def own_rows(graph: Graph) -> Rows:
    """What an output does to the rows of the trunk."""
    line = main_line(graph.root)
    rows: list[Map | Filter] = []
    while isinstance(line[-1], Map | Filter):
        rows.insert(0, line.pop())  # type: ignore[arg-type]
    return tuple(rows)


def published(graph: Graph) -> tuple[str, ...]:
    """The columns of a record of an output, in their order."""
    return tuple(name for name in graph.output.fields if name not in HIDDEN)


def shared_columns(graph: Graph) -> tuple[str, ...]:
    """What the trunk must give, so that each output finds what it needs."""
    return tuple(sorted({name for one in graph.outputs for name in needed(own_rows(one), published(one))}))


def parting_findings(graph: Graph) -> Iterator[Finding]:
    """What one stage could not write together: outputs that part too early, or that lie in other partitions."""
    shared = trunk(graph)
    for one in graph.further:
        line = getattr(one.root, "line", 0)
        if isinstance(shared, Union) or trunk(one) is not shared:
            yield finding(
                graph,
                line,
                "HW-P175",
                f"the output '{one.output.product.output}' parts from the others before their last step that keeps "
                "something",
                "all outputs are written in one transaction by one stage: they share one stream up to its last "
                "aggregate, latest, join or explode, or one input, and differ by the maps and filters after it",
                "begin each output with the same variable, or make it a product of its own",
            )
        elif one.output.partitions != graph.output.partitions:
            yield finding(
                graph,
                line,
                "HW-P176",
                f"the output '{one.output.product.output}' has {one.output.partitions} partitions, and the first one "
                f"has {graph.output.partitions}",
                "one task writes the same partition of every output",
                f"partitions: {graph.output.partitions}",
            )

"""A flow in stretches: a step that is not row by row, the row steps after it, and the columns that go between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headwater.processing.branching import published, shared_columns, trunk
from headwater.processing.compile_aggregate import AGGREGATE_RULE
from headwater.processing.compile_explode import EXPLODE_RULE
from headwater.processing.compile_interval import WITHIN_RULE
from headwater.processing.compile_join import JOIN_RULE
from headwater.processing.compile_latest import LATEST_RULE
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
    Start,
    Step,
    main_line,
)
from headwater.processing.operators.core import RowStep
from headwater.processing.operators.rows import compile_rows, needed
from headwater.processing.step_rules import StepRule

Rows = Map | Filter

# How each step that is kept is compiled; the chain finds what runs it by the class of what this makes.
STEP_RULES: Mapping[type, StepRule] = {
    Aggregate: AGGREGATE_RULE,
    JoinAsOf: JOIN_RULE,
    JoinWithin: WITHIN_RULE,
    Explode: EXPLODE_RULE,
    Latest: LATEST_RULE,
}


@dataclass(frozen=True)
class Stretch:
    """A stretch of the flow: a step that is not row by row (None at the source) and the row steps after it.

    `taken` are the columns that the step reads, `given` those it gives to the row steps, `wanted` those that
    leave the stretch.
    """

    step: Step | None
    rows: tuple[Rows, ...]
    taken: tuple[str, ...]
    given: tuple[str, ...]
    wanted: tuple[str, ...]
    last: Node

    @property
    def line(self) -> int:
        """Where the flow's file says the step, or else the last of what follows the source."""
        return self.last.line if self.step is None else self.step.line

    def compiled(self) -> RowStep | None:
        """The row steps as one function."""
        return compile_rows(self.rows, self.given, self.wanted)


def stretches(graph: Graph) -> list[Stretch]:
    """The flow in stretches, columns worked out from the end to the source: what nobody reads is not kept.

    With several outputs they end where these part.
    """
    wanted = shared_columns(graph) if graph.further else published(graph)
    parts: list[Stretch] = []
    line = main_line(trunk(graph) if graph.further else graph.root)
    while True:
        rows: list[Rows] = []
        last = line[-1]
        while isinstance(line[-1], Rows):
            rows.insert(0, line.pop())  # type: ignore[arg-type]
        step = line.pop()
        given = needed(rows, wanted)
        if isinstance(step, Start):
            parts.insert(0, Stretch(None, tuple(rows), (), given, wanted, last))
            return parts
        taken = STEP_RULES[type(step)].taken(graph, step, given)
        parts.insert(0, Stretch(step, tuple(rows), taken, given, wanted, last))  # type: ignore[arg-type]
        wanted = taken

"""How a step of a flow is refused: a finding at its line, which ends the typing of all that follows it."""

from __future__ import annotations

from headwater.errors import Finding
from headwater.processing.graph import Graph, Relation


class Wrong(Exception):
    """A step cannot be typed, and so nothing after it can."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def fields_of(relation: Relation) -> str:
    """The names that a step could have meant."""
    return f"the fields are {', '.join(sorted(relation.fields))}"


def wrong(graph: Graph, line: int, code: str, message: str, why: str) -> Wrong:
    """To raise: a step cannot be typed."""
    return Wrong(finding(graph, line, code, message, why))


def finding(graph: Graph, line: int, code: str, message: str, why: str = "", fix: str = "") -> Finding:
    """What is wrong, at a line of the flow's file."""
    return Finding(code, "error", graph.file, line, 1 if line else 0, "", message, why, fix)

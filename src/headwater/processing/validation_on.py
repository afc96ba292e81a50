"""What every join asks of its sides: the right's whole key, fields of one type, and names for what is taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from headwater.processing.graph import HIDDEN, Graph, Relation
from headwater.processing.refusals import fields_of, wrong


def require_key(graph: Graph, line: int, on: Mapping[str, str], before: Relation, right: Relation) -> None:
    """Refuse a join that is not on the right's key, or on fields that are not there or differ in their types."""
    if sorted(on.values()) != sorted(right.key):
        key = ", ".join(right.key) or "(lost)"
        raise wrong(graph, line, "HW-P078", "a join is on the right's whole key and nothing else", f"its key is {key}")
    for left_name, right_name in on.items():
        if left_name not in before.fields:
            raise wrong(graph, line, "HW-P010", f"there is no field '{left_name}' here", fields_of(before))
        left_type, right_type = before.fields[left_name], right.fields[right_name]
        if left_type.kind != right_type.kind:
            pair = f"'{left_name}' is {left_type.text()}, '{right_name}' {right_type.text()}"
            raise wrong(graph, line, "HW-P079", pair, "join fields of one type")


def taken(
    graph: Graph, line: int, take: Iterable[tuple[str, str]], before: Relation, right: Relation
) -> Iterator[tuple[str, str]]:
    """The names that are taken from the right, each with its name there; refuses what is known or not there."""
    known = {*before.fields, *HIDDEN}
    for name, right_name in take:
        if name in known:
            raise wrong(graph, line, "HW-P072", f"'{name}' is taken", "give the field that is joined another name")
        if right_name not in right.fields:
            raise wrong(graph, line, "HW-P010", f"the right has no field '{right_name}'", fields_of(right))
        known.add(name)
        yield name, right_name

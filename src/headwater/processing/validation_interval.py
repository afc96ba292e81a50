"""The rule of `join_within`: the pairs it gives, or why events cannot be paired."""

from __future__ import annotations

from dataclasses import replace

from headwater.processing.graph import HIDDEN, Graph, JoinWithin, Relation, Source, Union, main_line, stateful
from headwater.processing.refusals import fields_of, wrong


def within_rule(graph: Graph, node: JoinWithin, before: Relation, right: Relation) -> Relation:
    """The left's events with the fields taken of each event near it; the id is the pair's."""
    line = node.line
    _checked_sides(graph, node, before, right)
    on = dict(node.on)
    if sorted(on.values()) != sorted(right.key):
        key = ", ".join(right.key) or "(lost)"
        raise wrong(graph, line, "HW-P078", "a join is on the right's whole key and nothing else", f"its key is {key}")
    fields, made = dict(before.fields), dict(before.lineage)
    for left_name, right_name in node.on:
        if left_name not in before.fields:
            raise wrong(graph, line, "HW-P010", f"there is no field '{left_name}' here", fields_of(before))
        if before.fields[left_name].kind != right.fields[right_name].kind:
            pair = (
                f"'{left_name}' is {before.fields[left_name].text()}, '{right_name}' {right.fields[right_name].text()}"
            )
            raise wrong(graph, line, "HW-P079", pair, "join fields of one type")
    joined_by = frozenset().union(
        *(before.lineage[name] for name in (*on, "occurred_at")),
        *(right.lineage[name] for name in (*on.values(), "occurred_at")),
    )
    for name, right_name in node.take:
        if name in fields or name in HIDDEN:
            raise wrong(graph, line, "HW-P072", f"'{name}' is taken", "give the field that is joined another name")
        if right_name not in right.fields:
            raise wrong(graph, line, "HW-P010", f"the right has no field '{right_name}'", fields_of(right))
        fields[name] = right.fields[right_name]
        made[name] = right.lineage[right_name] | joined_by
    made["event_id"] = before.lineage["event_id"] | right.lineage["event_id"] | joined_by
    return replace(before, fields=fields, lineage=made, corrections=before.corrections or right.corrections)


def _checked_sides(graph: Graph, node: JoinWithin, before: Relation, right: Relation) -> None:
    line, start = node.line, main_line(node.right)[0]
    if not isinstance(start, Source) or stateful(node.right):
        why = "join the input itself, or make a product of the part"
        raise wrong(graph, line, "HW-P167", "the right of join_within is an input, mapped or filtered", why)
    if before.shape != "event" or right.shape != "event":
        why = "facts hold over intervals: join_as_of finds the one that held"
        raise wrong(graph, line, "HW-P167", "join_within pairs events with events", why)
    if "" in before.key:
        raise wrong(graph, line, "HW-P077", "a row to join has lost a field of its key", "keep the key's fields")
    if "" in right.key:
        raise wrong(graph, line, "HW-P078", "the right of a join has lost a field of its key", "keep the key's fields")
    if start.index in _read(graph, node):
        product = graph.inputs[start.index].product
        why = "one stage would read its topic twice: make a product of one side"
        raise wrong(graph, line, "HW-P168", f"{product} is paired with rows of its own", why)


def _read(graph: Graph, node: JoinWithin) -> set[int]:
    """The inputs that are read before this step."""
    found: set[int] = set()
    for step in main_line(node.source):
        starts = step.sources if isinstance(step, Union) else (step,)
        if hasattr(step, "right"):
            starts = (step.right,)
        for start in starts:
            first = main_line(start)[0]
            if isinstance(first, Source):
                found.add(first.index)
    return found

"""The rule of `join_within`: the pairs it gives, or why events cannot be paired."""

from __future__ import annotations

from dataclasses import replace

from headwater.processing.graph import Graph, JoinWithin, Relation, Source, Union, main_line, stateful
from headwater.processing.refusals import wrong
from headwater.processing.validation_on import require_key, taken


def within_rule(graph: Graph, node: JoinWithin, before: Relation, right: Relation) -> Relation:
    """The left's events with the fields taken of each event near it; the id is the pair's."""
    line = node.line
    _checked_sides(graph, node, before, right)
    on = dict(node.on)
    require_key(graph, line, on, before, right)
    fields, made = dict(before.fields), dict(before.lineage)
    joined_by = frozenset().union(
        *(before.lineage[name] for name in (*on, "occurred_at")),
        *(right.lineage[name] for name in (*on.values(), "occurred_at")),
    )
    for name, right_name in taken(graph, line, node.take, before, right):
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

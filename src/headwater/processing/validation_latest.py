"""The rule of `latest`: the facts it gives, why it cannot make them, and what may not follow it."""

from __future__ import annotations

from headwater.processing.field_types import FieldType
from headwater.processing.graph import EVENT_TIMES, FACT_TIMES, Filter, Graph, Latest, Map, Node, Relation
from headwater.processing.refusals import fields_of, wrong

_KEYS = ("string", "integer", "boolean")


def latest_rule(graph: Graph, node: Latest, before: Relation) -> Relation:
    """Facts of all fields but the events' id and instant, which become the interval."""
    line = node.line
    if before.shape != "event":
        why = "facts already say over which interval they hold"
        raise wrong(graph, line, "HW-P114", "latest makes facts of events", why)
    for name in node.by:
        if name not in before.fields:
            raise wrong(graph, line, "HW-P010", f"there is no field '{name}' here", fields_of(before))
        if before.fields[name].kind not in _KEYS or name in EVENT_TIMES:
            kind = before.fields[name].text()
            raise wrong(graph, line, "HW-P074", f"'{name}' is {kind}, and no key", "group by text or integers")
    if "" in before.key:
        why = "events of one instant and id are told apart by it: keep the key's fields"
        raise wrong(graph, line, "HW-P077", "an event has lost a field of its key", why)
    if taken := next((name for name in FACT_TIMES if name in before.fields), None):
        raise wrong(
            graph, line, "HW-P072", f"'{taken}' is taken", "it becomes the interval: give the field another name"
        )
    instant = before.fields["occurred_at"]
    fields: dict[str, FieldType] = {name: type_ for name, type_ in before.fields.items() if name not in EVENT_TIMES}
    made = {name: before.lineage[name] for name in fields}
    when = before.lineage["occurred_at"]
    return Relation(
        {**fields, "valid_from": instant, "valid_to": instant.or_null()},
        node.by,
        "fact",
        False,
        {**made, "valid_from": when, "valid_to": when},
        pieces=True,
    )


def check_pieces(graph: Graph, node: Node, *inputs: Relation) -> None:
    """Refuse what would take pieces of facts for whole ones: after `latest` rows are only mapped and filtered."""
    if any(before.pieces for before in inputs) and not isinstance(node, Map | Filter):
        why = "its facts override each other in part, and a step would keep what has been overridden"
        raise wrong(graph, node.line, "HW-P115", "what is latest is only mapped and filtered", why)

"""The rule of `join_as_of`: the rows it gives, or why the two sides cannot be joined."""

from __future__ import annotations

from dataclasses import replace

from headwater.processing.graph import HIDDEN, Graph, JoinAsOf, Relation, Source, main_line, stateful
from headwater.processing.refusals import fields_of, wrong


def join_rule(graph: Graph, node: JoinAsOf, before: Relation, right: Relation) -> Relation:
    """The left's rows with the fields taken, null where nothing held."""
    line = node.line
    if not isinstance(main_line(node.right)[0], Source) or stateful(node.right):
        raise wrong(
            graph, line, "HW-P076", "the right of a join is an input, mapped or filtered", "join the input itself"
        )
    if right.shape != "fact":
        raise wrong(graph, line, "HW-P076", "the right of a join holds facts", "join facts: they hold over intervals")
    if "" in before.key:
        raise wrong(graph, line, "HW-P077", "a row to join has lost a field of its key", "keep the key's fields")
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
        *(before.lineage[name] for name in on), *(right.lineage[name] for name in on.values())
    )
    for name, right_name in node.take:
        if name in fields or name in HIDDEN:
            raise wrong(graph, line, "HW-P072", f"'{name}' is taken", "give the field that is joined another name")
        if right_name not in right.fields:
            raise wrong(graph, line, "HW-P010", f"the right has no field '{right_name}'", fields_of(right))
        fields[name] = right.fields[right_name].or_null()
        made[name] = right.lineage[right_name] | joined_by
    return replace(before, fields=fields, lineage=made)

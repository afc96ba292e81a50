"""The rule of `join_as_of`: the rows it gives, or why the two sides cannot be joined."""

from __future__ import annotations

from dataclasses import replace

from headwater.processing.graph import Graph, JoinAsOf, Relation, Source, main_line, stateful
from headwater.processing.refusals import wrong
from headwater.processing.validation_on import require_key, taken


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
    require_key(graph, line, on, before, right)
    fields, made = dict(before.fields), dict(before.lineage)
    joined_by = frozenset().union(
        *(before.lineage[name] for name in on), *(right.lineage[name] for name in on.values())
    )
    for name, right_name in taken(graph, line, node.take, before, right):
        fields[name] = right.fields[right_name].or_null()
        made[name] = right.lineage[right_name] | joined_by
    return replace(before, fields=fields, lineage=made)

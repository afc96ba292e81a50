"""The rule of `union`: one kind of row from several inputs, none of which can take the place of another's."""

from __future__ import annotations

from headwater.processing.field_types import STRING, FieldType, common
from headwater.processing.graph import HIDDEN, Graph, Relation, Source, Union, main_line, stateful
from headwater.processing.refusals import wrong


def union_rule(graph: Graph, node: Union, *inputs: Relation) -> Relation:
    """The fields that all have. Ids of events, and keys of facts, name the input from now on."""
    _checked_inputs(graph, node)
    first, line = inputs[0], node.line
    if any(before.shape != first.shape for before in inputs):
        raise wrong(graph, line, "HW-P109", "events and facts have no common rows", "unite events, or facts")
    if first.shape == "fact" and not node.named:
        why = "facts of one key and interval from two inputs would override each other"
        raise wrong(graph, line, "HW-P108", "facts are united only where the key names the input", why)
    if node.named and (node.named in first.fields or node.named in HIDDEN):
        raise wrong(graph, line, "HW-P072", f"'{node.named}' is taken", "give the input's name another field")
    fields = {name: _field(graph, node, name, inputs) for name in _names(graph, node, inputs)}
    made = {name: frozenset().union(*(before.lineage[name] for before in inputs)) for name in fields}
    key = first.key if all(before.key == first.key for before in inputs) else ("",) * len(first.key)
    if node.named:
        fields[node.named], made[node.named] = STRING, frozenset()
    return Relation(
        fields,
        (node.named, *key) if first.shape == "fact" else key,
        first.shape,
        all(before.grid for before in inputs),
        made,
        any(before.corrections for before in inputs),
        moving=any(before.moving for before in inputs),
    )


def _checked_inputs(graph: Graph, node: Union) -> None:
    ports = []
    for branch in node.sources:
        start = main_line(branch)[0]
        if not isinstance(start, Source) or stateful(branch):
            why = "explode, fold or join what is united, or make a product of the part"
            raise wrong(graph, node.line, "HW-P107", "what is united is an input, mapped or filtered", why)
        ports.append(graph.inputs[start.index])
    names = [str(port.product) for port in ports]
    if twice := next((name for name in names if names.count(name) > 1), None):
        why = "its rows would come twice under one id"
        raise wrong(graph, node.line, "HW-P106", f"{twice} is united with itself", why)
    if len({port.partitions for port in ports}) > 1:
        counts = ", ".join(f"{port.product} {port.partitions}" for port in ports)
        why = f"partition p of each is read by one task; they have: {counts}"
        raise wrong(graph, node.line, "HW-P112", "the inputs of a union differ in their partitions", why)


def _names(graph: Graph, node: Union, inputs: tuple[Relation, ...]) -> list[str]:
    """The fields, in the first input's order; each input has all."""
    every = set().union(*(before.fields for before in inputs))
    for number, before in enumerate(inputs, 1):
        if missing := sorted(every - before.fields.keys()):
            why = "compute what is missing in a map, or select what all have"
            message = f"of {len(inputs)} inputs to unite number {number} has no field '{missing[0]}'"
            raise wrong(graph, node.line, "HW-P110", message, why)
    return list(inputs[0].fields)


def _field(graph: Graph, node: Union, name: str, inputs: tuple[Relation, ...]) -> FieldType:
    wide = inputs[0].fields[name]
    for before in inputs[1:]:
        other = before.fields[name]
        both = common(wide, other)
        # Of different kinds, or decimals of different scales, values would have to be converted: that is a map's work.
        if both is None or (wide.kind, wide.scale) != (other.kind, other.scale):
            message = f"'{name}' is {wide.text()} in one input and {other.text()} in another"
            raise wrong(graph, node.line, "HW-P111", message, "compute fields of one type in a map")
        wide = both
    return wide

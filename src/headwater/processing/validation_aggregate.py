"""The rule of `aggregate`: which facts it gives, or why it cannot fold these rows."""

from __future__ import annotations

from headwater.processing.field_types import FieldType
from headwater.processing.fold_laws import can_be_tried
from headwater.processing.graph import FACT_TIMES, HIDDEN, Aggregate, Graph, Relation
from headwater.processing.measures import measure_type
from headwater.processing.refusals import fields_of, wrong


def aggregate_rule(graph: Graph, node: Aggregate, before: Relation) -> Relation:
    """Facts of the grouped fields and measures, on the grid of the windows, or sessions that give way to others."""
    if before.shape == "fact" and not before.grid:
        raise wrong(
            graph,
            node.line,
            "HW-P073",
            "these facts may overlap, and a fold would count the overlap twice",
            "aggregate events, or facts whose intervals are windows",
        )
    if before.shape == "fact" and node.window.gap:
        raise wrong(
            graph,
            node.line,
            "HW-P129",
            "a session window takes events, and these are facts",
            "a session is a run of instants; aggregate the events, or the facts over another window",
        )
    fields: dict[str, FieldType] = {}
    for name in node.by:
        if name not in before.fields:
            raise wrong(graph, node.line, "HW-P010", f"there is no field '{name}' here", fields_of(before))
        if before.fields[name].kind not in ("string", "integer", "boolean"):
            kind = before.fields[name].text()
            raise wrong(graph, node.line, "HW-P074", f"'{name}' is {kind}, and no key", "group by text or integers")
        fields[name] = before.fields[name]
    made = {name: before.lineage[name] for name in node.by}
    when = before.lineage[before.instant]
    for name, measure in node.measures:
        if name in fields or name in FACT_TIMES or name in HIDDEN:
            raise wrong(graph, node.line, "HW-P072", f"'{name}' is taken", "give the measure another name")
        for read in measure.reads():
            if read not in before.fields:
                raise wrong(graph, node.line, "HW-P010", f"there is no field '{read}' here", fields_of(before))
            if measure.custom is not None and not can_be_tried(before.fields[read]):
                kind = before.fields[read].text()
                why = "nothing would show that such a value is taken out again"
                raise wrong(graph, node.line, "HW-P128", f"a fold over '{read}' ({kind}) cannot be tried", why)
        field = None if measure.field is None else before.fields[measure.field]
        type_ = measure_type(measure.function, field) if measure.custom is None else measure.custom.type
        if type_ is None:
            given = "nothing" if field is None else field.text()
            message = f"{measure.function} of '{measure.field}' ({given}) cannot be taken back exactly"
            raise wrong(graph, node.line, "HW-P075", message, "sum integers or decimals, never floats")
        fields[name] = type_
        made[name] = frozenset().union(*(before.lineage[read] for read in measure.reads())) or when
    instant = before.fields[before.instant]
    fields |= {"valid_from": instant, "valid_to": instant.or_null(node.window.text() == "whole")}
    made |= {"valid_from": when, "valid_to": when}
    return Relation(fields, node.by, "fact", True, made, moving=node.window.gap > 0)

"""The rule of `explode`: the rows it gives, or why an array cannot become rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from headwater.processing.field_types import INTEGER, FieldType
from headwater.processing.graph import HIDDEN, Explode, Graph, Relation
from headwater.processing.refusals import fields_of, wrong

_KEPT_OTHERS = ("int", "long", "string")  # logical types over these are text or numbers, which state can hold


class Taken(NamedTuple):
    """A column made of an element: its name, the element's field (None: the element itself), its type."""

    name: str
    member: str | None
    type: FieldType


def explode_rule(graph: Graph, node: Explode, before: Relation) -> Relation:
    """A row for each element: its columns in place of the array, an id of the parent's and the position."""
    line = node.line
    if node.field not in before.fields:
        raise wrong(graph, line, "HW-P010", f"there is no field '{node.field}' here", fields_of(before))
    array = before.fields[node.field]
    if array.items is None:
        raise wrong(graph, line, "HW-P100", f"'{node.field}' is {array.text()}, and no array", "explode an array")
    if before.shape != "event":
        why = "elements of one fact would hold over one interval and override each other"
        raise wrong(graph, line, "HW-P101", "facts cannot be exploded", why)
    if problem := _unkept(array.items):
        raise wrong(
            graph, line, "HW-P102", f"elements of '{node.field}' hold {problem}", "the flow cannot keep this type"
        )
    taken = taken_of(graph, node, before)
    fields = {name: type_ for name, type_ in before.fields.items() if name != node.field}
    made = dict(before.lineage)
    lines = made.pop(node.field)
    for name, type_ in (*((one.name, one.type) for one in taken), *_position(node)):
        if name in fields or name in HIDDEN:
            raise wrong(graph, line, "HW-P072", f"'{name}' is taken", "give what is made of the element another name")
        fields[name] = type_
        made[name] = lines
    made["event_id"] = before.lineage["event_id"] | lines
    return replace(before, fields=fields, lineage=made)


def taken_of(graph: Graph, node: Explode, before: Relation) -> tuple[Taken, ...]:
    """The columns that are made of an element."""
    items = before.fields[node.field].items
    assert items is not None
    if items.kind != "record":
        if node.take is not None:
            why = f"elements of '{node.field}' are {items.text()}"
            raise wrong(graph, node.line, "HW-P103", "only records have fields to take", why)
        return (Taken(node.into or node.field, None, items),)
    if node.into:
        why = f"elements of '{node.field}' are records: each of their fields becomes a column"
        raise wrong(graph, node.line, "HW-P104", "records do not go into one column", why)
    members = dict(items.members)
    for _, member in node.take or ():
        if member not in members:
            why = f"the fields are {', '.join(sorted(members))}"
            raise wrong(graph, node.line, "HW-P105", f"elements of '{node.field}' have no field '{member}'", why)
    pairs = [(name, name) for name in members] if node.take is None else node.take
    return tuple(Taken(name, member, members[member].or_null(items.nullable)) for name, member in pairs)


def _position(node: Explode) -> Iterator[tuple[str, FieldType]]:
    if node.position:
        yield node.position, INTEGER


def _unkept(type_: FieldType) -> str:
    """What of a type has no form in state, as messages name it; empty if all has."""
    if type_.kind == "other":
        avro = json.loads(type_.avro)
        kept = isinstance(avro, dict) and avro.get("type") in _KEPT_OTHERS
        return "" if kept else type_.required().text()
    inside = [type_.items] if type_.items is not None else [member for _, member in type_.members]
    return next((problem for each in inside if (problem := _unkept(each))), "")

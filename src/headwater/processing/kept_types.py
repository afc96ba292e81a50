"""Which fields state and rekey topics have no form for: refused before anything runs, at the step that would keep them.

Values are kept as JSON by the types of the flow (`packing`). Bytes, decimals and dates go as text where the type says
that a column, an element of an array or a member of a record is one. Within maps and unions of several types nothing
says which value is what, and a fixed has no kind of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from headwater.errors import Finding
from headwater.processing.field_types import PRIMITIVES, FieldType
from headwater.processing.graph import Graph
from headwater.processing.refusals import finding

_WHY = "bytes, decimals and dates within maps or unions of several types, and fixed anywhere, have no form in state"
_FIX = "leave the field out with select before this step, or make it bytes or text in the product that it comes from"


def kept_findings(graph: Graph, line: int, columns: Iterable[tuple[str, FieldType]]) -> dict[str, Finding]:
    """A finding, by the column's name, for each column that the step at a line would keep and cannot."""
    return {
        name: finding(graph, line, "HW-P165", f"the field '{name}' ({type_.text()}) cannot be kept", _WHY, _FIX)
        for name, type_ in columns
        if not can_be_kept(type_)
    }


def can_be_kept(type_: FieldType) -> bool:
    """Whether every value of a type comes back from state as it was.

    >>> from headwater.processing.field_types import from_avro
    >>> [can_be_kept(from_avro({"type": "map", "values": values})) for values in ("long", "bytes")]
    [True, False]
    """
    return not type_.avro or _held(json.loads(type_.avro), {}, told=True)


def _held(avro: Any, around: Mapping[str, Any], *, told: bool) -> bool:
    """`told` is false where nothing says of which type a value is; `around` are the records that this is a part of.

    One that was walked as it would be within itself stands there as None.
    """
    if isinstance(avro, list):
        rest = [branch for branch in avro if branch != "null"]
        return all(_held(branch, around, told=told and len(rest) == 1) for branch in rest)
    if isinstance(avro, str):
        if avro not in around:
            return avro in PRIMITIVES and (told or avro != "bytes")
        # A record within itself is not told apart any further. Once is enough: the rest is the same again.
        record = around[avro]
        return record is None or _members_held(record, {**around, avro: None}, told=False)
    kind = avro["type"]
    if avro.get("logicalType") in ("decimal", "date"):
        return told
    if kind == "array":
        return _held(avro["items"], around, told=told)
    if kind == "map":
        return _held(avro["values"], around, told=False)
    if kind == "record":
        return _members_held(avro, {**around, avro["name"]: avro}, told=told)
    return kind == "enum" or (kind != "fixed" and _held(kind, around, told=told))


def _members_held(record: Mapping[str, Any], around: Mapping[str, Any], *, told: bool) -> bool:
    return all(_held(member["type"], around, told=told) for member in record["fields"])

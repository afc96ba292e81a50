"""The inputs of a Flink job as rows: a view over the tables of the topics, with what the flow reads of all of them.

Recorded time is the time attribute. It never goes back within a partition, so that by it no row is late, whatever its
valid time: windows of Flink are over ticks alone, and drop nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.processing.compile_inputs import Branch, branches_of
from headwater.processing.field_types import FieldType
from headwater.processing.graph import Graph, Port
from headwater.processing.operators.rows import needed
from headwater.processing.runners.flink_expressions import rows_of
from headwater.processing.runners.flink_tables import Where, source_table
from headwater.processing.runners.flink_text import name, select, view
from headwater.processing.step_rules import times_of
from headwater.processing.stretches import Stretch

TIME, TICK, LIVE = "~time", "~tick", "~live"
ROWS = "hw_rows"
INPUT, KEY, ID, FROM, TO = "~input", "~key", "~id", "~from", "~to"


def read(graph: Graph, part: Stretch, schemas: Sequence[Mapping[str, Any]], where: Where, tick: int) -> list[str]:
    """The statements that give `hw_rows`: time, tick, identity, revision, kind, whether a row is live, its columns."""
    statements, selects = [], []
    for branch in branches_of(graph):
        place = graph.inputs.index(branch.port)
        fields = fields_read(branch, part)
        statements.append(source_table(f"in{place}", fields, branch.port, schemas[place], where, tick))
        selects.append(_select(place, branch, part, fields, where, tick))
    return [*statements, view(ROWS, "\nUNION ALL\n".join(selects))]


def fields_read(branch: Branch, part: Stretch) -> list[str]:
    """The fields of an input that the job reads, beside those that the platform writes."""
    return sorted({*needed((*branch.rows, *part.rows), part.wanted), *branch.port.key, *times_of(branch.port)})


def identity_of(graph: Graph) -> tuple[str, ...]:
    """The columns of `hw_rows` that tell one event or fact from another."""
    inputs = branches_of(graph)
    own = (ID,) if inputs[0].port.shape == "event" else (FROM, TO)
    return (*((INPUT,) if len(inputs) > 1 else ()), KEY, *own)


def key_of(names: Sequence[str], types: Mapping[str, FieldType], columns: Mapping[str, str]) -> str:
    """The Kafka key of these fields as text."""
    if len(names) == 1 and types[names[0]].kind == "string" and not types[names[0]].nullable:
        return columns[names[0]]
    return f"hw_key({', '.join(columns[one] for one in names)})"


def _select(place: int, branch: Branch, part: Stretch, fields: Sequence[str], where: Where, tick: int) -> str:
    port = branch.port
    types = port.columns()
    given = {field: _wide(field, port) for field in fields}
    if port.shape == "fact":
        given["valid_from"] = "hw_interval(`valid_from`, `valid_to`)"
    own, after_own, types_after = rows_of(branch.rows, types, given)
    rest, columns, _ = rows_of(part.rows, types_after, after_own)
    conditions = ["`kind` <> 'retract'", *(one for one in (own, rest) if one != "TRUE")]
    identity = {ID: "`event_id`"} if port.shape == "event" else {FROM: given["valid_from"], TO: "`valid_to`"}
    made = {
        TIME: name(TIME),
        TICK: f"`recorded_at` - MOD(`recorded_at`, {tick}) + {tick - 1}",
        "~recorded_at": "`recorded_at`",
        "~kind": "`kind`",
        "~revision": "hw_revision(`revision`)",
        INPUT: str(place),
        KEY: key_of(port.key, types, given),
        **identity,
        LIVE: f"({' AND '.join(conditions)})",
        **{one: columns[one] for one in part.wanted},
    }
    reach = where.reach if where.reach is not None and where.reach.bounded else None
    bound = "" if reach is None else f"\nWHERE `recorded_at` <= {reach.through}"
    return f"SELECT {select(made)}\nFROM {name(f'in{place}')}{bound}"


def _wide(field: str, port: Port) -> str:
    """Every number as wide as the flow computes with it."""
    kind = port.fields[field].kind
    wide = {"integer": "BIGINT", "double": "DOUBLE"}.get(kind, "")
    return f"CAST({name(field)} AS {wide})" if wide else name(field)

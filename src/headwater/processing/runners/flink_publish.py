"""What a Flink job says: of facts, what changed in a tick and its revision; of rows that pass, each as it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.processing.field_types import FieldType
from headwater.processing.graph import Filter, Graph, Map
from headwater.processing.runners.flink_expressions import cast, rows_of
from headwater.processing.runners.flink_fold import CELLS, MEMBERS
from headwater.processing.runners.flink_rows import KEY, LIVE, ROWS, TICK, TIME, key_of
from headwater.processing.runners.flink_tables import OUT, Reach, framed
from headwater.processing.runners.flink_text import name, select, view

RECORDS = "hw_records"
_KINDS = [f"CAST('{kind}' AS STRING)" for kind in ("assert", "correct", "retract")]
HIDDEN_COLUMNS = {"recorded_at": "`~recorded_at`", "kind": "`~kind`", "revision": "`~revision`"}


def changed(
    graph: Graph, rows: Sequence[Map | Filter], given: Mapping[str, str], types: Mapping[str, FieldType]
) -> list[str]:
    """`hw_records` of a fold: each fact whose value a tick changed, with what that makes of it, numbered."""
    condition, columns, after = rows_of(rows, types, given)
    fields = _fields(graph, columns, after)
    live = f"({name(MEMBERS)} > 0{'' if condition == 'TRUE' else f' AND {condition}'})"
    key = key_of(graph.output.key, graph.output.fields, fields)
    facts = f"SELECT {select({TIME: name(TIME), TICK: name(TICK), KEY: key, LIVE: live, **fields})}\nFROM `{CELLS}`"
    identity = f"PARTITION BY {name(KEY)}, `valid_from` ORDER BY {name(TIME)}"
    before = {f"~old_{one}": f"LAG({name(one)}) OVER ({identity})" for one in (LIVE, *fields)}
    told = f"SELECT *, {select(before)}\nFROM `hw_facts`"
    was = f"COALESCE({name(f'~old_{LIVE}')}, FALSE)"
    same = " AND ".join(f"{name(one)} IS NOT DISTINCT FROM {name(f'~old_{one}')}" for one in fields)
    # A retract carries the value that it takes back.
    said = {one: f"CASE WHEN {name(LIVE)} THEN {name(one)} ELSE {name(f'~old_{one}')} END" for one in fields}
    kind = f"CASE WHEN NOT {name(LIVE)} THEN {_KINDS[2]} WHEN {was} THEN {_KINDS[1]} ELSE {_KINDS[0]} END"
    unlike = f"({name(LIVE)} OR {was}) AND NOT ({name(LIVE)} AND {was} AND {same})"
    moved = f"SELECT {select({TIME: name(TIME), TICK: name(TICK), KEY: name(KEY), '~kind': kind, **said})}"
    number = f"COUNT(*) OVER ({identity} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    numbered = f"SELECT *, {name(TICK)} AS `~recorded_at`, {number} AS `~revision`\nFROM `hw_changed`"
    return [
        view("hw_facts", facts),
        view("hw_told", told),
        view("hw_changed", f"{moved}\nFROM `hw_told`\nWHERE {unlike}"),
        view(RECORDS, numbered),
    ]


def passed(graph: Graph, overrides: bool, given: Mapping[str, str], types: Mapping[str, FieldType]) -> list[str]:
    """`hw_records` of rows that are only mapped and filtered: one that fails above revision 1 leaves as a retract."""
    kind = f"CASE WHEN {name(LIVE)} THEN `~kind` ELSE 'retract' END"
    fields = _fields(graph, given, types)
    key = key_of(graph.output.key, graph.output.fields, fields)
    made = {KEY: key, "~recorded_at": "`~recorded_at`", "~kind": kind, "~revision": "`~revision`", **fields}
    leaves = "" if overrides else f"\nWHERE {name(LIVE)} OR `~kind` = 'retract' OR `~revision` > 1"
    return [view(RECORDS, f"SELECT {select(made)}\nFROM `{ROWS}`{leaves}")]


def insert(graph: Graph, schema: Mapping[str, Any], schema_id: int, reach: Reach | None, *, ticks: bool) -> str:
    """The statement that writes: in the order of tick, key and interval, or as the rows came."""
    columns = {field["name"]: name(field["name"]) for field in schema["fields"]} | HIDDEN_COLUMNS
    value = framed(schema, schema_id, columns)
    stamp = "TO_TIMESTAMP_LTZ(`~recorded_at` / 1000, 3)"
    order = f"\nORDER BY {name(TIME)}, {name(KEY)}, `valid_from`" if ticks else ""
    written = "" if reach is None else _unwritten(reach, graph.output.partitions)
    return f"INSERT INTO `{OUT}`\nSELECT {name(KEY)}, {value}, {stamp}\nFROM `{RECORDS}`{written}{order}"


def _unwritten(reach: Reach, partitions: int) -> str:
    """Only what the product's partitions do not hold yet: the job says the same again from the beginning."""
    if reach.bounded and max(reach.written.values(), default=-1) < 0:
        return ""  # a live job says it all the same: what it keeps fits a job of the same steps alone
    arms = " ".join(f"WHEN {one} THEN CAST({through} AS BIGINT)" for one, through in sorted(reach.written.items()))
    held = f"CASE hw_partition({name(KEY)}, {partitions}) {arms} ELSE CAST(-1 AS BIGINT) END"
    return f"\nWHERE `~recorded_at` > {held}"


def _fields(graph: Graph, columns: Mapping[str, str], types: Mapping[str, FieldType]) -> dict[str, str]:
    return {one: cast(columns[one], types[one], wanted) for one, wanted in graph.output.columns().items()}

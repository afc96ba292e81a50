"""An aggregate as Flink SQL, step by step: versions, changes, cells, facts, each a view that only adds rows.

A tick is a tumbling window over recorded time, which Flink counts in ticks. Running values are `OVER` sums ordered by
ticks, so nothing is ever updated in place, and what the engine's batches would cut together or apart decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwater.processing.field_types import FieldType
from headwater.processing.graph import Aggregate, Graph, Measure
from headwater.processing.runners.flink_expressions import Inexpressible
from headwater.processing.runners.flink_rows import LIVE, ROWS, TICK, TIME, identity_of
from headwater.processing.runners.flink_text import name, names, select, view
from headwater.processing.validation import relate
from headwater.processing.windows import WHOLE_START

SIGN, MEMBERS, START = "~sign", "~members", "~start"
CELLS = "hw_cells"
_VALUES = {"integer": "long", "instant": "long", "string": "text"}


def versions(graph: Graph, columns: Sequence[str]) -> list[str]:
    """`hw_versions`: each newer version of an event or fact, one for a tick, beside the version before it."""
    identity = identity_of(graph)
    kept = (*identity, TICK, LIVE, "~revision", *columns)
    newest = once_a_tick(ROWS, identity, kept, "`~revision` DESC")
    by_identity = f"PARTITION BY {names(identity)} ORDER BY {name(TIME)}"
    newer = f"hw_newer(`~revision`) OVER ({by_identity} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    risen = f"SELECT {names((TIME, *kept))} FROM (\n  SELECT *, {newer} AS `~newer` FROM `hw_newest`\n)\nWHERE `~newer`"
    before = {f"~old_{one}": f"LAG({name(one)}) OVER ({by_identity})" for one in (LIVE, *columns)}
    both = f"SELECT {names((TIME, TICK, LIVE, *columns))}, {select(before)}\nFROM `hw_risen`"
    return [view("hw_newest", newest), view("hw_risen", risen), view("hw_versions", both)]


def cells(graph: Graph, step: Aggregate, columns: Sequence[str]) -> list[str]:
    """`hw_cells`: for each key and interval that a tick touches, the members and accumulators at the tick's end."""
    types = relate(graph, step.source).fields
    instant = relate(graph, step.source).instant
    # Two selects, since rows that are multiplied by UNNEST have no time attribute any more.
    went = _side(-1, {one: name(f"~old_{one}") for one in columns}, name(f"~old_{LIVE}"))
    came = _side(1, {one: name(one) for one in columns}, name(LIVE))
    placed = {one: name(one) for one in (TIME, TICK, SIGN, *columns)} | {START: _start(step, name(instant))}
    from_hops = "`hw_changes`"
    if step.window.hops > 1:
        from_hops += (
            f", LATERAL TABLE(hw_hops(CAST({step.window.length} AS BIGINT), {step.window.hops})) AS `h` (`~hop`)"
        )
        placed[START] = f"{placed[START]} + `~hop`"
    cell = (*step.by, START)
    kept = {one: name(one) for one in (TIME, TICK, SIGN, *cell)}
    sums = {MEMBERS: f"SUM({name(SIGN)}) OVER `w`"}
    for called, measure in step.measures:
        field = None if measure.field is None else types[measure.field]
        sums |= _accumulators(called, measure, field, step.line)
    running = (
        f"SELECT {select({**kept, **sums})}\nFROM `hw_placed`\nWINDOW `w` AS (PARTITION BY {names(cell)} "
        f"ORDER BY {name(TIME)} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )
    ended = once_a_tick("hw_running", cell, (TICK, *cell, *sums), f"{name(SIGN)}")
    return [
        view("hw_changes", f"{went}\nUNION ALL\n{came}"),
        view("hw_placed", f"SELECT {select(placed)}\nFROM {from_hops}"),
        view("hw_running", running),
        view(CELLS, ended),
    ]


def results(step: Aggregate) -> Mapping[str, str]:
    """What a cell amounts to: each column of the facts, as SQL over `hw_cells`."""
    end = "CAST(NULL AS BIGINT)"
    if step.window.length:
        end = f"{name(START)} + {step.window.length}"
    made = {one: name(one) for one in step.by} | {"valid_from": name(START), "valid_to": end}
    for called, measure in step.measures:
        made[called] = name(MEMBERS if measure.field is None else called)
        if measure.function == "average":
            made[called] = f"hw_divide({name(called)}, {name(f'~given_{called}')})"
    return made


def once_a_tick(rows: str, by: Sequence[str], kept: Sequence[str], order: str) -> str:
    """Of the rows of a tick that agree in `by`, the first in an order; `kept` columns and time stay."""
    ticked = f"TABLE(TUMBLE(TABLE {name(rows)}, DESCRIPTOR({name(TIME)}), INTERVAL '0.001' SECOND))"
    place = f"ROW_NUMBER() OVER (PARTITION BY `window_start`, `window_end`, {names(by)} ORDER BY {order})"
    unique = tuple(dict.fromkeys(kept))
    return (
        f"SELECT `window_time` AS {name(TIME)}, {names(unique)} FROM (\n"
        f"  SELECT {names(unique)}, `window_start`, `window_end`, `window_time`, {place} AS `~place`\n"
        f"  FROM {ticked}\n)\n"
        "WHERE `~place` = 1"
    )


def _side(sign: int, columns: Mapping[str, str], held: str) -> str:
    made = {TIME: name(TIME), TICK: name(TICK), SIGN: f"CAST({sign} AS BIGINT)", **columns}
    return f"SELECT {select(made)}\nFROM `hw_versions`\nWHERE {held}"


def _start(step: Aggregate, at: str) -> str:
    window = step.window
    if window.length:
        return f"{at} - MOD(MOD({at}, {window.length}) + {window.length}, {window.length})"
    if window.unit:
        raise Inexpressible(f"a window of {window.text()}", step.line)
    return f"CAST({WHOLE_START} AS BIGINT)"


def _accumulators(called: str, measure: Measure, field: FieldType | None, line: int) -> dict[str, str]:
    if measure.field is None:
        if measure.function != "count":
            raise Inexpressible(f"the measure {measure.function}", line)
        return {}
    value = name(measure.field)
    counted = f"SUM(CASE WHEN {value} IS NULL THEN CAST(0 AS BIGINT) ELSE {name(SIGN)} END) OVER `w`"
    if measure.function == "count":
        return {called: counted}
    assert field is not None
    if measure.function in ("minimum", "maximum", "count_distinct") and field.kind in _VALUES:
        of = "distinct" if measure.function == "count_distinct" else measure.function
        return {called: f"hw_{_VALUES[field.kind]}_{of}({value}, {name(SIGN)}) OVER `w`"}
    if measure.function == "average" and field.kind == "integer":
        return {called: f"hw_long_total({value}, {name(SIGN)}) OVER `w`", f"~given_{called}": counted}
    if measure.function == "total" and field.kind == "integer":
        return {called: f"hw_long_total({value}, {name(SIGN)}) OVER `w`"}
    raise Inexpressible(f"the measure {measure.function} of {field.required().text()}", line)

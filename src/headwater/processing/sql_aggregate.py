"""GROUP BY of SQL as a fold: fields and one interval of valid time, one measure for each column that is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headwater.errors import CallerFault
from headwater.processing.expressions import Column, Expression
from headwater.processing.graph import FACT_TIMES, Aggregate, Map, Measure, Node, Relation
from headwater.processing.sql_expressions import Reader
from headwater.processing.sql_text import Refused
from headwater.processing.windows import Window, calendar, hopping, session, tumbling, whole

Place = Callable[[Any], tuple[int, int]]
_MEASURES = {"sum": "total", "min": "minimum", "max": "maximum", "avg": "average", "first": "first", "last": "last"}
_WINDOWS: dict[str, tuple[tuple[int, ...], Callable[..., Window]]] = {
    "TUMBLING": ((1,), tumbling),
    "HOPPING": ((2,), lambda length, every: hopping(length, every=every)),
    "CALENDAR": ((1, 2), lambda unit, zone="UTC": calendar(unit, zone=zone)),
    "SESSION": ((1,), session),
    "WHOLE": ((0,), whole),
}
_FIX = "GROUP BY origin, TUMBLING('1h'); or HOPPING('1h', '15min'), CALENDAR('day', 'UTC'), SESSION('30min'), WHOLE()"


@dataclass(frozen=True, slots=True)
class Group:
    """What GROUP BY names: columns of the tree, and the window."""

    columns: tuple[Any, ...]
    window: Window


def group_of(tree: Any, place: Place) -> Group | None:
    """GROUP BY of a SELECT; None where it folds nothing. Raises `Refused`."""
    clause = tree.args.get("group")
    if clause is None:
        for item in tree.expressions:
            if item.unalias().key in ("count", *_MEASURES):
                raise _refused("a measure without GROUP BY", "a fold has a key and an interval", _FIX, place(item))
        return None
    if any(value for key, value in clause.args.items() if key != "expressions"):
        raise _refused("GROUP BY takes fields and one interval", "other forms fold twice", _FIX, place(clause))
    columns, windows = [], []
    for part in clause.expressions:
        if part.key == "column":
            columns.append(part)
        elif part.key == "anonymous" and str(part.this).upper() in _WINDOWS:
            windows.append(_window(part, place))
        else:
            why = "facts are kept by fields that the rows have"
            fix = "compute it in a SELECT inside FROM, and group by its name"
            raise _refused("GROUP BY takes fields and one interval", why, fix, place(part))
    if len(windows) != 1 or not columns:
        raise _refused(
            "GROUP BY names one or more fields and one interval", "a fact holds for one", _FIX, place(clause)
        )
    return Group(tuple(columns), windows[0])


def measured(tree: Any, group: Group, node: Node, relation: Relation, reader: Reader, name: str, place: Place) -> Node:
    """The fold that a SELECT with GROUP BY says, after a map for what it computes before. Raises `Refused`."""
    by = [_name(reader.read(column)) for column in group.columns]
    measures: dict[str, Measure] = {}
    before: dict[str, Expression] = {}
    kept: list[str] = []
    renamed: dict[str, Expression] = {}
    for item in tree.expressions:
        value, out = item.unalias(), item.alias_or_name
        if out in (*measures, *kept, *renamed):
            raise Refused("HW-P159", f"two columns are named '{out}'", "names tell them apart", "AS", place(item))
        if value.key == "column" and not value.is_star:
            found = value.name if value.name in FACT_TIMES and not value.table else _name(reader.read(value))
            if found not in (*by, *FACT_TIMES):
                why = "a fact holds one value of it only if it is grouped by, or measured"
                raise _refused(
                    f"'{value.name}' is not in GROUP BY", why, f"MAX({value.name}), or group by it", place(item)
                )
            if found == out:
                kept.append(out)
            else:
                renamed[out] = Column(found)
            continue
        function, argument = _function(value, place)
        if item.key != "alias":
            raise Refused("HW-P159", "a measure has no name", "a field needs one", "... AS name", place(item))
        if argument is None:
            measures[out] = Measure("count")
            continue
        read = reader.read(argument)
        if not isinstance(read, Column):
            column = f"{out}_of"
            while column in relation.fields or column in before:
                column += "_"
            before[column], read = read, Column(column)
        measures[out] = Measure(function, read.name)
    if not measures:
        raise _refused("nothing is measured", "a fold has one measure or more", "COUNT(*) AS rows", place(tree))
    line = place(tree)[0]
    if before:
        node = Map(node, tuple(before.items()), None, line)
    fold = Aggregate(node, tuple(by), group.window, tuple(measures.items()), name, line)
    if not renamed and set(by) <= set(kept):
        return fold
    return Map(fold, tuple(renamed.items()), (*kept, *measures), line)


def _function(value: Any, place: Place) -> tuple[Any, Any]:
    """The measure's name and argument; the argument None counts rows."""
    more = any(part for key, part in value.args.items() if key not in ("this", "big_int"))
    if value.key == "count" and not more and value.this is not None:
        if value.this.key == "star":
            return "count", None
        if value.this.key == "distinct":
            if len(value.this.expressions) == 1 and not value.this.args.get("on"):
                return "count_distinct", value.this.expressions[0]
        else:
            return "count", value.this
    elif value.key in _MEASURES and not more:
        return _MEASURES[value.key], value.this
    why = "each column of a fold is a field of GROUP BY or one measure"
    fix = "COUNT, SUM, MIN, MAX, AVG, FIRST, LAST, COUNT(DISTINCT x); compute with them in a SELECT around this one"
    raise _refused(f"{value.key.upper()} is no measure", why, fix, place(value))


def _window(part: Any, place: Place) -> Window:
    counts, make = _WINDOWS[str(part.this).upper()]
    words = [word.this for word in part.expressions if word.key == "literal" and word.is_string]
    if len(words) != len(part.expressions) or len(words) not in counts:
        raise _refused(f"{str(part.this).upper()} takes words in quotes", "an interval is constant", _FIX, place(part))
    try:
        return make(*words)
    except CallerFault as fault:
        raise Refused(fault.code, fault.message, fault.detail, fault.hint, place(part)) from None


def _name(found: Expression) -> str:
    assert isinstance(found, Column)
    return found.name


def _refused(message: str, why: str, fix: str, place: tuple[int, int]) -> Refused:
    return Refused("HW-P161", message, why, fix, place)

"""`flow.sql` as the steps that `flow.py` would build: FROM, joins, WHERE, GROUP BY and SELECT, in this order.

A query is read inside out. After each step the fields are known (`relate`), so that a name that means nothing is found
at its own line and column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.processing.expressions import Column, Expression
from headwater.processing.graph import Filter, Graph, JoinAsOf, Map, Node, Port, Relation, Source
from headwater.processing.sql_aggregate import Group, group_of, measured
from headwater.processing.sql_expressions import Reader
from headwater.processing.sql_text import Refused, parse, place_of
from headwater.processing.validation import relate

STEPS_LIMIT = 40  # SELECTs and joins of one flow
_CLAUSES = {
    "order": ("ORDER BY", "a stream has the order of its records", "leave it out"),
    "limit": ("LIMIT", "a stream does not end", "filter with WHERE"),
    "offset": ("OFFSET", "a stream has no place to count from", "filter with WHERE"),
    "having": (
        "HAVING",
        "it is a filter after the fold",
        "SELECT * FROM (SELECT ... GROUP BY ...) AS folded WHERE ...",
    ),
    "distinct": ("DISTINCT", "which rows are the same is a fold", "GROUP BY these fields and WHOLE()"),
    "qualify": ("QUALIFY", "order of arrival decides nothing in a flow", "group by an interval"),
    "windows": ("WINDOW", "order of arrival decides nothing in a flow", "group by an interval"),
}
_FROM_FIX = "SELECT ... FROM departures, with the input's last word or its whole name in quotes"
_JOIN_FIX = "ASOF LEFT JOIN weather AS w ON d.origin = w.origin AND d.occurred_at >= w.valid_from"


def read_sql(text: str, inputs: Sequence[Port], output: Port, file: str) -> Graph:
    """The flow that the text says, over these inputs. Raises `Refused`, `Wrong` or `CallerFault`."""
    tree = parse(text)
    return Graph(_Query(text, tuple(inputs), output, file).select(tree, {}, "aggregate"), tuple(inputs), output, file)


@dataclass(frozen=True, slots=True)
class _Side:
    """What FROM or JOIN names: its alias, its rows; of a joined one the names that its fields were taken under."""

    alias: str
    node: Node
    fields: frozenset[str]
    taken: dict[str, str] = field(default_factory=dict)


class _Query:
    def __init__(self, text: str, inputs: tuple[Port, ...], output: Port, file: str) -> None:
        self._text = text
        self._blank = Graph(Source(0), inputs, output, file)
        self._joined: set[int] = set()
        self._selects = 0

    def select(self, tree: Any, known: Mapping[str, Node], name: str) -> Node:
        """The last step of a SELECT; `known` are the queries of WITH, `name` names its fold."""
        self._clauses(tree)
        self._selects += 1 + len(tree.args.get("joins") or ())
        if self._selects > STEPS_LIMIT:
            fix = "make a product of a part"
            raise self._refused(tree, "HW-P156", "too many SELECTs and joins", f"{STEPS_LIMIT} are the most", fix)
        known = dict(known)
        for common in self._with(tree):
            known[common.alias] = self.select(common.this, known, common.alias)
        base = self._side(tree.args["from_"].this, known)
        sides = [base, *(self._side(join.this, known) for join in tree.args.get("joins") or ())]
        if len({side.alias for side in sides}) < len(sides):
            raise self._refused(tree, "HW-P158", "two inputs of a SELECT have one name", "names tell them apart", "AS")
        group = group_of(tree, self._place)
        node, where = base.node, tree.args.get("where")
        plain = where is not None and not any(
            self._side_of(column, sides) is not base for column in where.find_all(*_columns(tree))
        )
        if plain:
            node = self._filter(node, where, sides)
        node = self._joins(tree, node, sides, group)
        if where is not None and not plain:
            node = self._filter(node, where, sides)
        reader = self._reader(sides)
        if group is not None:
            return measured(tree, group, node, self._relation(node), reader, name, self._place)
        return self._project(tree, node, sides, reader)

    def _project(self, tree: Any, node: Node, sides: list[_Side], reader: Reader) -> Node:
        fields = self._relation(node).fields
        kept: list[str] = []
        computed: dict[str, Expression] = {}
        for item in tree.expressions:
            name, value = item.alias_or_name, item.unalias()
            if value.is_star:
                kept += self._star(value, fields, sides)
                continue
            if not name or (value.key != "column" and item.key != "alias"):
                raise self._refused(
                    item, "HW-P159", "a computed column has no name", "a field needs one", "... AS name"
                )
            if name in kept or name in computed:
                raise self._refused(item, "HW-P159", f"two columns are named '{name}'", "names tell them apart", "AS")
            found = reader.read(value)
            if isinstance(found, Column) and found.name == name:
                kept.append(name)
            else:
                computed[name] = found
        clash = sorted(set(kept) & set(computed))
        if clash:
            message = f"two columns are named '{clash[0]}'"
            raise self._refused(tree, "HW-P159", message, "names tell them apart", "name one otherwise, or leave * out")
        whole = set(kept) >= set(fields) - set(self._relation(node).times)
        if whole and not computed:
            return node
        return Map(node, tuple(computed.items()), None if whole else tuple(dict.fromkeys(kept)), self._line(tree))

    def _star(self, value: Any, fields: Mapping[str, Any], sides: list[_Side]) -> list[str]:
        star = value.this if value.key == "column" else value
        if any(star.args.values()):
            raise self._refused(
                value, "HW-P157", "* takes no EXCLUDE or REPLACE", "it is all fields", "name the fields"
            )
        if value.key == "column":
            if self._side_of(value, sides) is sides[0]:
                return [name for name in fields if name in sides[0].fields]
        elif len(sides) == 1:
            return list(fields)
        fix = f"{sides[0].alias}.*, and the joined fields by name"
        raise self._refused(value, "HW-P157", "* over a join", "joined fields are taken by name", fix)

    def _filter(self, node: Node, where: Any, sides: list[_Side]) -> Node:
        return Filter(node, self._reader(sides).read(where.this), self._line(where))

    def _joins(self, tree: Any, node: Node, sides: list[_Side], group: Group | None) -> Node:
        wanted: dict[str, dict[str, str]] = {side.alias: {} for side in sides[1:]}
        left = set(sides[0].fields)
        for item in () if group is not None else tree.expressions:
            value = item.unalias()
            if value.key == "column" and not value.is_star:
                self._take(value, item.alias_or_name, sides, wanted, left)
        parts = [*tree.expressions, tree.args.get("where"), tree.args.get("group")]
        for part in parts:
            for column in part.find_all(*_columns(tree)) if part is not None else ():
                if not column.is_star:
                    self._take(column, column.name, sides, wanted, left)
        for join, side in zip(tree.args.get("joins") or (), sides[1:], strict=True):
            on = self._on(join, side, sides)
            if not wanted[side.alias]:
                why = "a left join that gives no field changes nothing"
                raise self._refused(join, "HW-P162", f"no field of {side.alias} is used", why, "leave the join out")
            line = self._line(join)
            start = side.node
            while not isinstance(start, Source):
                if not isinstance(start, Map | Filter):
                    why = "state of both sides is kept by the input's key"
                    fix = "join an input, or a SELECT that only maps and filters one"
                    raise self._refused(join, "HW-P162", f"{side.alias} is folded or joined", why, fix)
                start = start.source
            name = f"join_{side.alias}" if start.index in self._joined else ""
            self._joined.add(start.index)
            node = JoinAsOf(node, side.node, on, tuple(wanted[side.alias].items()), name, line)
            side.taken.update({field: name for name, field in reversed(wanted[side.alias].items())})
        return node

    def _take(
        self, column: Any, name: str, sides: list[_Side], wanted: dict[str, dict[str, str]], left: set[str]
    ) -> None:
        side = self._side_of(column, sides)
        if side is sides[0] or column.name in wanted[side.alias].values():
            return
        if name in left:
            name = f"{side.alias}_{column.name}"
        while name in left:
            name += "_"
        left.add(name)
        wanted[side.alias][name] = column.name

    def _on(self, join: Any, side: _Side, sides: list[_Side]) -> tuple[tuple[str, str], ...]:
        more = [
            key for key, value in join.args.items() if value and key not in ("this", "method", "side", "on", "kind")
        ]
        asof = join.args.get("method") == "ASOF" and join.args.get("side") == "LEFT"
        if more or not asof or join.args.get("kind") not in (None, "", "OUTER") or join.args.get("on") is None:
            why = "rows meet what held at their instant, and stay where nothing did"
            raise self._refused(join, "HW-P162", "only ASOF LEFT JOIN ... ON joins streams", why, _JOIN_FIX)
        pairs, timed = [], False
        for part in join.args["on"].flatten() if join.args["on"].key == "and" else [join.args["on"]]:
            first, second, key = part.this, part.args.get("expression"), part.key
            if key not in ("eq", "gte", "lte") or {getattr(first, "key", ""), getattr(second, "key", "")} != {"column"}:
                raise self._refused(part, "HW-P162", "ON pairs fields", "a join is by equal fields", _JOIN_FIX)
            if self._side_of(first, sides) is side:
                first, second, key = second, first, {"gte": "lte", "lte": "gte"}.get(key, key)
            if self._side_of(first, sides) is side or self._side_of(second, sides) is not side:
                raise self._refused(part, "HW-P162", "ON pairs one side's field with the other's", "", _JOIN_FIX)
            if key == "eq":
                pairs.append((self._column(first, sides).name, second.name))
                continue
            instant = self._relation(sides[0].node).instant
            if timed or key != "gte" or (first.name, second.name) != (instant, "valid_from"):
                why = "that is the instant at which the other side's fact must hold"
                message = f"the one comparison of times is {sides[0].alias}.{instant} >= {side.alias}.valid_from"
                raise self._refused(part, "HW-P162", message, why, _JOIN_FIX)
            timed = True
        if not timed or not pairs:
            raise self._refused(join, "HW-P162", "ON lacks the instant or the fields", "both say what meets", _JOIN_FIX)
        return tuple(pairs)

    def _side(self, part: Any, known: Mapping[str, Node]) -> _Side:
        allowed = {"this", "alias", "db"}
        if part.key not in ("table", "subquery") or any(v for k, v in part.args.items() if k not in allowed):
            raise self._refused(part, "HW-P157", "FROM names an input or a SELECT", "others are no streams", _FROM_FIX)
        alias = part.args.get("alias")
        if alias is not None and alias.args.get("columns"):
            raise self._refused(part, "HW-P157", "an alias takes no list of columns", "", "name them in the SELECT")
        if part.key == "subquery":
            if not part.alias:
                raise self._refused(part, "HW-P159", "a SELECT inside FROM has no name", "", "(SELECT ...) AS name")
            node = self.select(part.this, known, part.alias)
        elif part.this.key != "identifier":
            raise self._refused(part, "HW-P157", "FROM takes no function", "it has no rows of its own", _FROM_FIX)
        else:
            node = self._named(part, known)
        name = part.alias_or_name.rpartition(".")[2]
        return _Side(name, node, frozenset(self._relation(node).fields))

    def _named(self, part: Any, known: Mapping[str, Node]) -> Node:
        name = f"{part.db}.{part.name}" if part.db else part.name
        if name in known:
            return known[name]
        whole = [str(port.product) for port in self._blank.inputs]
        found = [index for index, product in enumerate(whole) if name in (product, product.rpartition(".")[2])]
        if len(found) == 1:
            return Source(found[0])
        message = f"there is no input '{name[:60]}'" if not found else f"'{name[:60]}' could be two inputs"
        why = f"the inputs are {', '.join(whole)}"
        raise self._refused(part, "HW-P158", message, why, "write the whole name in quotes, or add it to inputs")

    def _side_of(self, column: Any, sides: list[_Side]) -> _Side:
        alias = column.table
        if column.args.get("db"):
            raise self._refused(column, "HW-P158", "a field has one name before it", "", "alias.field")
        if not alias:
            found = [side for side in sides if column.name in side.fields] if not column.is_star else sides[:1]
            if len(found) > 1:
                fix = f"write {found[0].alias}.{column.name} or {found[1].alias}.{column.name}"
                message = f"'{column.name}' is a field of both sides"
                raise self._refused(column, "HW-P158", message, "a guess could be wrong", fix)
        else:
            found = [side for side in sides if side.alias == alias]
            if not found:
                names = ", ".join(side.alias for side in sides)
                raise self._refused(column, "HW-P158", f"there is nothing named '{alias[:40]}'", names, "use its alias")
        if not column.is_star and (not found or column.name not in found[0].fields):
            names = ", ".join(sorted({name for side in found or sides for name in side.fields}))
            message = f"there is no field '{column.name[:60]}' here"
            raise self._refused(column, "HW-P010", message, f"the fields are {names}", "")
        return found[0]

    def _column(self, column: Any, sides: list[_Side]) -> Column:
        side = self._side_of(column, sides)
        if side is not sides[0] and column.name not in side.taken:
            why, fix = "a later join reads what an earlier one gave", f"put {side.alias} first, and SELECT the field"
            raise self._refused(column, "HW-P162", f"'{column.name}' of {side.alias} is not taken yet", why, fix)
        return Column(column.name if side is sides[0] else side.taken[column.name])

    def _reader(self, sides: list[_Side]) -> Reader:
        return Reader(lambda column: self._column(column, sides), self._place)

    def _with(self, tree: Any) -> list[Any]:
        clause = tree.args.get("with_")
        if clause is None:
            return []
        if clause.args.get("recursive") or any(part.args["alias"].args.get("columns") for part in clause.expressions):
            raise self._refused(clause, "HW-P157", "WITH is not recursive and names no columns", "", "plain WITH")
        return list(clause.expressions)

    def _clauses(self, tree: Any) -> None:
        if tree.key != "select":
            why, fix = "only SELECT is read here", "several inputs as one: .union(...) in flow.py"
            raise self._refused(tree, "HW-P157", f"SQL flows do not know {tree.key.upper()}", why, fix)
        for key, value in tree.args.items():
            if value and key not in ("expressions", "from_", "joins", "where", "group", "with_"):
                name, why, fix = _CLAUSES.get(
                    key, (key.strip("_").upper(), "it has no equivalent in a flow", "flow.py")
                )
                place = value if hasattr(value, "walk") else tree
                raise self._refused(place, "HW-P157", f"SQL flows do not know {name}", why, fix)
        if tree.args.get("from_") is None:
            raise self._refused(tree, "HW-P157", "the SELECT has no FROM", "rows come from an input", _FROM_FIX)

    def _relation(self, node: Node) -> Relation:
        return relate(self._blank, node)

    def _place(self, node: Any) -> tuple[int, int]:
        return place_of(node, self._text)

    def _line(self, node: Any) -> int:
        return self._place(node)[0]

    def _refused(self, node: Any, code: str, message: str, why: str, fix: str) -> Refused:
        return Refused(code, message, why, fix, self._place(node))


def _columns(tree: Any) -> tuple[type, ...]:
    return tuple({type(part) for part in tree.walk() if part.key == "column"}) or (type(None),)

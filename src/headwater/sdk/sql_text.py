"""What an SQL query over products asks for: one SELECT of known syntax and functions, and the products that it reads.

Nobody's SQL reaches the database as it was written. It is parsed, every part of it is held against a list, and what is
run is written anew from the tree: what the list does not name (files, settings, other statements, functions that make
much out of little) cannot be said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwater.errors import CallerFault
from headwater.naming import ProductName
from headwater.processing.sql_text import Refused, parse, place_of
from headwater.sdk.sql_filters import Literal, equalities

_SYNTAX_WORDS = """
add alias all and any array between boolean bracket case cast column cte cube datatype datatypeparam distinct div
dot dpipe eq escape except exists filter from group groupingsets gt gte having identifier if ignorenulls ilike in
intdiv intersect interval is join like limit literal lt lte mod mul neg neq not null nullsafeeq nullsafeneq offset
or order ordered paren propertyeq qualify respectnulls rollup schema select star struct sub subquery table
tablealias trycast tuple union unnest values var where window windowspec with withinggroup
"""
_FUNCTION_WORDS = """
abs any_value approx_count_distinct arg_max arg_min array_agg avg bool_and bool_or cast ceil ceiling coalesce concat
contains corr count count_if covar_pop covar_samp cume_dist date_diff date_part date_sub date_trunc day dayname
dayofweek dayofyear dense_rank element_at ends_with epoch epoch_ms epoch_us exp extract first first_value floor
greatest histogram hour if ifnull isfinite isnan lag last last_day last_value lead least left len length list
list_contains list_extract listagg ln log log10 log2 lower ltrim make_date map_keys map_values max max_by median min
min_by minute mod mode month monthname now nth_value ntile nullif percent_rank pow power quantile_cont quantile_disc
quarter rank regexp_extract regexp_matches replace right round row_number rtrim second sign split_part sqrt
starts_with stddev stddev_pop stddev_samp strftime string_agg strpos substr substring sum time_bucket to_days
to_hours to_minutes to_seconds to_timestamp trim trunc try_cast typeof unnest upper var_pop var_samp variance week
year
"""
_SYNTAX, _FUNCTIONS = frozenset(_SYNTAX_WORDS.split()), frozenset(_FUNCTION_WORDS.split())
_CALL = re.compile(r"([A-Za-z_0-9]+)\(")
_LOOSE = ("kwarg", "anonymous")  # seen where a product is asked for, and judged there


@dataclass(frozen=True, slots=True)
class Asked:
    """A product as a query asks for it. `table` is the name that the query's text has for it: schema and table.

    `equal` are the columns that must equal a literal, so that no other rows have to be read.
    """

    product: str
    table: tuple[str, str]
    valid: str | None = None
    recorded: str | None = None
    history: bool = False
    equal: Mapping[str, Literal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """The text to be run, and what its tables are to hold."""

    text: str
    asked: tuple[Asked, ...]


def read_query(text: str) -> Query:
    """The query that a text asks; raises `CallerFault` HW-K064 with the place of what it may not say.

    >>> query = read_query("select max(delay) from as_of('flights.departures', recorded => '2026-11-28T00:00Z')")
    >>> query.asked[0].product, query.asked[0].recorded
    ('flights.departures', '2026-11-28T00:00Z')
    >>> query.text
    'SELECT MAX(delay) FROM asked.number_1 AS departures'
    """
    try:
        tree = parse(text, name="the query")
        return _Reading(tree, text).query()
    except Refused as refused:
        line, column = refused.place
        raise CallerFault(
            f"{refused.message} (line {line}, column {column})", code="HW-K064", detail=refused.why, hint=refused.fix
        ) from None


class _Reading:
    def __init__(self, tree: Any, text: str) -> None:
        self._tree = tree
        self._text = text
        self._asked: list[Asked] = []

    def query(self) -> Query:
        steps = {cte.alias.lower() for cte in self._tree.find_all(_expressions().CTE)}
        for table in list(self._tree.find_all(_expressions().Table)):
            self._table(table, steps)
        for node in self._tree.walk():
            self._judge(node)
        if not self._asked:
            raise self._refused(self._tree, "the query reads no product", "name one, as airports.hourly_punctuality")
        return Query(self._tree.sql(dialect="duckdb"), tuple(self._asked))

    def _table(self, table: Any, steps: set[str]) -> None:
        inner = table.this
        if inner is None:  # of a statement that has no place here
            raise self._refused(table, "a query cannot read what has no name", "read products by their names")
        if inner.key == "anonymous":
            self._function(table)
        elif inner.key != "identifier" or any(
            table.args.get(part) for part in ("catalog", "sample", "changes", "when")
        ):
            raise self._refused(table, f"a query cannot read {_shown(table)}", "read products by their names")
        elif table.db:
            name, place = (
                self._product(table, f"{table.db}.{table.name}".lower()),
                (table.db.lower(), table.name.lower()),
            )
            before = next((one for one in self._asked if one.table == place), None)
            if before is None:
                self._asked.append(Asked(name, place, equal=equalities(table)))
            else:  # read once for both, so that no filter is one of all
                self._asked[self._asked.index(before)] = replace(before, equal={})
        elif table.name.lower() not in steps:
            fix = "give the domain too, as airports.hourly_punctuality; or name a step of WITH"
            raise self._refused(table, f"'{table.name[:60]}' is no product", fix)

    def _function(self, table: Any) -> None:
        """`as_of` and `history` in place of a table: their arguments are told before anything runs."""
        call = table.this
        name, arguments = str(call.this).lower(), list(call.expressions)
        if name not in ("as_of", "history") or not arguments or not _text_of(arguments[0]):
            fix = "read a product by its name, by as_of('domain.product', …), or by history('domain.product', …)"
            raise self._refused(table, f"a query cannot read {_shown(call)}", fix)
        moments: dict[str, str] = {}
        for argument in arguments[1:]:
            which = argument.this.name.lower() if argument.key == "kwarg" else ""
            moment = _text_of(argument.expression) if which else ""
            if which not in ("valid", "recorded") or not moment or (name == "history" and which == "valid"):
                fix = "give valid => '…' or recorded => '…' with ISO 8601 text that has a zone; history takes recorded"
                raise self._refused(table, f"{name} does not take {_shown(argument)}", fix)
            moments[which] = moment
        product = self._product(table, _text_of(arguments[0]))
        place = ("asked", f"number_{len(self._asked) + 1}")
        history, equal = name == "history", equalities(table)
        self._asked.append(Asked(product, place, moments.get("valid"), moments.get("recorded"), history, equal))
        if not table.alias:
            table.set(
                "alias",
                _expressions().TableAlias(this=_expressions().to_identifier(product.split(".")[1].rpartition("/")[2])),
            )
        table.set("this", _expressions().to_identifier(place[1]))
        table.set("db", _expressions().to_identifier(place[0]))

    def _product(self, table: Any, name: str) -> str:
        try:
            return str(ProductName.parse(name))
        except CallerFault:
            fix = "a product is named as airports.hourly_punctuality"
            raise self._refused(table, f"'{name[:60]}' is no name of a product", fix) from None

    def _judge(self, node: Any) -> None:
        if node.key in _SYNTAX:
            return
        called = _CALL.match(node.sql(dialect="duckdb")) if isinstance(node, _expressions().Func) else None
        if called is None or called[1].lower() not in _FUNCTIONS:
            what = f"the function {called[1].lower()}" if called else f"{node.key.upper()} ({_shown(node)})"
            raise self._refused(node, f"a query cannot use {what}", "docs/concepts/sql.md lists what it can use")

    def _refused(self, node: Any, message: str, fix: str) -> Refused:
        why = "a query reads products, and nothing else of the machine that it runs on"
        return Refused("HW-K064", message, why, fix, place_of(node, self._text))


def functions() -> tuple[str, ...]:
    """The functions that a query may use, sorted."""
    return tuple(sorted(_FUNCTIONS))


def _text_of(node: Any) -> str:
    while node.key == "cast":  # TIMESTAMP '…' is a cast of a text
        node = node.this
    return str(node.this) if node.key == "literal" and node.is_string else ""


def _shown(node: Any) -> str:
    text = node.sql(dialect="duckdb")
    return text if len(text) <= 60 else f"{text[:60]}…"


def _expressions() -> Any:
    import sqlglot.expressions

    return sqlglot.expressions

"""Expressions of SQL as those of flows: only what means exactly the same; all else is refused at its place."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from headwater.processing.expressions import Call, Choice, Expression, Literal
from headwater.processing.sql_text import DEPTH_LIMIT, Refused

LIST_LIMIT = 100
SIZE_LIMIT = 5_000
_INTEGERS = range(-(2**63), 2**63)
_PAIRS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "eq": "equal",
    "neq": "unequal",
    "lt": "less",
    "lte": "less_or_equal",
    "gt": "greater",
    "gte": "greater_or_equal",
    "and": "and",
    "or": "or",
}
_ALLOWED = {
    **{key: {"this", "expression", "typed", "safe"} for key in _PAIRS},
    "between": {"this", "low", "high"},
    "case": {"this", "ifs", "default"},
    "coalesce": {"this", "expressions"},
    "in": {"this", "expressions"},
    "is": {"this", "expression"},
}
_WHYS = {
    "mod": ("SQL rounds towards zero, and flows towards minus infinity", "use flow.py: col(...) % ..."),
    "intdiv": ("SQL rounds towards zero, and flows towards minus infinity", "use flow.py: col(...) // ..."),
    "cast": ("a value keeps the type that its schema says", "leave the cast out, or compute with a literal"),
    "window": ("order of arrival decides nothing in a flow", "group by an interval, for example TUMBLING('1h')"),
    "subquery": ("a value comes from the row itself", "join it: ASOF LEFT JOIN"),
}
_KNOWN = "known are + - * /, comparisons, AND, OR, NOT, IS NULL, IN, BETWEEN, CASE, COALESCE, ABS"


class Reader:
    """Reads expressions; `column` says what a name means, `place` where a part stands."""

    def __init__(self, column: Callable[[Any], Expression], place: Callable[[Any], tuple[int, int]]) -> None:
        self._column, self._place = column, place
        self._at = (1, 1)  # of what was read last
        self._sizes: dict[int, tuple[int, int, Expression]] = {}

    def read(self, node: Any) -> Expression:
        """The expression of a part of the tree. Raises `Refused`."""
        if node is None:  # sqlglot lets a sign stand without its operand
            why, fix = "each sign and function has its operands", "mend this place"
            raise Refused("HW-P155", "flow.sql is not SQL: an operand is missing", why, fix, self._at)
        place = self._place(node)
        self._at = self._at if place == (1, 1) else place  # a part without words has no place
        found = self._read(node)
        size, depth, _ = self._size(found)
        if size > SIZE_LIMIT or depth > DEPTH_LIMIT:
            why = "IN, BETWEEN and CASE repeat what stands before them, once for each value"
            raise Refused("HW-P156", "the expression is too large", why, "take it apart with WITH", self._place(node))
        return found

    def _size(self, expression: Expression) -> tuple[int, int, Expression]:
        # What is shared counts as often as it is evaluated; kept by identity, so that counting costs no more than it.
        known = self._sizes.get(id(expression))
        if known is None:
            parts: tuple[Expression, ...] = ()
            if isinstance(expression, Call):
                parts = expression.arguments
            elif isinstance(expression, Choice):
                parts = (*(part for branch in expression.branches for part in branch), expression.rest)
            sizes = [self._size(part) for part in parts]
            size = 1 + sum(size for size, _, _ in sizes)
            known = size, 1 + max((depth for _, depth, _ in sizes), default=0), expression
            self._sizes[id(expression)] = known
        return known

    def _read(self, node: Any) -> Expression:
        key = node.key
        self._only(node, _ALLOWED.get(key))
        if key in _PAIRS:
            return Call(_PAIRS[key], (self.read(node.this), self.read(node.expression)))
        if key == "column" and node.this.key == "identifier":
            return self._column(node)
        if key == "paren":
            return self.read(node.this)
        if key in ("literal", "boolean", "null"):
            return Literal(self._literal(node))
        if key == "neg":
            inner = self.read(node.this)
            return Literal(-inner.value) if node.this.is_number and isinstance(inner, Literal) else -inner
        if key in ("not", "abs"):
            return Call("not" if key == "not" else "absolute", (self.read(node.this),))
        if key == "is" and node.expression.key == "null":
            return self.read(node.this).is_null()
        if key == "between":
            value = self.read(node.this)
            return (value >= self.read(node.args["low"])) & (value <= self.read(node.args["high"]))
        if key == "in" and node.expressions:
            return self.read(node.this).is_in([self.read(part) for part in self._listed(node)])
        if key == "coalesce":
            *others, found = [self.read(node.this), *(self.read(part) for part in self._listed(node))]
            for value in reversed(others):
                found = value.coalesce(found)
            return found
        if key == "case":
            return self._case(node)
        raise self._unknown(node)

    def _case(self, node: Any) -> Expression:
        operand = None if node.this is None else self.read(node.this)
        branches = []
        for part in node.args["ifs"]:
            asked = self.read(part.this)
            branches.append((asked if operand is None else operand == asked, self.read(part.args["true"])))
        rest = node.args.get("default")
        return Choice(tuple(branches), Literal(None) if rest is None else self.read(rest))

    def _literal(self, node: Any) -> object:
        if node.key != "literal":
            return bool(node.this) if node.key == "boolean" else None
        text = node.this
        if node.is_string:
            return text
        if text.isdigit():
            value = int(text) if len(text) < 20 else 2**64
            if value not in _INTEGERS:
                why, fix = "integers have 64 bits", "write a smaller one"
                raise Refused("HW-P160", "this integer is too great", why, fix, self._place(node))
            return value
        return float(text) if "e" in text.lower() else Decimal(text)

    def _listed(self, node: Any) -> list[Any]:
        parts: list[Any] = node.expressions
        if len(parts) > LIST_LIMIT:
            why, fix = f"{LIST_LIMIT} values are the most in one list", "join a product that holds them"
            raise Refused("HW-P156", f"the list has {len(parts)} values", why, fix, self._place(node))
        return parts

    def _only(self, node: Any, allowed: set[str] | None) -> None:
        more = [] if allowed is None else [name for name, value in node.args.items() if value and name not in allowed]
        if more:
            raise self._unknown(node)

    def _unknown(self, node: Any) -> Refused:
        key = node.key
        name = str(node.this) if key == "anonymous" else key.upper()
        why, fix = _WHYS.get(key, ("it has no exact equivalent in a flow", f"{_KNOWN}; or write flow.py"))
        return Refused("HW-P160", f"SQL flows do not know {name[:40]}", why, fix, self._place(node))

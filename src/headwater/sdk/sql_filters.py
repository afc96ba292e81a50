"""What a query's filters say of a product's key, so that no more is read than the key's records.

Only what cannot change the answer is used: `column = literal`, joined by AND, in the WHERE of the SELECT that names the
product in its FROM or a JOIN. The filter stays in the query as well. Rows that such a filter takes away could not have
come through: a row that an outer join fills with NULL is equal to no literal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headwater.mesh.products import ResolvedOutput

Literal = str | int
_TEXT, _WHOLE = ("string",), ("int", "long")


def equalities(table: Any) -> Mapping[str, Literal]:
    """The columns of a table that must equal a literal, by their names in small letters."""
    place = table.parent
    select = place.parent if place is not None and place.key in ("from", "join") else None
    if select is None or select.key != "select" or select.args.get("where") is None:
        return {}
    alone = not select.args.get("joins") and len(list(select.args["from_"].find_all(type(table)))) == 1
    found: dict[str, Literal] = {}
    for condition in _joined(select.args["where"].this):
        if condition.key != "eq":
            continue
        column, literal = condition.this, condition.expression
        if column.key != "column":
            column, literal = literal, column
        value = _value(literal)
        # Without a name before it, a column may be that of another table.
        mine = column.key == "column" and (
            column.table.lower() == table.alias_or_name.lower() if column.table else alone
        )
        if mine and value is not None:
            found.setdefault(column.name.lower(), value)
    return found


def key_of(output: ResolvedOutput, equal: Mapping[str, Literal]) -> tuple[Literal, ...] | None:
    """The key that a query asks for, in the order of its fields; None where it does not say it whole.

    A literal of another type than the field's is left to the database, which may convert it.
    """
    fields = {field.name: field.type.kind for field in output.schema.fields}
    values: list[Literal] = []
    for name in output.output.key:
        value = equal.get(name.lower())
        if fields[name] not in (_TEXT if isinstance(value, str) else _WHOLE if isinstance(value, int) else ()):
            return None
        assert value is not None
        values.append(value)
    return tuple(values)


def _joined(condition: Any) -> Iterator[Any]:
    if condition.key == "paren":
        yield from _joined(condition.this)
    elif condition.key == "and":
        yield from _joined(condition.this)
        yield from _joined(condition.expression)
    else:
        yield condition


def _value(node: Any) -> Literal | None:
    if node.key != "literal":
        return None
    text = str(node.this)
    if node.is_string:
        return text
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None

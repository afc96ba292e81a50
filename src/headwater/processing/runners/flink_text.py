"""What Flink SQL is written with: names and texts quoted so that nothing in them is read as SQL, types.

Names of the job's own begin with `~`, which no field of an Avro schema may hold: they never meet a field's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headwater.processing.field_types import FieldType

TYPES: Mapping[str, str] = {
    "integer": "BIGINT",
    "instant": "BIGINT",  # microseconds: a TIMESTAMP of Avro's micros is refused by Flink's format
    "double": "DOUBLE",
    "string": "STRING",
    "boolean": "BOOLEAN",
}
_TAKEN = ("window_start", "window_end", "window_time")  # columns that a window function adds


def name(text: str) -> str:
    """A name in backticks.

    >>> name("origin"), name("a`b"), name("window_end")
    ('`origin`', '`a``b`', '`~window_end`')
    """
    return "`" + (f"~{text}" if text in _TAKEN else text).replace("`", "``") + "`"


def names(texts: Iterable[str]) -> str:
    """Names, separated by commas."""
    return ", ".join(map(name, texts))


def text(value: str) -> str:
    """A text in quotes.

    >>> text("O'Hare'); DROP TABLE x")
    "'O''Hare''); DROP TABLE x'"
    """
    return "'" + value.replace("'", "''") + "'"


def type_of(type_: FieldType) -> str:
    """The SQL type of a kind that Flink carries; `KeyError` for another."""
    return TYPES[type_.kind]


def select(columns: Mapping[str, str]) -> str:
    """The list of a SELECT: each name with what it is made of.

    >>> select({"origin": "`origin`", "n": "1"})
    '`origin`, 1 AS `n`'
    """
    return ", ".join(made if made == name(one) else f"{made} AS {name(one)}" for one, made in columns.items())


def view(called: str, body: str) -> str:
    """A view that lives as long as the session."""
    return f"CREATE TEMPORARY VIEW {name(called)} AS\n{body}"


def options(values: Mapping[str, object]) -> str:
    """What stands after WITH."""
    return "(\n  " + ",\n  ".join(f"{text(key)} = {text(str(value))}" for key, value in values.items()) + "\n)"

"""The rule of as-of answers as SQL over Parquet files, for an engine that reads only what it needs of them.

`docs/concepts/lake.md` shows the same by hand. Of one identity the highest revision speaks, and of those with it the
first; of a key's facts at a moment the last that was written. Filters of the query around it reach the files, as far as
they are on the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from headwater.ports.lake.reading import Column, Scan
from headwater.ports.lake.table import OFFSET, PLACE, RECORDED
from headwater.timeline.instant import Instant

_PLAIN_TYPES = ("BOOLEAN", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "VARCHAR")


def scan_sql(scan: Scan) -> str | None:
    """All rows of the files; None where a default has no text that all of its type understand.

    >>> scan_sql(Scan((), (Column(1, "x", "BIGINT"),), None))
    'SELECT CAST(NULL AS BIGINT) AS "x" WHERE false'
    """
    if not scan.paths:
        nothing = ", ".join(f"CAST(NULL AS {column.type}) AS {quoted(column.name)}" for column in scan.columns)
        return f"SELECT {nothing} WHERE false"
    if not all(_plain(column) for column in scan.columns):
        return None
    columns = ", ".join(
        f"{column.id}: {{name: {text(column.name)}, type: {text(column.type)}, default_value: {_default(column)}}}"
        for column in scan.columns
    )
    paths = ", ".join(map(text, scan.paths))
    return f"SELECT * FROM read_parquet([{paths}], schema = MAP {{{columns}}})"


def history_sql(rows: str, names: Sequence[str], recorded_to: Instant | None) -> str:
    """Every record, as it was published up to then."""
    return f"SELECT {_list(names)} FROM ({rows}){_where(recorded_to)}"


def as_of_sql(
    rows: str,
    names: Sequence[str],
    key: Sequence[str],
    *,
    shape: Literal["event", "fact"],
    valid_at: Instant | None,
    recorded_to: Instant | None,
) -> str | None:
    """What is true then; None for facts whenever, whose intervals have to be cut by those of later ones."""
    if shape == "event":
        newest = _newest(f"({rows}){_where(recorded_to)}", ["event_id"])
        occurred = f" AND occurred_at <= {moment(valid_at)}" if valid_at is not None else ""
        return f"SELECT {_list(names)} FROM ({newest}) WHERE kind <> 'retract'{occurred}"
    if valid_at is None:
        return None
    at = moment(valid_at)
    holds = f"valid_from <= {at} AND (valid_to IS NULL OR valid_to > {at})"
    newest = _newest(f"({rows}){_where(recorded_to, holds)}", [*key, "valid_from", "valid_to"])
    last = f"row_number() OVER (PARTITION BY {_list(key)} ORDER BY {OFFSET} DESC) = 1"
    return f"SELECT {_list(names)} FROM ({newest}) QUALIFY {last} AND kind <> 'retract'"


def moment(at: Instant) -> str:
    """An instant in DuckDB's SQL.

    >>> moment(Instant(0))
    'make_timestamptz(0)'
    """
    return f"make_timestamptz({int(at)})"


def quoted(name: str) -> str:
    """A name."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text."""
    return "'" + value.replace("'", "''") + "'"


def _newest(rows: str, identity: Sequence[str]) -> str:
    order = f"ORDER BY revision DESC, {OFFSET} ASC"
    return f"SELECT * FROM {rows} QUALIFY row_number() OVER (PARTITION BY {_list(identity)} {order}) = 1"


def _where(recorded_to: Instant | None, *more: str) -> str:
    parts = [*([f"{RECORDED} <= {moment(recorded_to)}"] if recorded_to is not None else []), *more]
    return f" WHERE {' AND '.join(parts)}" if parts else ""


def _list(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names if name not in PLACE)


def _plain(column: Column) -> bool:
    if column.default is None:
        return True
    known = isinstance(column.default, bool | int | float | str | Decimal)
    return known and (column.type in _PLAIN_TYPES or column.type.startswith("DECIMAL"))


def _default(column: Column) -> str:
    return "NULL" if column.default is None else text(str(column.default))

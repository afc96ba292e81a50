"""The cell that a query runs in: a process of its own, with DuckDB, its tables, and nothing else.

It reads its work from stdin, writes its answer to stdout, and ends. It cannot open sockets by SQL, nor files but those
of the tables that it was given (`ports/lake`), which it can only read. Its memory and time are bounded, and whoever
started it kills it at the deadline: DuckDB was seen to ignore an interrupt for seconds. Started as
`python -m headwater.sdk.sql_cell` by `headwater.sdk.query`.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa

_OUTSIDE_MEGABYTES = 2_048  # of address space, beside what DuckDB may take: the libraries, and the tables as they come
_SETTINGS = (
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "allow_community_extensions = false",
    "python_enable_replacements = false",  # else a table's name could be a variable of this program
    "TimeZone = 'UTC'",
    "lock_configuration = true",
)


def serve(work: BinaryIO, answer: BinaryIO) -> None:
    """Run one query: a line of JSON, then the tables as Arrow streams; a line of JSON comes back, then the result."""
    asked = json.loads(work.readline())
    _bound(asked["memory_megabytes"], asked["seconds"])
    options = {
        "memory_limit": f"{asked['memory_megabytes']}MB",
        "temp_directory": "",  # nothing is spilled to files: what does not fit is refused
        "threads": "1",
    }
    try:
        with duckdb.connect(":memory:", config=options) as connection:
            paths = ", ".join("'" + path.replace("'", "''") + "'" for path in asked["paths"])
            connection.execute(f"SET allowed_paths = [{paths}]")
            connection.execute("SET enable_external_access = false")
            for (schema, table), rows in _tables(work, asked["tables"]):
                connection.register("given", rows)
                connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
                connection.execute(f'CREATE TABLE "{schema}"."{table}" AS SELECT * FROM given')
                connection.unregister("given")
            for schema, table, sql in asked["views"]:
                connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
                connection.execute(f'CREATE VIEW "{schema}"."{table}" AS {sql}')
            for setting in _SETTINGS:
                connection.execute(f"SET {setting}")
            found = connection.execute(asked["text"]).to_arrow_reader(10_000)
            _write(answer, found, asked["rows"])
    except duckdb.Error as error:
        answer.write(json.dumps({"error": type(error).__name__, "said": str(error)[:2_000]}).encode() + b"\n")


def _write(answer: BinaryIO, found: Any, limit: int) -> None:
    batches, count = [], 0
    for batch in found:
        batches.append(batch.slice(0, limit - count))
        count += batches[-1].num_rows
        if count >= limit:
            break
    rows = pa.Table.from_batches(batches, found.schema)
    answer.write(json.dumps({"rows": count}).encode() + b"\n")
    with pa.ipc.new_stream(answer, rows.schema) as stream:
        stream.write_table(rows)


def _tables(work: BinaryIO, tables: list[Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    for schema, table, size in tables:
        yield (schema, table), pa.ipc.open_stream(work.read(size)).read_all()


def _bound(memory_megabytes: int, seconds: float) -> None:
    """No file may be written, memory and time of the processor are bounded."""
    memory = (memory_megabytes + _OUTSIDE_MEGABYTES) * 1_048_576
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 5, int(seconds) + 5))


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)

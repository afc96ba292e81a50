"""A saboteur of S6: a cell without walls. It runs what it is told with the database as it comes."""

from __future__ import annotations

import json
import sys

import duckdb
import pyarrow as pa


def main() -> None:
    """One query: the same words in and out as `headwater.sdk.sql_cell`."""
    work, answer = sys.stdin.buffer, sys.stdout.buffer
    asked = json.loads(work.readline())
    with duckdb.connect(":memory:") as connection:
        for schema, table, size in asked["tables"]:
            connection.register("given", pa.ipc.open_stream(work.read(size)).read_all())
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            connection.execute(f'CREATE TABLE "{schema}"."{table}" AS SELECT * FROM given')
        try:
            rows = connection.execute(asked["text"]).to_arrow_table()
        except duckdb.Error as error:
            answer.write(json.dumps({"error": type(error).__name__, "said": str(error)[:2_000]}).encode() + b"\n")
            return
    answer.write(json.dumps({"rows": rows.num_rows}).encode() + b"\n")
    with pa.ipc.new_stream(answer, rows.schema) as stream:
        stream.write_table(rows)


if __name__ == "__main__":
    main()

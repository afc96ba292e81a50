"""W7, the half that is the lake: an as-of question over ten million records, beside a plain scan of the same files.

`python -m bench.w7` fills a table of the lake by the store that is shipped (facts of 2,000 keys by the hour, three
revisions of each, recorded over ten days), and asks it as of a valid and a recorded moment by the SQL that
`headwater.query(…, port="lake")` runs, in DuckDB with one thread. The floor is a scan of the same columns of the same
files by the same DuckDB. Each answer is held against what was written. `bench/w7_serving.py` is the other half.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import numpy as np
import pyarrow as pa

from bench.machine import describe
from headwater.ports.access import DenyClassified
from headwater.ports.answers import Question
from headwater.ports.lake.catalog_iceberg import IcebergLake, open_catalog
from headwater.ports.lake.progress import Progress
from headwater.ports.lake.rows import LakeRows
from headwater.ports.lake.sql import moment
from headwater.ports.lake.table import commit
from headwater.sdk.lake import Lazy, read_source
from headwater.testing.source_products import stock_facts
from headwater.timeline.instant import Instant

KEYS, REVISIONS, DAYS = 2_000, 3, 10
HOUR, DAY = 3_600_000_000, 86_400_000_000
PRODUCT = stock_facts(ports=("topic", "lake"))
TARGET = 1.3  # times the scan


def main() -> int:
    """Exit 0 where the answers are right and the aim is reached, 1 where not."""
    arguments = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="w7", dir=arguments.folder))
    try:
        found = measure(folder, arguments.records, arguments.rounds)
    finally:
        shutil.rmtree(folder)
    print(json.dumps({**found, "machine": describe()}, indent=1))
    return 0 if found["verified"] and found["met"] else 1


def measure(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    """Fill a table with so many records, and ask it so many times."""
    lake = IcebergLake(open_catalog({"uri": f"sqlite:///{folder}/c.db", "warehouse": f"file://{folder}/t"}))
    started = time.process_time()
    fill(lake, count)
    filled = time.process_time() - started
    valid, recorded = Instant(count // (KEYS * REVISIONS) // 3 * HOUR + 1), Instant(DAYS * DAY // 2)
    source = lake.source(PRODUCT)
    lazy = read_source(PRODUCT, source, Question(valid, recorded), history=False)
    scan = source.scan(None)
    assert isinstance(lazy, Lazy) and scan is not None
    connection = duckdb.connect(config={"threads": "1"})
    connection.execute("SET TimeZone = 'UTC'")
    files = f"read_parquet({list(scan.paths)})"
    names = [field.name for field in PRODUCT.output.schema.fields]
    every = ", ".join(f"max({name})" for name in names)
    answer = connection.execute(f"SELECT place, count FROM ({lazy.sql})").fetchall()
    asked = {
        "scan": f"SELECT {every} FROM {files}",
        "filtered_scan": f"SELECT {every}, count(*) FROM {files} WHERE {_holds(valid, recorded)}",
        "as_of": f"SELECT {every}, count(*) FROM ({lazy.sql})",
        "as_of_a_key": f"SELECT {every} FROM ({lazy.sql}) WHERE place = 'p7' AND article = 'x'",
    }
    seconds = {name: _median(lambda sql=sql: connection.execute(sql).fetchall(), rounds) for name, sql in asked.items()}
    ratio = seconds["as_of"] / seconds["scan"]
    return {
        "workload": "W7-as-of", "records": count, "files": len(scan.paths), "files_of_answer": len(lazy.paths),
        "fill_cpu_seconds": round(filled, 1), **{f"{name}_cpu_seconds": round(one, 4) for name, one in seconds.items()},
        "times_the_scan": round(ratio, 2),
        "times_the_filtered_scan": round(seconds["as_of"] / seconds["filtered_scan"], 2), "met": ratio <= TARGET,
        "verified": sorted(answer) == expected(count, valid, recorded),
    }  # fmt: skip


def fill(lake: IcebergLake, count: int) -> None:
    """A commit for each day."""
    lake.ensure(PRODUCT)
    table, rows = lake.table(PRODUCT), LakeRows(PRODUCT, DenyClassified())
    seen = table.look()
    for day in range(DAYS):
        first, end = count * day // DAYS, count * (day + 1) // DAYS
        made = _rows(rows.schema, np.arange(first, end), count)
        progress = Progress(PRODUCT.output.topic, "t1", {0: end}, {0: Instant((day + 1) * DAY - 1)},
                            UUID(int=day + 1).hex, 1)  # fmt: skip
        seen = commit(table, seen, table.write(made, progress.commit), progress)


def expected(count: int, valid: Instant, recorded: Instant) -> list[tuple[str, int]]:
    """By plain counting: of each key the last record of the hour that was recorded by then."""
    hour, found = valid // HOUR, list[tuple[str, int]]()
    for key in range(KEYS):
        numbers = [(hour * REVISIONS + revision) * KEYS + key for revision in range(REVISIONS)]
        known = [number for number in numbers if number < count and number * DAYS * DAY // count <= recorded]
        found += [(f"p{key}", known[-1] % 77)] if known else []
    return sorted(found)


def _holds(valid: Instant, recorded: Instant) -> str:
    at = moment(valid)
    return f"recorded_at <= {moment(recorded)} AND valid_from <= {at} AND (valid_to IS NULL OR valid_to > {at})"


def _rows(schema: pa.Schema, numbers: Any, count: int) -> pa.Table:
    """Record `n` is of key `n % KEYS`; an hour has its revisions one after another."""
    turns = numbers // KEYS
    start = turns // REVISIONS * HOUR
    recorded = [number * DAYS * DAY // count for number in numbers.tolist()]
    places = pa.array([f"p{key}" for key in range(KEYS)]).take(pa.array(numbers % KEYS))
    kinds = pa.array(["assert", "correct"]).take(pa.array((turns % REVISIONS > 0).astype(np.int8)))
    columns = {
        "place": places, "article": pa.array(["x"]).take(pa.array(np.zeros(len(numbers), np.int8))),
        "valid_from": start, "valid_to": start + HOUR, "count": numbers % 77, "recorded_at": recorded, "kind": kinds,
        "revision": turns % REVISIONS + 1, "headwater_topic_id": pa.array(["t1"]).take(pa.array(numbers * 0)),
        "headwater_partition": numbers * 0, "headwater_offset": numbers,
    }  # fmt: skip
    return pa.table([pa.array(columns[field.name]).cast(field.type) for field in schema], schema=schema)


def _median(ask: Callable[[], object], rounds: int) -> float:
    """CPU seconds, the first time left out: it reads the files into the cache."""
    ask()
    taken = list[float]()
    for _ in range(rounds):
        started = time.process_time()
        ask()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.w7", description=__doc__)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", default=None, help="where the table lies while it is measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())

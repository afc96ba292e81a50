"""`headwater.query`: SQL over products, each as of a moment, in one SELECT."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from headwater.errors import CallerFault, Fault
from headwater.mesh.load import load_mesh
from headwater.ports.answers import Answer, Question, firm
from headwater.ports.kafka import KafkaBroker
from headwater.schemas.arrow import arrow_table, plain_rows
from headwater.schemas.avro import Schema
from headwater.schemas.registry_http import HttpRegistry
from headwater.sdk.lake import Lazy, read_lake
from headwater.sdk.open import Moment, OpenProduct, instant_of
from headwater.sdk.sql_filters import key_of
from headwater.sdk.sql_text import Asked, Query, read_query
from headwater.sdk.table import SHOWN_ROWS, Frames, html_table
from headwater.settings import environment_of, load_settings
from headwater.timeline.instant import Instant

_CELL = "headwater.sdk.sql_cell"
Read = Callable[[Asked], tuple[Answer, Schema | pa.Table] | Lazy]
"""What is known of a product: the answer with the schema of its rows, or with its rows as a table; or files to scan."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a query may use: seconds until it is killed, memory of the database, and rows that it may answer."""

    seconds: float = 60.0
    memory_megabytes: int = 1_024
    rows: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Result(Frames):
    """The rows that a query found, as an Arrow table, and how firm what it read was.

    `settled_to` is the recorded moment up to which all of its products are settled; `settled` whether all that was read
    lies before it, so that the same query has the same rows for ever. `cut` says that there were more rows than asked.
    """

    rows: pa.Table
    settled_to: Instant
    settled: bool
    cut: bool = False

    def to_arrow(self) -> pa.Table:
        """A `pyarrow.Table`."""
        return self.rows

    def firmness(self) -> str:
        """How many rows, and whether that can still change, in words."""
        count = f"{self.rows.num_rows:,} row{'' if self.rows.num_rows == 1 else 's'}"
        return f"{count}{', and more that are left out' if self.cut else ''}; {firm(self.settled_to, self.settled)}"

    def _repr_html_(self) -> str:
        rows = plain_rows(self.rows.slice(0, SHOWN_ROWS))
        return html_table(self.rows.column_names, rows, self.rows.num_rows, self.firmness())


def query(
    text: str,
    *,
    valid: Moment | None = None,
    recorded: Moment | None = None,
    bounds: Bounds | None = None,
    port: Literal["topic", "lake"] = "topic",
) -> Result:
    """What one SELECT finds in the products of the mesh of the settings, in DuckDB's dialect.

        headwater.query(\"\"\"
            SELECT now.origin, now.departures - before.departures AS came_late
            FROM airports.hourly_punctuality AS now
            JOIN as_of('airports.hourly_punctuality', recorded => '2026-11-28T04:30:00Z') AS before
            USING (origin, valid_from)
        \"\"\").to_polars()

    A product's name is the product as of `valid` and `recorded`, which mean whenever and now where they are left out;
    `as_of('name', valid => …, recorded => …)` is it as of others, `history('name')` every record of it.
    With `port="lake"` the query runs over the files of the products' tables, and reads what it needs of them.
    Raises `CallerFault` HW-K064 for what a query may not say, HW-K065 where it fails, HW-K066 where it takes too long.
    """
    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    asked = read_query(text)
    products = {one.product: mesh.product(one.product) for one in asked.asked}  # before any is read
    broker = KafkaBroker(environment.kafka)
    registry = HttpRegistry(environment.registry_url)

    def read(one: Asked) -> tuple[Answer, Schema] | Lazy:
        if port == "lake":
            asked_at = Question(instant_of(one.valid or valid), instant_of(one.recorded or recorded))
            return read_lake(products[one.product], environment, asked_at, history=one.history)
        product = OpenProduct(products[one.product], broker, registry, tick=mesh.file.tick)
        until, output = one.recorded if one.recorded is not None else recorded, product.product.output
        asked_key = key_of(output, one.equal)
        key = None if asked_key is None else dict(zip(output.output.key, asked_key, strict=True))
        if one.history:
            return product.history(key, recorded=until), output.schema
        found = product.as_of(valid=one.valid if one.valid is not None else valid, recorded=until, key=key)
        return found, output.schema

    try:
        return run(asked, read, bounds or Bounds())
    finally:
        broker.close()


def run(asked: Query, read: Read, bounds: Bounds) -> Result:
    """Run a query over what `read` has for each product that it asks for."""
    tables: dict[tuple[str, str], pa.Table | Lazy] = {}
    settled_to, settled = None, True
    for one in asked.asked:
        found = read(one)
        answer = found if isinstance(found, Lazy) else found[0]
        tables[one.table] = found if isinstance(found, Lazy) else _table(*found)
        settled = settled and answer.settled
        settled_to = answer.settled_to if settled_to is None else min(settled_to, answer.settled_to)
    assert settled_to is not None
    rows = _run(asked.text, tables, replace(bounds, rows=bounds.rows + 1))
    return Result(rows.slice(0, bounds.rows), settled_to, settled, rows.num_rows > bounds.rows)


def _table(answer: Answer, rows: Schema | pa.Table) -> pa.Table:
    return rows if isinstance(rows, pa.Table) else arrow_table(rows, answer.rows)


def _run(text: str, tables: Mapping[tuple[str, str], pa.Table | Lazy], bounds: Bounds) -> pa.Table:
    streams = [(*place, _stream(rows)) for place, rows in tables.items() if not isinstance(rows, Lazy)]
    lazy = {place: rows for place, rows in tables.items() if isinstance(rows, Lazy)}
    head = {
        "text": text,
        "views": [(*place, one.sql) for place, one in lazy.items()],
        "paths": sorted({path for one in lazy.values() for path in one.paths}),
        "tables": [(schema, table, len(stream)) for schema, table, stream in streams],
        "memory_megabytes": bounds.memory_megabytes,
        "seconds": bounds.seconds,
        "rows": bounds.rows,
    }
    work = b"".join([json.dumps(head).encode(), b"\n", *(stream for _, _, stream in streams)])
    command = [sys.executable, "-m", _CELL]
    try:
        # Its end is a SIGKILL: DuckDB was seen to ignore an interrupt for seconds.
        done = subprocess.run(command, input=work, capture_output=True, timeout=bounds.seconds, check=False)
    except subprocess.TimeoutExpired:
        raise CallerFault(
            f"the query was stopped after {bounds.seconds:g} s",
            code="HW-K066",
            detail="a query that takes longer is ended, so that it does not hold up others",
            hint="ask for less: a filter, fewer products in a join; or give it more time",
        ) from None
    line, _, rest = done.stdout.partition(b"\n")
    if not line:
        raise _broken(done)
    answer = json.loads(line)
    if answer.get("error") == "OutOfMemoryException":
        raise _stopped()
    if "error" in answer:
        raise CallerFault(
            "the query failed",
            code="HW-K065",
            detail=_short(answer["said"]),
            hint="mend the query; headwater query PRODUCT shows which fields a product has",
        )
    return pa.ipc.open_stream(rest).read_all()


def _stream(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue())


def _broken(done: subprocess.CompletedProcess[bytes]) -> Exception:
    said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:300]
    if "No module named 'duckdb'" in said:
        return CallerFault(
            "queries in SQL need DuckDB, which is not installed",
            code="HW-K067",
            detail="headwater query PRODUCT and headwater.open do without",
            hint="pip install 'headwater[sql]'",
        )
    if done.returncode < 0 or "MemoryError" in said or "bad_alloc" in said:
        return _stopped()
    return Fault("the query's process ended without an answer", code="HW-K068", detail=said)


def _stopped() -> CallerFault:
    return CallerFault(
        "the query was stopped by its bounds",
        code="HW-K066",
        detail="it wanted more memory or time of the processor than a query may take",
        hint="ask for less: a filter, fewer products in a join",
    )


def _short(said: str) -> str:
    """The first lines of what DuckDB says, without the picture of the place."""
    return " ".join(said.split("LINE ")[0].split())[:300]

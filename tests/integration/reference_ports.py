"""The ways out of the reference mesh, each as its user takes it, to be asked the same questions.

`Plain` is the reference: confluent-kafka reads the topic and fastavro its records, so that it shares nothing with them.
"""

from __future__ import annotations

import io
import json
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import duckdb
import fastavro
from confluent_kafka import Consumer, KafkaError, TopicPartition
from pyiceberg.catalog import load_catalog

import headwater
from headwater.mesh.products import ResolvedProduct
from headwater.naming import current_topic, lake_table
from headwater.schemas.arrow import plain_rows
from headwater.schemas.payload import writer
from headwater.sdk.query import Bounds
from headwater.testing.conformance.answers import Asked, Row, Told, by_hand, expected, select
from headwater.timeline.instant import Instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROS = "timestamp-micros"
FINAL_WITHIN = 60.0  # seconds that a port may be behind what was settled when the questions were made


class Plain:
    """What is in a product's topics, read by others' libraries."""

    def __init__(self, kafka: str, root: Path, product: ResolvedProduct) -> None:
        self._kafka, self._product = kafka, product
        name = product.output.schema.json["name"].rpartition(".")[2]
        file = root / "schemas" / "avro" / str(product.name).replace(".", "/") / f"{name}.avsc"
        self._file = json.loads(file.read_text())
        self._schema = fastavro.parse_schema(without_instants(self._file))
        self.instants = {field["name"] for field in self._file["fields"] if MICROS in json.dumps(field["type"])}

    def told(self) -> Told:
        """The records of the topic, instants in microseconds."""
        output = self._product.output
        records = [record for _, record in self._read(output.topic)]
        return Told(records, tuple(output.output.key), output.shape)

    def current(self) -> list[Row]:
        """What the compacted topic leaves of each identity, without what was taken back."""
        newest = dict(self._read(current_topic(self._product.name, self._product.major)))
        return [record for record in newest.values() if record["kind"] != "retract"]

    def as_json(self, record: Row) -> Row:
        """A record as answers have it."""
        return {name: said(value, instant=name in self.instants) for name, value in record.items()}

    def _read(self, topic: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
        settings = {
            "bootstrap.servers": self._kafka, "group.id": uuid.uuid4().hex, "enable.auto.commit": False,
            "isolation.level": "read_committed", "enable.partition.eof": True,
        }  # fmt: skip
        consumer = Consumer(settings)
        try:
            left = set(consumer.list_topics(topic).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, number, 0) for number in left])
            while left:
                for message in consumer.consume(1_000, 1.0):
                    error = message.error()
                    if error is not None:
                        assert error.code() == KafkaError._PARTITION_EOF, error
                        left.discard(message.partition())
                        continue
                    body = io.BytesIO(message.value()[5:])  # behind the frame that names the schema
                    yield message.key(), fastavro.schemaless_reader(body, self._schema, None)
        finally:
            consumer.close()


class Sdk:
    """`headwater.open`, of the topic or of the lake."""

    def __init__(self, name: str, port: Literal["topic", "lake"] = "topic") -> None:
        self.name, self._port = name, port

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        with headwater.open(self.name, port=self._port) as opened:
            convert = writer(opened.schema)
            return [[convert(row) for row in self.rows(opened, one)] for one in questions]

    def rows(self, opened: Any, one: Asked) -> Sequence[Row]:
        key = None if one.key is None else dict(zip(opened.product.output.output.key, one.key, strict=True))

        def ask() -> Any:
            if one.history:
                return opened.history(key, recorded=one.recorded)
            return opened.as_of(valid=one.valid, recorded=one.recorded, key=key)

        found = ask()
        until = time.monotonic() + FINAL_WITHIN
        while not found.settled and time.monotonic() < until:
            time.sleep(0.3)
            found = ask()
        assert found.settled, one
        return list(found.rows)


class Forgetful(Sdk):
    """A saboteur: it ignores the recorded moment."""

    def rows(self, opened: Any, one: Asked) -> Sequence[Row]:
        return super().rows(opened, Asked(one.valid, None, one.key, one.history))


class Sql:
    """`headwater.query`, of the topic or of the lake: all questions in one SELECT."""

    def __init__(self, product: ResolvedProduct, port: Literal["topic", "lake"]) -> None:
        self._product, self._port = product, port

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        product = self._product
        text = " UNION ALL ".join(
            select(number, one, str(product.name), product.output.output.key) for number, one in enumerate(questions)
        )
        found: list[list[Row]] = [[] for _ in questions]
        for row in plain_rows(headwater.query(text, port=self._port, bounds=Bounds(seconds=200)).rows):
            row = dict(row)
            found[row.pop("question")].append(row)
        return found


class Http:
    """`headwater serve`, in another process, some records a page."""

    def __init__(self, base: str, product: ResolvedProduct) -> None:
        self._base, self._key = base, product.output.output.key
        self._path = f"/v1/products/{str(product.name).replace('.', '/')}"

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        return [self._all(one) for one in questions]

    def _all(self, one: Asked) -> list[Row]:
        asked = {f"key.{part}": value for part, value in zip(self._key, one.key or (), strict=False)} | {"limit": "700"}
        for which, at in (("recorded", one.recorded), *([] if one.history else [("valid", one.valid)])):
            if at is not None:
                asked[which] = Instant(at).iso()
        link = f"{self._path}/{'history' if one.history else 'as-of'}?{urllib.parse.urlencode(asked)}"
        page, until = self._ask(link), time.monotonic() + FINAL_WITHIN
        while not page["settled"]:
            assert time.monotonic() < until, page
            time.sleep(0.3)
            page = self._ask(link)
        rows = list(page["records"])
        while "next" in page:
            page = self._ask(page["next"])
            rows += page["records"]
        return rows

    def _ask(self, link: str) -> Any:
        with urllib.request.urlopen(self._base + link, timeout=60) as answer:
            return json.load(answer)


class Raw:
    """The files of the lake in DuckDB, found by PyIceberg, by the statements of docs/concepts/lake.md."""

    def __init__(self, settings: Mapping[str, str], product: ResolvedProduct, instants: set[str]) -> None:
        self._settings, self._product, self._instants = settings, product, instants

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        table = load_catalog("headwater", **self._settings).load_table(
            lake_table(self._product.name, self._product.major)
        )
        files = [task.file.file_path.removeprefix("file://") for task in table.scan().plan_files()]
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE rows AS SELECT * FROM read_parquet({files}, union_by_name = true)")
        return [self._rows(connection, one) for one in questions]

    def _rows(self, connection: duckdb.DuckDBPyConnection, one: Asked) -> list[Row]:
        output = self._product.output
        sql = by_hand(one, "rows", output.output.key, output.shape)
        if sql is not None:
            return [self._as_json(row) for row in self._records(connection, sql)]
        # Facts whenever: their intervals are cut by later ones, which is left to the fold; the rows are the table's.
        rows = self._records(connection, "SELECT * FROM rows ORDER BY headwater_partition, headwater_offset")
        return [self._as_json(row) for row in expected(Told(rows, tuple(output.output.key), output.shape), one)]

    def _records(self, connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
        names = [field.name for field in self._product.output.schema.fields]
        cells = ", ".join(f"epoch_us({name}) AS {name}" if name in self._instants else name for name in names)
        found = connection.execute(f"SELECT {cells} FROM ({sql})").fetchall()
        return [dict(zip(names, row, strict=True)) for row in found]

    def _as_json(self, record: Row) -> Row:
        return {name: said(value, instant=name in self._instants) for name, value in record.items()}


def said(value: Any, *, instant: bool) -> Any:
    """A value as JSON has it in answers."""
    if instant and value is not None:
        return (EPOCH + timedelta(microseconds=value)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(value) if isinstance(value, Decimal) else value


def without_instants(schema: Any) -> Any:
    """An Avro schema in which instants are the whole numbers that they are."""
    if isinstance(schema, list):
        return [without_instants(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("logicalType") == MICROS:
        return schema["type"]
    return {name: without_instants(one) for name, one in schema.items()}

"""A hundred questions of one history: SDK, columns, SQL and HTTP say what a plain fold says, also during writes."""

from __future__ import annotations

import shutil
import tempfile
import urllib.parse
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.unit.ports.http.serving import HTTP, Site
from tests.unit.ports.index.kept import MemoryStores
from tests.unit.ports.test_answers import KEYS, PARTITIONS, TICK, World, level, order

from headwater.hooks import Hooks
from headwater.ports.answers import Question
from headwater.ports.index.answers import IndexAnswers
from headwater.ports.lake.answers import LakeAnswers
from headwater.ports.lake.catalog_iceberg import IcebergLake, open_catalog
from headwater.ports.lake.writer import Around, LakeOptions, LakeWriter
from headwater.schemas.arrow import plain
from headwater.schemas.payload import writer
from headwater.sdk.lake import read_source
from headwater.sdk.query import Bounds, run
from headwater.sdk.sql_text import read_query
from headwater.sdk.table import Table
from headwater.testing.conformance.answers import Asked, Port, Row, Told, a_hundred, by_hand, expected, in_order, select
from headwater.testing.source_products import order_events, stock_facts
from headwater.testing.strategies import event_histories, fact_histories
from headwater.timeline.instant import Instant

Record = dict[str, Any]
EVERY = 10  # of the lake's questions: each opens the table, its files and a database
LEAST = settings(max_examples=2, derandomize=True, deadline=None, phases=[Phase.generate])
FEW = settings(max_examples=4, derandomize=True, deadline=None)
EVENTS = event_histories({"n": st.integers(0, 9)}, key="k", length=30)
FACTS = fact_histories({"count": st.integers(0, 9)}, key="p", keys=KEYS, length=20)


def moment(at: int | None) -> Instant | None:
    return None if at is None else Instant(at)


class Sdk:
    """`headwater.open`."""

    def __init__(self, world: World) -> None:
        self.world = world

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        convert = writer(self.world.product.output.schema)
        return [[convert(row) for row in self.rows(one)] for one in questions]

    def rows(self, one: Asked) -> Sequence[Record]:
        return self.table(one).rows

    def table(self, one: Asked) -> Table:
        opened, names = self.world.opened, self.world.product.output.output.key
        key = None if one.key is None else dict(zip(names, one.key, strict=True))
        if one.history:
            return opened.history(key, recorded=moment(one.recorded))
        return opened.as_of(valid=moment(one.valid), recorded=moment(one.recorded), key=key)


class Columns(Sdk):
    """The SDK's answers as Arrow tables."""

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        return [[plain(row) for row in self.table(one).to_arrow().to_pylist()] for one in questions]


class Forgetful(Sdk):
    """A saboteur: it ignores the recorded moment."""

    def rows(self, one: Asked) -> Sequence[Record]:
        return super().rows(Asked(one.valid, None, one.key, one.history))


class Generous(Sdk):
    """A saboteur: its intervals are closed at both ends."""

    def rows(self, one: Asked) -> Sequence[Record]:
        earlier = None if one.valid is None else max(one.valid - 1, 0)
        rows = super().rows(one)
        return rows or super().rows(Asked(earlier, one.recorded, one.key, one.history))


class Sql:
    """`headwater.query`: all questions in one SELECT."""

    def __init__(self, world: World) -> None:
        self.world = world

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        name, key = str(self.world.product.name), self.world.product.output.output.key
        text = " UNION ALL ".join(select(number, one, name, key) for number, one in enumerate(questions))
        found: list[list[Row]] = [[] for _ in questions]
        for row in run(read_query(text), self.read, Bounds(seconds=60)).rows.to_pylist():
            found[row.pop("question")].append(plain(row))
        return found

    def read(self, one: Any) -> Any:
        valid, recorded = (None if at is None else Instant.parse(at) for at in (one.valid, one.recorded))
        question, answers = Question(valid, recorded), self.world.answers
        return answers.history(question) if one.history else answers.as_of(question), self.world.product.output.schema


class Http:
    """`headwater serve`, some records a page."""

    def __init__(self, world: World) -> None:
        self.site = Site(world)

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        return [self._all(one) for one in questions]

    def _all(self, one: Asked) -> list[Row]:
        names = self.site.world.product.output.output.key
        said = {f"key.{part}": value for part, value in zip(names, one.key or (), strict=False)} | {"limit": "7"}
        for which, at in (("recorded", one.recorded), *([] if one.history else [("valid", one.valid)])):
            if at is not None:
                said[which] = Instant(at).iso()
        page = self.site.get(f"{'history' if one.history else 'as-of'}?{urllib.parse.urlencode(said)}")
        rows = list(page["records"])
        while "next" in page:
            page = self.site.follow(page["next"])
            rows += page["records"]
        return rows


class HttpOfIndex(Http):
    """`headwater serve` with an index, which is restarted now and then."""

    def __init__(self, world: World) -> None:
        self.site = Site(world, stores=MemoryStores())

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        self.site.forget()
        return super().answers(questions)


class ColumnsOfIndex:
    """The index's answers as Arrow tables."""

    def __init__(self, world: World) -> None:
        self.site = Site(world, stores=MemoryStores())

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        index = self.site.index
        assert index is not None
        while index.step():
            pass
        answers = IndexAnswers(index, self.site.product.output.topic)
        return [[plain(row) for row in self._table(answers, one).to_pylist()] for one in questions]

    def _table(self, answers: IndexAnswers, one: Asked) -> pa.Table:
        question = Question(moment(one.valid), moment(one.recorded), one.key)
        return answers.table(question, history=one.history)[0]


PORTS: list[Callable[[World], Port]] = [Sdk, Columns, Sql, Http, HttpOfIndex, ColumnsOfIndex]


LAKES: weakref.WeakKeyDictionary[World, IcebergLake] = weakref.WeakKeyDictionary()


def lake_of(world: World) -> IcebergLake:
    """The lake beside a world's topic, one for all ports that are asked."""
    if world not in LAKES:
        name = tempfile.mkdtemp(prefix="lake")
        weakref.finalize(world, shutil.rmtree, name)
        LAKES[world] = IcebergLake(open_catalog({"uri": f"sqlite:///{name}/c.db", "warehouse": f"file://{name}/t"}))
        LAKES[world].ensure(world.product)
    return LAKES[world]


class Lake:
    """A table beside the topic, filled before each answer."""

    def __init__(self, world: World) -> None:
        self.world, self.lake = world, lake_of(world)

    def fill(self) -> None:
        around = Around(self.world.broker, self.world.registry, TICK, self.world.clock, Hooks())
        table = self.lake.table(self.world.product)
        LakeWriter(self.world.product, table, around, LakeOptions(until_end=True)).run(lambda: False)


class Stored(Lake):
    """`headwater.open(…, port="lake")`."""

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        self.fill()
        answers = LakeAnswers(self.world.product, self.lake.source(self.world.product))
        convert = writer(answers.schema)
        return [
            [convert(row) for row in (answers.history if one.history else answers.as_of)(
                Question(moment(one.valid), moment(one.recorded), one.key)).rows]
            for one in questions
        ]  # fmt: skip


class Scanned(Sql, Lake):
    """`headwater.query(…, port="lake")`: all questions in one SELECT over the table's files."""

    def __init__(self, world: World) -> None:
        Lake.__init__(self, world)

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        self.fill()
        return super().answers(questions)

    def read(self, one: Any) -> Any:
        valid, recorded = (None if at is None else Instant.parse(at) for at in (one.valid, one.recorded))
        source = self.lake.source(self.world.product)
        return read_source(self.world.product, source, Question(valid, recorded), history=one.history)


class Raw(Lake):
    """Without Headwater: the files in DuckDB, by the statements of docs/concepts/lake.md; facts whenever are left to
    the others."""

    def answers(self, questions: Sequence[Asked]) -> list[list[Row]]:
        self.fill()
        tasks = self.lake.table(self.world.product).load().scan().plan_files()
        files = [task.file.file_path.removeprefix("file://") for task in tasks]
        return [self._rows(one, files) for one in questions]

    def _rows(self, one: Asked, files: list[str]) -> list[Row]:
        names, shape = self.world.product.output.output.key, self.world.product.output.shape
        if not files:
            return []
        fields = [field.name for field in self.world.product.output.schema.fields]
        rows = f"read_parquet({files}, union_by_name = true)"
        sql = by_hand(one, rows, names, shape)
        if sql is None:
            answers = LakeAnswers(self.world.product, self.lake.source(self.world.product))
            convert = writer(answers.schema)
            return [convert(row) for row in answers.as_of(Question(None, moment(one.recorded), one.key)).rows]
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(f"SELECT {', '.join(fields)} FROM ({sql})").to_arrow_table()
        return [plain(row) for row in found.to_pylist()]


LAKE: list[Callable[[World], Port]] = [Stored, Scanned, Raw]


def ask(world: World, told: Told, questions: list[Asked], port: Port) -> None:
    convert = writer(world.product.output.schema)
    for one, rows in zip(questions, port.answers(questions), strict=True):
        assert in_order(rows) == in_order(map(convert, expected(told, one))), (type(port).__name__, one)


def check(
    world: World, records: list[Record], shape: Any, seed: int, ports: Sequence[Callable[[World], Port]], every: int = 1
) -> None:
    """What is written first is settled: what is asked of it then is asked again when all the rest is there."""
    key = world.product.output.output.key
    cut = seed % (len(records) + 1)
    first = [one for one in records if cut and one["recorded_at"] <= records[cut - 1]["recorded_at"]]
    later = records[len(first) :]
    settled = first[-1]["recorded_at"] if first else None
    world.write(*first, marked=settled)
    made = [port(world) for port in ports]
    final = a_hundred(Told(first, key, shape), seed, until=settled or 0)
    for port in made:
        ask(world, Told(first, key, shape), final[::every], port)
    world.write(*later)
    whole = Told(records, key, shape)
    again = [*final[:20], *a_hundred(whole, seed + 1)]
    for port in made:
        ask(world, whole, again[::every], port)


@FEW
@given(EVENTS, st.integers(0, 1_000))
def test_of_events(history: list[Record], seed: int) -> None:
    check(World(order_events(partitions=PARTITIONS, ports=HTTP)), [order(one) for one in history], "event", seed, PORTS)


@FEW
@given(FACTS, st.integers(0, 1_000))
def test_of_facts(history: list[Record], seed: int) -> None:
    check(World(stock_facts(partitions=PARTITIONS, ports=HTTP)), [level(one) for one in history], "fact", seed, PORTS)


@pytest.mark.slow
@LEAST
@given(EVENTS, st.integers(0, 1_000))
def test_of_events_in_the_lake(history: list[Record], seed: int) -> None:
    check(World(order_events(partitions=PARTITIONS)), [order(one) for one in history], "event", seed, LAKE, EVERY)


@pytest.mark.slow
@LEAST
@given(FACTS, st.integers(0, 1_000))
def test_of_facts_in_the_lake(history: list[Record], seed: int) -> None:
    check(World(stock_facts(partitions=PARTITIONS)), [level(one) for one in history], "fact", seed, LAKE, EVERY)


@pytest.mark.parametrize("saboteur", [Forgetful, Generous])
def test_a_port_that_says_otherwise_is_found_out(saboteur: Callable[[World], Port]) -> None:
    @settings(max_examples=60, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
    @given(FACTS, st.integers(0, 1_000))
    def hunt(history: list[Record], seed: int) -> None:
        world = World(stock_facts(partitions=PARTITIONS, ports=HTTP))
        check(world, [level(one) for one in history], "fact", seed, [saboteur])

    with pytest.raises(AssertionError):
        hunt()

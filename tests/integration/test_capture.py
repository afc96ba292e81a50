"""Capture on the real stack, through the command line: a table with rows, its load, writers meanwhile, kills."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headwater import naming
from headwater.ports.kafka import KafkaBroker
from headwater.ports.record import EndOfPartition, TopicPartition
from headwater.testing.captured_mesh import write_captured_mesh
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

SEED = int(os.environ.get("HEADWATER_CAPTURE_SEED", "20260101"))
ROWS = 4_000
KILLS = 5


class Shop:
    """A mesh of one product that captures `public.customer_order`, its database, and relays as processes."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.domain = stack.fresh_name("shop")
        self.database = stack.fresh_name("shopdb")
        write_captured_mesh(folder, domain=self.domain, database=self.database)
        self.dsn = stack.postgres_dsn(self.database)
        self.environment = {**stack.environment(), "HEADWATER_MESH": str(folder)}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.number = 0
        self.history: dict[str, list[str]] = {}  # every version of every order that was committed, in order
        self.execute(
            "CREATE TABLE public.customer_order (id bigint PRIMARY KEY, state text NOT NULL, total numeric(12,2),"
            " note text, ordered_at timestamptz NOT NULL)"
        )

    @property
    def product(self) -> str:
        return f"{self.domain}.orders"

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            done = connection.execute(statement, parameters or None)
            return done.fetchall() if done.description else []

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.stack.cli(*arguments, env=self.environment, timeout=120)

    def fill(self, first: int, last: int) -> None:
        self.execute(
            "INSERT INTO public.customer_order SELECT n, 's0-' || n, n / 7.0, NULL, '2026-01-01Z'::timestamptz"
            " FROM generate_series(%s::bigint, %s::bigint) n",
            first,
            last,
        )
        self.committed((str(number), f"s0-{number}") for number in range(first, last + 1))

    def committed(self, versions: Iterable[tuple[str, str]]) -> None:
        for order, state in versions:
            self.history.setdefault(order, []).append(state)

    def write(self, connection: psycopg.Connection[Any], chance: random.Random) -> None:
        """A transaction of a few random changes; what it leaves of each row is in the history."""
        told: list[tuple[str, str]] = []
        for _ in range(chance.randint(1, 5)):
            self.number += 1
            row, state, dice = chance.randint(1, ROWS + 500), f"w{self.number}", chance.random()
            if dice < 0.15:
                connection.execute("DELETE FROM public.customer_order WHERE id = %s", [row])
            elif dice < 0.25:
                other = chance.randint(1, ROWS + 500)
                moved = connection.execute(
                    "UPDATE public.customer_order SET id = %s, state = %s WHERE id = %s"
                    " AND NOT EXISTS (SELECT FROM public.customer_order WHERE id = %s)",
                    [other, state, row, other],
                )
                told += [(str(other), state)] * moved.rowcount
            else:
                connection.execute(
                    "INSERT INTO public.customer_order VALUES (%s, %s, 1, NULL, now())"
                    " ON CONFLICT (id) DO UPDATE SET state = excluded.state",
                    [row, state],
                )
                told.append((str(row), state))
        if chance.random() < 0.1:
            connection.rollback()
        else:
            connection.commit()
            self.committed(told)

    def relay(self, failpoint: str = "") -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "headwater", "relay"],
            env={**self.environment, "HEADWATER_FAILPOINT": failpoint},
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def records(self, *options: str) -> list[dict[str, Any]]:
        done = self.cli("tail", self.product, "--output", "json", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def table(self) -> dict[str, str]:
        return {str(row): state for row, state in self.execute("SELECT id, state FROM public.customer_order")}

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        slot = naming.slot(self.database, "public.customer_order")
        for call in ("pg_terminate_backend(active_pid, 5000)", "pg_drop_replication_slot(slot_name)"):
            self.execute(f"SELECT {call} FROM pg_replication_slots WHERE slot_name = %s", slot)


@pytest.fixture
def shop(stack: Stack, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(stack, tmp_path)
    yield made
    made.close()


def newest(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The newest record of each order, which only grows in revision."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        before = found.get(record["order_id"])
        assert before is None or before["revision"] < record["revision"]
        found[record["order_id"]] = record
    return found


def standing(records: list[dict[str, Any]]) -> dict[str, str]:
    return {key: r["state"] for key, r in newest(records).items() if r["kind"] != "retract"}


def wait_until_standing(shop: Shop, seconds: float = 60) -> list[dict[str, Any]]:
    deadline = time.monotonic() + seconds
    while standing(records := shop.records()) != shop.table():
        assert time.monotonic() < deadline, "the topic did not become the table in time"
        time.sleep(0.5)
    return records


def test_a_table_is_loaded_while_others_write_and_kills_neither_lose_nor_repeat_a_row(shop: Shop) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    shop.fill(1, ROWS)
    assert shop.cli("schema", "lock").returncode == 0
    planned = shop.cli("plan")
    assert "REPLICA IDENTITY FULL" in planned.stdout, planned.stdout + planned.stderr
    applied = shop.cli("apply")
    assert applied.returncode == 0, applied.stderr
    done = threading.Event()

    def write() -> None:
        own = random.Random(SEED + 1)
        with psycopg.connect(shop.dsn) as connection:
            while not done.is_set():
                shop.write(connection, own)
                time.sleep(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for kill in range(KILLS):
            point = chance.choice(["load.after_snapshot:1", "load.before_publish:2", "load.after_publish:1"])
            point = chance.choice([point, "relay.in_commit:2", "relay.after_commit:2"]) if kill else point
            process = shop.relay(f"{point}:kill")
            try:
                process.wait(timeout=25)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
        shop.relay()
        time.sleep(3)
    finally:
        done.set()
        writer.join()
    records = wait_until_standing(shop)
    judge(shop, records)


def judge(shop: Shop, records: list[dict[str, Any]]) -> None:
    """Of each order the topic tells how it came, and from there on every version that was committed, once, in order."""
    told: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        told.setdefault(record["order_id"], []).append(record)
    for order, each in told.items():
        assert each[0]["op"] in ("snapshot", "insert", "move"), "the first that is told of an order is how it came"
        assert [r["op"] for r in each].count("snapshot") <= 1, "an order is loaded once"
        assert all(a["recorded_at"] <= b["recorded_at"] for a, b in pairwise(each))
        states = [r["state"] for r in each if r["kind"] != "retract"]
        assert states == shop.history[order][-len(states) :], "every version from then on, once"
    assert sum(record["op"] == "snapshot" for record in records) > ROWS * 0.8


KINDS = """id text PRIMARY KEY, flag boolean, whole bigint, money numeric(12,2), share double precision, day date,
  at timestamptz, local timestamp, code char(6), doc jsonb, tags text[], blob bytea, span interval, mood mood,
  price price, large text,
  doubled bigint GENERATED ALWAYS AS (whole * 2) STORED"""
VALUES = """true, -9, 12.5, 0.1, '2026-02-03', '2026-01-01 12:00:00.25+02', '2026-01-01 12:00', 'ab',
  '{"a": [1.10, null]}', '{a,"b,c",NULL}', '\\x00ff', '1 day 02:00', 'glad', 7.5, repeat(md5(random()::text), 200)"""
MAPPING = """from headwater import Change, Record


def mapping(change: Change) -> list[Record]:
    row = dict(change.row)
    order = row.pop("id")
    payload = {"order_id": order, "state": repr(sorted(row.items())), "total": row["money"], "occurred_at": row["at"]}
    return [Record({**payload, "op": change.op}, event_id=order)]
"""


def test_a_snapshot_and_the_stream_say_the_same_of_every_type_and_of_what_an_update_leaves_alone(shop: Shop) -> None:
    shop.execute("DROP TABLE public.customer_order")
    shop.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
    shop.execute("CREATE DOMAIN price AS numeric CHECK (value > 0)")
    shop.execute(f"CREATE TABLE public.customer_order ({KINDS})")
    shop.execute(f"ALTER DATABASE {shop.database} SET timezone = 'Asia/Tokyo'")
    shop.execute(f"ALTER DATABASE {shop.database} SET datestyle = 'German'")
    shop.execute(f"ALTER DATABASE {shop.database} SET bytea_output = 'escape'")
    keys = ["B", "_", "a", "ä", "Z", "10", "9", 'é\' "q"', "zz"]
    for key in keys:
        shop.execute(f"INSERT INTO public.customer_order VALUES (%s, {VALUES})", key)
    (shop.folder / f"connectors/{shop.domain}/orders/mapping.py").write_text(MAPPING)
    shop.cli("schema", "lock")
    assert shop.cli("apply").returncode == 0
    assert shop.relay("load.before_publish:1:kill").wait(timeout=60) == -signal.SIGKILL
    shop.execute("UPDATE public.customer_order SET whole = whole")
    shop.relay()
    eventually(lambda: len(shop.records()) == len(keys))
    shop.execute("UPDATE public.customer_order SET mood = mood")
    copied = "flag, whole, money, share, day, at, local, code, doc, tags, blob, span, mood, price, large"
    shop.execute(f"INSERT INTO public.customer_order SELECT id || '!', {copied} FROM public.customer_order")
    eventually(lambda: len(shop.records()) == 3 * len(keys))
    told: dict[str, set[str]] = {}
    for record in shop.records():
        told.setdefault(record["order_id"].rstrip("!"), set()).add(record["state"])
    assert {key: len(states) for key, states in told.items()} == dict.fromkeys(keys, 1)
    state = told["a"].pop()
    assert ("('doubled', -18)" in state) == (shop.execute("SHOW server_version_num")[0][0] >= "180000")
    assert "('money', Decimal('12.50'))" in state
    assert "('at', datetime.datetime(2026, 1, 1, 10, 0, 0, 250000, tzinfo=datetime.timezone.utc))" in state
    assert "('blob', b'\\x00\\xff')" in state


def test_a_table_may_be_altered_emptied_and_left_as_it_is(shop: Shop) -> None:
    contract = shop.folder / f"connectors/{shop.domain}/orders/product.yaml"
    contract.write_text(contract.read_text().replace("customer_order}", "customer_order, old_rows: as-is}"))
    shop.fill(1, 3)
    shop.cli("schema", "lock")
    planned = shop.cli("plan")
    assert "REPLICA IDENTITY" not in planned.stdout
    assert shop.cli("apply").returncode == 0
    shop.relay()
    eventually(lambda: len(shop.records()) == 3)
    shop.execute("ALTER TABLE public.customer_order ADD COLUMN more int DEFAULT 5")
    shop.execute("UPDATE public.customer_order SET state = 'seen', note = (SELECT string_agg(md5(n::text), '') FROM"
                 " generate_series(1, 500) n) WHERE id = 1")  # fmt: skip
    shop.execute("UPDATE public.customer_order SET state = 'again' WHERE id = 1")  # leaves the large note alone
    shop.execute("ALTER TABLE public.customer_order DROP COLUMN note")
    shop.execute("UPDATE public.customer_order SET state = 'without' WHERE id = 2")
    shop.execute("TRUNCATE public.customer_order")
    shop.execute("INSERT INTO public.customer_order (id, state, total, ordered_at) VALUES (9, 'new', 1, now())")

    def codes() -> list[str]:
        topic = naming.quarantine_topic(naming.ProductName.parse(shop.product), 1)
        return sorted(header["quarantine.error.code"] for header in headers(shop.stack.kafka, topic))

    eventually(lambda: len(codes()) >= 4)
    assert {"HW-O151", "HW-O152", "HW-O153"} <= set(codes())
    assert [r["state"] for r in shop.records() if r["order_id"] == "1"] == ["s0-1", "seen"]
    first, *others = entries(shop)
    repaired = shop.cli("quarantine", "repair", first, "--record", "{}")
    assert (repaired.returncode, "HW-O109" in repaired.stderr) == (2, True)
    assert shop.cli("quarantine", "discard", first, "--reason", "seen again later").returncode == 0
    eventually(lambda: entries(shop) == others)


def entries(shop: Shop) -> list[str]:
    """The ids of what is open in quarantine."""
    told = shop.cli("quarantine", "list", shop.product, "--output", "json").stdout
    return [json.loads(line)["id"] for line in told.splitlines()]


def headers(kafka: str, topic: str) -> list[dict[str, str]]:
    """The headers of all records of a topic of four partitions."""
    broker = KafkaBroker({"bootstrap.servers": kafka}, clock=SystemClock())
    reader = broker.reader({TopicPartition(topic, number): 0 for number in range(4)})
    found, ended = [], set()
    while len(ended) < 4:
        for item in reader.poll(1_000, 1.0):
            if isinstance(item, EndOfPartition):
                ended.add(item.partition)
            else:
                found.append({name: (value or b"").decode() for name, value in item.headers})
    reader.close()
    broker.close()
    return found


def eventually(condition: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.3)

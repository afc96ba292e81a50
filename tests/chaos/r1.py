"""R1: SIGKILL the relay at its failpoints and at random, over steady work; then count what readers see.

`run(trials=20, seed=1)` answers what `make chaos` prints. It starts a stack of its own unless it is given one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import TopicPartition
from tests.chaos import checkers, r1_source

from headwater import naming
from headwater.local.launch import start_stack, stop_stack
from headwater.local.ports import free_base
from headwater.local.postgres import create_databases
from headwater.local.stack import LocalStack
from headwater.settings import LocalPorts

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
RATE = 800.0  # rows a second asked of the generator; what it reached is reported
RATE_LEAST = 500.0
DIES_WITHIN = 45.0  # seconds for a failpoint to be reached, from the start of the process
# Mostly what leaves a transaction open for sure, and what lies between the Kafka commit and the feedback, where random
# kills never fall. (name, the most times it is passed before the kill)
FAILPOINTS = (
    ("relay.in_commit", 12), ("relay.after_commit", 12), ("relay.before_begin", 12), ("relay.in_commit", 12),
    ("relay.after_commit", 12), ("relay.after_send", 80), ("relay.in_commit", 12), ("relay.after_commit", 12),
    ("relay.after_position", 12), ("relay.in_commit", 12), ("relay.after_commit", 12), ("relay.after_feedback", 12),
    ("relay.in_commit", 12), ("relay.after_commit", 12),
)  # fmt: skip


@dataclass
class Kill:
    """One kill, and what it left: a Kafka transaction open, rows that are published but not acknowledged."""

    at: str
    code: int
    transaction_open: bool
    unacknowledged: bool


@dataclass
class Chaos:
    """A source under load, and a relay to kill."""

    stack: LocalStack
    folder: Path
    seed: int
    saboteur: bool = False
    kills: list[Kill] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.product = f"orders_{uuid.uuid4().hex[:8]}"
        self.database = self.product
        self.topic = f"chaos.{self.product}.v1"
        create_databases(self.stack, [self.database])
        self.dsn = self.stack.postgres_address(self.database, password=self.stack.password_file.read_text().strip())
        r1_source.write_mesh(self.folder, self.product, self.database)
        self.source = naming.source(self.database, "public.outbox")

    def environment(self, failpoint: str = "") -> dict[str, str]:
        return {
            **os.environ,
            "HEADWATER_MESH": str(self.folder),
            "HEADWATER_DATA": str(self.stack.data_folder),
            "HEADWATER_PORT_BASE": str(self.stack.ports.base),
            "HEADWATER_FAILPOINT": failpoint,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        }

    def prepare(self) -> None:
        """What `apply` makes, and the service's own tables."""
        for command in (["schema", "lock"], ["apply"]):
            done = subprocess.run(
                [sys.executable, "-m", "headwater", *command],
                env=self.environment(), cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        r1_source.make_service(self.dsn, self.product)

    def relay(self, failpoint: str = "") -> subprocess.Popen[bytes]:
        module = ["tests.chaos.early_relay"] if self.saboteur else ["headwater", "relay"]
        environment = self.environment(failpoint)
        with (self.folder / "relay.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", *module], env=environment, cwd=ROOT, stdout=log, stderr=log)

    def kill(self, trial: int, trials: int) -> None:
        """One kill: three quarters at failpoints in turn, the rest at random moments of its work."""
        if trial * 4 < trials * 3:
            name, most = FAILPOINTS[trial % len(FAILPOINTS)]
            at = f"{name}:{self.chance.randint(1, most)}:kill"
            process = self.relay(at)
            try:
                process.wait(DIES_WITHIN)
            except subprocess.TimeoutExpired:
                at = f"{at} not reached"
        else:
            process = self.relay()
            self._reads(process)
            moment = self.chance.uniform(0.05, 1.5)
            at = f"random {moment * 1_000:.0f} ms"
            time.sleep(moment)
        process.kill()
        code = process.wait()
        self.kills.append(Kill(at, code, self._transaction_open(), self._unacknowledged()))

    def drain(self, seconds: float = 60.0) -> None:
        """A relay to the end of the work: until all that was ever written is acknowledged."""
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
        process, slot = self.relay(), naming.slot(self.database, "public.outbox")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.poll() is None:
            if row is not None and r1_source.slot_lsn(self.dsn, slot) >= int(row[0]):
                break
            time.sleep(0.1)
        time.sleep(1.0)  # whatever should not follow would follow now
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def dump(self) -> list[checkers.Seen]:
        return checkers.dump(self.stack.kafka_address, self.topic, PARTITIONS, r1_source.schema(self.product))

    def _transaction_open(self) -> bool:
        places = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        places.append(TopicPartition(naming.position_topic(self.source), 0))
        return checkers.open_transactions(self.stack.kafka_address, places)

    def _unacknowledged(self) -> bool:
        value = checkers.newest_value(self.stack.kafka_address, naming.position_topic(self.source))
        high, low = json.loads(value)["end_lsn"].split("/")
        published = int(high, 16) << 32 | int(low, 16)
        return r1_source.slot_lsn(self.dsn, naming.slot(self.database, "public.outbox")) < published

    def _reads(self, process: subprocess.Popen[bytes]) -> None:
        """Until the relay has the slot."""
        deadline = time.monotonic() + DIES_WITHIN
        query = "SELECT 1 FROM pg_stat_replication r JOIN pg_stat_activity a USING (pid) WHERE a.datname = %s"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while process.poll() is None and time.monotonic() < deadline:
                if connection.execute(query, [self.database]).fetchone():
                    return
                time.sleep(0.02)


def run(*, trials: int = 20, seed: int = 1, stack: LocalStack | None = None, saboteur: bool = False) -> dict[str, Any]:
    """The result as `make chaos` writes it; `saboteur` runs the relay that acknowledges early."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-r1-"))
    try:
        with own_stack() if stack is None else nullcontext(stack) as running:
            return _result(Chaos(running, folder, seed, saboteur), trials)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _result(chaos: Chaos, trials: int) -> dict[str, Any]:
    chaos.prepare()
    started = time.monotonic()
    generator = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("r1_generator.py")), chaos.dsn, str(RATE), str(chaos.seed)],
        stdout=subprocess.PIPE,
    )
    try:
        for trial in range(trials):
            chaos.kill(trial, trials)
    finally:
        generator.send_signal(signal.SIGTERM)
        written = json.loads(generator.communicate(timeout=60)[0])
    chaos.drain()
    first, second = chaos.dump(), chaos.dump()
    counts = checkers.judge(first, r1_source.ledger(chaos.dsn))
    hot = sum(1 for kill in chaos.kills if kill.transaction_open or kill.unacknowledged)
    rate = (written["committed"] + written["rolled_back"]) / written["seconds"]
    bad = ("lost", "duplicates", "phantom", "order_breaks", "stamp_breaks")
    return {
        "id": "R1",
        "trials": trials,
        **counts,
        "unstable_offsets": sum(a != b for a, b in zip(first, second, strict=True)),
        "kills_in_doubt": hot,
        "transactions_left_open": sum(kill.transaction_open for kill in chaos.kills),
        "published_but_unacknowledged": sum(kill.unacknowledged for kill in chaos.kills),
        "killed": sum(kill.code == -signal.SIGKILL for kill in chaos.kills),
        "rows_per_second": round(rate, 1),
        "rolled_back_rows": written["rolled_back"],
        "savepoints_rolled_back": written["savepoints"],
        "upper_bound_95_percent": round(3 / trials, 4) if trials else 1.0,
        "seconds": round(time.monotonic() - started, 1),
        "kills": [f"{kill.at} -> {kill.code}" for kill in chaos.kills],
        "seed": chaos.seed,
        "passed": not any(counts[name] for name in bad)
        and hot * 2 >= trials
        and rate >= RATE_LEAST
        and all(kill.code == -signal.SIGKILL for kill in chaos.kills),
    }


@contextmanager
def own_stack() -> Iterator[LocalStack]:
    """A stack in a temporary folder, stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-r1-stack-"))
    folder.chmod(0o755)  # PostgreSQL may run as another user
    local = LocalStack(folder, LocalPorts(free_base(39890)))
    try:
        start_stack(local)
        yield local
    finally:
        stop_stack(local, purge=True)
        shutil.rmtree(folder, ignore_errors=True)

"""A source under load and relays to hurt, on a real stack: what the chaos programs share."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from tests.chaos import service, stacks, topics
from tests.chaos.service import PARTITIONS
from tests.chaos.watch import Watch

from headwater import naming
from headwater.local.postgres import create_databases
from headwater.local.stack import LocalStack

ROOT = Path(__file__).parents[2]
RELAY = "headwater relay"
START_SECONDS = 45.0
STOP_SECONDS = 60.0  # a transaction under way takes long where CPU is short; one that is killed leaves it open
RETAINED_BYTES_MUCH = 100 * 1024 * 1024
TABLE = "public.outbox"
TRIES = 4
AWAY = re.compile(r"\[HW-R00[12]\]")


@dataclass
class Scene:
    """One outbox of two products, with everything applied. `module` is the relay: the product's own, or a saboteur."""

    stack: LocalStack
    folder: Path
    seed: int
    module: str = RELAY
    lane: str = "native"
    variables: dict[str, str] = field(default_factory=dict)  # of relays alone
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        mark = uuid.uuid4().hex[:8]
        self.products, self.database = service.names(mark), f"chaos_{mark}"
        self.topics = [f"{product}.v1" for product in self.products]
        self.asides = [f"{product}.v1.quarantine" for product in self.products]
        create_databases(self.stack, [self.database])
        self.dsn = stacks.address(self.stack, self.database)
        self.source, self.slot = naming.source(self.database, TABLE), naming.slot(self.database, TABLE)
        self.position_topic = naming.position_topic(self.source)
        self.log = self.folder / "relay.log"
        if self.lane == "debezium":
            self.slot = naming.capture_slot(self.database, TABLE)
        self.write_mesh()
        for command in (["schema", "lock"], ["apply"]):
            self.told(*command)
        service.make_service(self.dsn)

    def told(self, *command: str) -> None:
        """A command that must succeed; again where the broker was away, as it is for a moment where CPU is short."""
        for left in reversed(range(TRIES)):
            done = subprocess.run(
                [sys.executable, "-m", "headwater", *command],
                env=self.environment(), cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                return
            assert left and AWAY.search(done.stderr), done.stderr
            time.sleep(1.0)

    def write_mesh(self) -> None:
        """The mesh's files."""
        service.write_mesh(self.folder, self.products, self.database, self.lane)

    def environment(self, failpoint: str = "") -> dict[str, str]:
        return {
            **os.environ,
            "HEADWATER_MESH": str(self.folder),
            "HEADWATER_DATA": str(self.stack.data_folder),
            "HEADWATER_PORT_BASE": str(self.stack.ports.base),
            "HEADWATER_FAILPOINT": failpoint,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        }

    def relay(self, failpoint: str = "", *, metrics_port: int = 0, module: str = "") -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", *(module or self.module).split()]
        argv += ["--metrics-port", str(metrics_port)] if metrics_port else []
        with self.log.open("ab") as log:
            environment = {**self.environment(failpoint), **self.variables}
            process = subprocess.Popen(argv, env=environment, cwd=ROOT, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def reads(self, process: subprocess.Popen[bytes]) -> None:
        """Until the relay streams."""
        deadline = time.monotonic() + START_SECONDS
        query = "SELECT 1 FROM pg_stat_replication r JOIN pg_stat_activity a USING (pid) WHERE a.datname = %s"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while process.poll() is None and time.monotonic() < deadline:
                if connection.execute(query, [self.database]).fetchone():
                    return
                time.sleep(0.02)

    def drain(self, process: subprocess.Popen[bytes] | None = None, *, seconds: float = 60.0) -> None:
        """A relay to the end of the work: until all that was ever written is acknowledged; then it is stopped."""
        written = self.number("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        process = process or self.relay()
        self.reads(process)  # not before has it ended what the one before it left open
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.poll() is None and self.acknowledged() < written:
            time.sleep(0.1)
        if process.poll() is None and self.retained() > RETAINED_BYTES_MUCH:
            stacks.checkpoint(self.stack)  # it logs what runs: only then may a slot let go of what it has passed
            while time.monotonic() < deadline and self.retained() > RETAINED_BYTES_MUCH:
                time.sleep(0.5)
        time.sleep(1.0)  # whatever should not follow would follow now
        self.stop(process)

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def acknowledged(self) -> int:
        return self.number(
            "SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = %s", self.slot
        )

    def retained(self) -> int:
        """Bytes of log that the server keeps for the slot."""
        query = "SELECT pg_current_wal_lsn() - restart_lsn FROM pg_replication_slots WHERE slot_name = %s"
        return self.number(query, self.slot)

    def published(self) -> int:
        """What the newest committed position says may be acknowledged."""
        value = topics.newest_value(self.stack.kafka_address, self.position_topic)
        high, low = json.loads(value)["end_lsn"].split("/") if value else ("0", "0")
        return int(high, 16) << 32 | int(low, 16)

    def number(self, query: str, *values: object) -> int:
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute(query, values).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    def transaction_open(self) -> bool:
        places = topics.places_of(self.topics, PARTITIONS) + topics.places_of([self.position_topic], 1)
        return topics.open_transactions(self.stack.kafka_address, places)

    def watch(self) -> Watch:
        return Watch(self.stack.kafka_address, self.topics, PARTITIONS)

    @contextmanager
    def load(self, **options: Any) -> Iterator[dict[str, Any]]:
        """The generator while it lasts; what it did is in the value afterwards."""
        options = {"products": self.products, "seed": self.seed, **options}
        argv = [sys.executable, str(Path(__file__).with_name("generator.py")), self.dsn, json.dumps(options)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        did: dict[str, Any] = {}
        try:
            yield did
        finally:
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=60)
            did.update(json.loads(said or b"{}"))

    def said(self) -> str:
        """The end of what relays and runners have said."""
        return self.log.read_text(errors="replace")[-3_000:] if self.log.exists() else "nothing"

    def close(self) -> None:
        """End what runs, and let the server forget the slot."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.send_signal(signal.SIGCONT)
                process.wait()
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = %s",
                [self.slot],
            )
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [self.slot]
            )


S = TypeVar("S", bound=Scene)


@contextmanager
def scene(
    stack: LocalStack | None, seed: int, module: str = RELAY, lane: str = "native", kind: type[S] = Scene
) -> Iterator[S]:
    """A scene on the stack that is given, or on one of its own; `kind` is a scene with more in it."""
    there = stacks.own_stack() if stack is None else nullcontext(stack)
    with tempfile.TemporaryDirectory(prefix="headwater-chaos-") as folder, there as running:
        made = kind(running, Path(folder), seed, module, lane)
        try:
            yield made
        except BaseException:
            said = made.said()
            sys.stderr.write(f"the relay's last words:\n{said}\n")
            raise
        finally:
            made.close()


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def metric(port: int, name: str) -> float:
    """The sum of a metric over its labels, as a scrape shows it; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))
    )

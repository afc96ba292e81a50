"""R3: the slot is dropped, made anew, advanced by hand and lost, under a relay that stands still and one that runs.

Services write on all the time. The relay must stop with a reason, `headwater relay repair` must fill the gap, also
where it is killed on the way, and readers must see each committed row once and in order.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from tests.chaos import checkers, r1, r1_source

from headwater import naming
from headwater.local.stack import LocalStack

RATE = 300.0  # rows a second: work goes on through many restarts, and the end has to be caught up
STOPS_WITHIN = 30.0
REPAIR_FAILPOINTS = (
    "", "repair.after_slot:1:kill", "relay.in_commit:1:kill", "relay.after_commit:1:kill", "repair.after_fill:1:kill",
)  # fmt: skip
CODES = ("HW-O013", "HW-O015", "HW-O037", "HW-O080", "HW-O081")
WAL_MEGABYTES = 200
_NOISE = "SELECT count(pg_logical_emit_message(false, 'noise', repeat('x', 1000000))) FROM generate_series(1, %s)"


@dataclass
class Trial:
    """One slot hurt: how the relay stopped, and how long it all took."""

    variant: str
    running: bool
    stopped: bool
    code: str
    detection_seconds: float
    recovery_seconds: float
    killed_at: str
    rows: int


@dataclass
class Trouble(r1.Chaos):
    """A source under load whose slot is hurt."""

    results: list[Trial] = field(default_factory=list)

    @property
    def slot(self) -> str:
        return naming.slot(self.database, "public.outbox")

    def relay(self, failpoint: str = "") -> subprocess.Popen[bytes]:
        module = ["tests.chaos.trusting_relay"] if self.saboteur else ["headwater", "relay"]
        with (self.folder / "relay.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *module],
                env=self.environment(failpoint), cwd=r1.ROOT, stdout=log, stderr=log,
            )  # fmt: skip

    def trial(self, number: int, variant: str) -> None:
        running, log = number % 3 == 2, self.folder / "relay.log"
        process = self.relay()
        self._reads(process)
        time.sleep(1.0 + self.chance.random())
        if not running:
            _stop(process)
            time.sleep(1.0)  # rows for the gap
        mark = log.stat().st_size
        _HURT[variant](self, running)
        hurt_at = time.monotonic()
        if not running:
            time.sleep(0.5)
            hurt_at = time.monotonic()
            process = self.relay()
        stopped = self._ends(process)
        detected = time.monotonic() - hurt_at
        said = log.read_bytes()[mark:].decode(errors="replace")
        code = next((one for one in CODES if f"[{one}]" in said), "")
        began = time.monotonic()
        failpoint = REPAIR_FAILPOINTS[(number + len(variant)) % len(REPAIR_FAILPOINTS)]
        rows = self._repair(failpoint) if stopped else 0
        self.results.append(
            Trial(variant, running, stopped, code, detected, time.monotonic() - began, failpoint, rows)
        )  # fmt: skip

    def sql(self, statement: str, *parameters: object) -> Any:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchone() if cursor.description else None

    def end_walsender(self) -> None:
        self.sql(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = %s", self.slot
        )

    def free_slot(self, statement: str) -> None:
        """Do something to the slot for which no relay may hold it: a relay that runs takes it back quickly."""
        deadline = time.monotonic() + 20
        while True:
            self.end_walsender()
            try:
                self.sql(statement, self.slot)
                return
            except psycopg.errors.ObjectInUse:
                assert time.monotonic() < deadline, "the slot stays in use"

    def _repair(self, failpoint: str) -> int:
        if failpoint:
            self._call_repair(failpoint)
        done = self._call_repair("")
        assert done.returncode == 0, done.stderr
        return int(json.loads(done.stdout)["rows"])

    def _call_repair(self, failpoint: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "headwater", "relay", "repair", "--output", "json"],
            env=self.environment(failpoint), cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def _ends(self, process: subprocess.Popen[bytes]) -> bool:
        try:
            return process.wait(10.0 if self.saboteur else STOPS_WITHIN) > 0
        except subprocess.TimeoutExpired:
            _stop(process)
            return False


def _drop(trouble: Trouble, running: bool) -> None:
    trouble.free_slot("SELECT pg_drop_replication_slot(%s)")


def _make_anew(trouble: Trouble, running: bool) -> None:
    _drop(trouble, running)
    time.sleep(0 if running else 0.5)
    trouble.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", trouble.slot)


def _advance(trouble: Trouble, running: bool) -> None:
    if running:  # the relay is level with the slot: let it fall behind first, by a row that it cannot have seen
        trouble.end_walsender()
    trouble.free_slot("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())")


def _lose(trouble: Trouble, running: bool) -> None:
    if running:  # a relay that keeps up is never lost: the publication goes instead, and comes back
        trouble.sql(f'DROP PUBLICATION "{trouble.slot}"')
        time.sleep(0.5)
        options = "publish = 'insert', publish_via_partition_root"
        trouble.sql(f'CREATE PUBLICATION "{trouble.slot}" FOR TABLE public.outbox WITH ({options})')
        return
    trouble.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '32MB'")
    trouble.sql("SELECT pg_reload_conf()")
    try:
        deadline = time.monotonic() + 60
        while (
            trouble.sql("SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", trouble.slot)[0] != "lost"
        ):
            assert time.monotonic() < deadline, "the slot is not lost"
            trouble.sql(_NOISE, WAL_MEGABYTES)
            trouble.sql("SELECT pg_switch_wal()")
            trouble.sql("CHECKPOINT")
    finally:
        trouble.sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
        trouble.sql("SELECT pg_reload_conf()")


_HURT: dict[str, Callable[[Trouble, bool], None]] = {
    "dropped": _drop, "made anew": _make_anew, "advanced": _advance, "lost": _lose,
}  # fmt: skip


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(
    *, trials: int = 4, seed: int = 1, stack: LocalStack | None = None, saboteur: bool = False,
    variants: tuple[str, ...] = tuple(_HURT), first: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """So many slots hurt, the ways in turn, a third under a running relay; the result as `make chaos` writes it."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-r3-"))
    try:
        with r1.own_stack() if stack is None else nullcontext(stack) as running:
            return _result(Trouble(running, folder, seed, saboteur), trials, variants, first)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _result(trouble: Trouble, trials: int, variants: tuple[str, ...], first: int) -> dict[str, Any]:
    trouble.prepare()
    started = time.monotonic()
    generator = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("r1_generator.py")), trouble.dsn, str(RATE), str(trouble.seed)],
        stdout=subprocess.PIPE,
    )
    try:
        for number in range(trials):
            trouble.trial(first + number // len(variants), variants[number % len(variants)])
    finally:
        generator.send_signal(signal.SIGTERM)
        generator.communicate(timeout=60)
    trouble.drain()
    counts = checkers.judge(trouble.dump(), r1_source.ledger(trouble.dsn))
    bad = ("lost", "duplicates", "phantom", "order_breaks", "stamp_breaks")
    results = trouble.results
    silent = sum(not one.stopped for one in results)
    return {
        "id": "R3",
        "trials": len(results),
        **counts,
        "went_on_silently": silent,
        "detection_seconds_max": round(max(one.detection_seconds for one in results), 2),
        "recovery_seconds_max": round(max(one.recovery_seconds for one in results), 2),
        "repairs_killed": sum(bool(one.killed_at) for one in results),
        "rows_filled": sum(one.rows for one in results),
        "codes": sorted({f"{one.variant}{' (running)' if one.running else ''}: {one.code}" for one in results}),
        "upper_bound_95_percent": round(3 / len(results), 4),
        "seconds": round(time.monotonic() - started, 1),
        "seed": trouble.seed,
        "passed": not any(counts[name] for name in bad) and not silent and all(one.code for one in results),
    }

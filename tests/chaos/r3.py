"""R3: the slot is dropped, made anew, advanced by hand and lost, under a relay that stands still and one that runs.

Services write on all the time. The relay must stop with a reason, `headwater relay repair` must fill the gap, also
where it is killed on the way, and readers must see each committed row once and in order. `run(trials=40, seed=1)`.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from tests.chaos import stacks, verdict
from tests.chaos.counted import counted
from tests.chaos.scene import RELAY, Scene, scene

from headwater.local.stack import LocalStack

SABOTEURS = {"believing": "tests.chaos.relay_believing"}
RATE = 300.0  # rows a second: work goes on through many restarts, and at the end it has to be caught up
STOPS_WITHIN, GOES_ON_FOR = 30.0, 8.0  # seconds: for a relay to find out; how long a saboteur is waited for
REPAIR_FAILPOINTS = (
    "", "repair.after_slot:1:kill", "relay.in_commit:1:kill", "relay.after_commit:1:kill", "repair.after_fill:1:kill",
)  # fmt: skip
CODES = ("HW-O013", "HW-O015", "HW-O037", "HW-O080", "HW-O081")
WAL_MEGABYTES = 200
_NOISE = "SELECT count(pg_logical_emit_message(false, 'noise', repeat('x', 1000000))) FROM generate_series(1, %s)"


@dataclass(frozen=True)
class Trial:
    """One slot hurt: how the relay stopped, and how long finding out and mending took."""

    hurt: str
    code: str
    detection_seconds: float
    recovery_seconds: float
    killed_at: str
    rows: int

    def text(self) -> str:
        killed = f", killed at {self.killed_at}" if self.killed_at else ""
        return f"{self.hurt}: {self.code or 'went on silently'}, {self.rows} rows filled{killed}"


def run(*, trials: int = 40, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """Hurt so many slots, the ways in turn. The saboteur `believing` has no start check, and slots are made anew."""
    with scene(stack, seed, SABOTEURS[saboteur] if saboteur else RELAY) as made:
        ways = ["made anew"] if saboteur else list(_HURT)
        return _result(made, [(ways[n % len(ways)], n // len(ways) % 2 == 1) for n in range(trials)])


def _result(made: Scene, plan: list[tuple[str, bool]]) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    with made.load(rate=RATE):
        trials = [_trial(made, chance, number, *plan[number]) for number in counted("R3", len(plan))]
    made.drain()
    evidence = verdict.Evidence(made)
    return verdict.answer(
        "R3", made, evidence, trials=len(trials),
        asked={"went_on_silently": all(one.code for one in trials)},
        went_on_silently=sum(not one.code for one in trials),
        detection_seconds=_spread([one.detection_seconds for one in trials]),
        recovery_seconds=_spread([one.recovery_seconds for one in trials]),
        repairs_killed=sum(bool(one.killed_at) for one in trials),
        rows_filled=sum(one.rows for one in trials),
        seconds=round(time.monotonic() - started, 1),
        slots=[one.text() for one in trials],
    )  # fmt: skip


def _trial(made: Scene, chance: random.Random, number: int, way: str, running: bool) -> Trial:
    relay = made.relay()
    made.reads(relay)
    time.sleep(chance.uniform(0.5, 1.5))
    said = made.log.stat().st_size
    if not running:
        made.stop(relay)
        time.sleep(0.7)  # rows for the gap
        said = made.log.stat().st_size
    _HURT[way](made, running)
    hurt_at = time.monotonic()
    if not running:
        time.sleep(0.3)
        hurt_at, relay = time.monotonic(), made.relay()
    stopped = _ends(made, relay)
    detected = time.monotonic() - hurt_at
    words = made.log.read_bytes()[said:].decode(errors="replace")
    code = next((one for one in CODES if f"[{one}]" in words), "") if stopped else ""
    began, rows, failpoint = time.monotonic(), 0, REPAIR_FAILPOINTS[number % len(REPAIR_FAILPOINTS)]
    if stopped:
        if failpoint:
            _repair(made, failpoint)
        done = _repair(made, "")
        assert done.returncode == 0, done.stderr
        rows = int(json.loads(done.stdout)["rows"])
    hurt = f"{way}{' while it ran' if running else ''}"
    return Trial(hurt, code, detected, time.monotonic() - began, failpoint if stopped else "", rows)


def _repair(made: Scene, failpoint: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headwater", "relay", "repair", "--output", "json"],
        env=made.environment(failpoint), cwd=made.folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def _ends(made: Scene, relay: subprocess.Popen[bytes]) -> bool:
    """Whether the relay ended by itself, with an error."""
    try:
        return relay.wait(STOPS_WITHIN if made.module == RELAY else GOES_ON_FOR) > 0
    except subprocess.TimeoutExpired:
        made.stop(relay)
        return False


def _drop(made: Scene, running: bool) -> None:
    _free(made, "SELECT pg_drop_replication_slot(%s)")


def _make_anew(made: Scene, running: bool) -> None:
    _drop(made, running)
    time.sleep(0.0 if running else 0.5)
    _sql(made, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", made.slot)


def _advance(made: Scene, running: bool) -> None:
    # A row goes first, which no relay can have read: who connects for it holds the slot, and the call is refused.
    _free(made, "SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", row=True)


def _lose(made: Scene, running: bool) -> None:
    if running:  # the slot of a relay that keeps up is never lost: its publication goes instead, and comes back
        _sql(made, f'DROP PUBLICATION "{made.slot}"')
        time.sleep(0.5)
        options = "publish = 'insert', publish_via_partition_root"
        _sql(made, f'CREATE PUBLICATION "{made.slot}" FOR TABLE public.outbox WITH ({options})')
        return
    stacks.configure(made.stack, {"max_slot_wal_keep_size": "32MB"})
    deadline = time.monotonic() + 60
    while _sql(made, "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", made.slot)[0] != "lost":
        assert time.monotonic() < deadline, "the slot is not lost"
        _sql(made, _NOISE, WAL_MEGABYTES)
        _sql(made, "SELECT pg_switch_wal()")
        stacks.checkpoint(made.stack)
    stacks.configure(made.stack, {"max_slot_wal_keep_size": ""})


_HURT: dict[str, Callable[[Scene, bool], None]] = {
    "dropped": _drop, "made anew": _make_anew, "advanced": _advance, "lost": _lose,
}  # fmt: skip


def _free(made: Scene, statement: str, *, row: bool = False) -> None:
    """Do to the slot what the server does only while no relay holds it: one that runs takes it back quickly."""
    deadline = time.monotonic() + 20
    end = "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = %s"
    while True:
        _sql(made, end, made.slot)
        if row:
            _sql(made, "SELECT place_orders(ARRAY['one who waits'], %s)", made.products[0])
        try:
            _sql(made, statement, made.slot)
            return
        except psycopg.errors.ObjectInUse:
            assert time.monotonic() < deadline, "the slot stays in use"


def _sql(made: Scene, statement: str, *values: object) -> Any:
    with psycopg.connect(made.dsn, autocommit=True) as connection:
        cursor = connection.execute(statement, values or None)
        return cursor.fetchone() if cursor.description else None


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"p50": round(ordered[len(ordered) // 2], 2), "max": round(ordered[-1], 2)}

"""R8: what an outbox holds back of the database's log, while a neighbour is noisy and while its relay is down.

A quiet outbox must not hold the log of a busy server: the relay acknowledges what it knows to be empty. A relay that
cannot publish must raise the alarm before the server lets go of its slot. And one that comes back catches up at ten
times the rate of the work. `run(trials=10, seed=1)` takes a minute for each trial of the first and the last.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
from tests.chaos import stacks, verdict
from tests.chaos.scene import RELAY, Scene, scene

from headwater.local.postgres import create_databases
from headwater.local.stack import LocalStack

SABOTEURS = {"mute": "tests.chaos.relay_mute"}
LIMIT_MEGABYTES = 256  # max_slot_wal_keep_size; the relay's alarm is at half of it
NOISE_MEGABYTES_A_SECOND = 6
# So many seconds' noise may be held back. The server notes each 15 s, and with each checkpoint, from where a slot could
# begin anew, and the relay acknowledges each second; a heartbeat comes every 10 s; the rest is for a busy machine.
HELD_SECONDS_LIMIT, HELD_SECONDS_LIMIT_CHECKPOINTS = 40.0, 12.0
CHECKPOINT_EVERY = 3.0
RATE = 300.0
CATCH_UP_LEAST = 10.0  # times the rate
ALARM_SECONDS = 60.0
_NOISE = "SELECT count(pg_logical_emit_message(false, 'noise', repeat('x', 1000000))) FROM generate_series(1, %s)"
_RETAINED = "SELECT (pg_current_wal_lsn() - restart_lsn)::bigint FROM pg_replication_slots WHERE slot_name = %s"


def run(
    *, trials: int = 10, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "", seconds: float = 60.0,
    checkpoints: bool = False, timed: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """`trials` minutes in all (`seconds` each): noise beside a quiet outbox, then work without a relay.

    With `checkpoints` the server makes them often, so that a short run can tell. The control `mute` acknowledges
    nothing while idle: what the slot holds back grows with the noise. Not `timed`: how fast it catches up is told, and
    is nothing against a machine that is slow.
    """
    with scene(stack, seed, SABOTEURS[saboteur] if saboteur else RELAY) as made:
        stacks.configure(made.stack, {"max_slot_wal_keep_size": "" if saboteur else f"{LIMIT_MEGABYTES}MB"})
        try:
            return _result(made, trials, seconds, alone=bool(saboteur), checkpoints=checkpoints, timed=timed)
        finally:
            stacks.configure(made.stack, {"max_slot_wal_keep_size": ""})


def _result(made: Scene, trials: int, seconds: float, *, alone: bool, checkpoints: bool, timed: bool) -> dict[str, Any]:
    started = time.monotonic()
    quiet_seconds = trials * seconds / 2
    peak, noise = _quiet(made, quiet_seconds, checkpoints=checkpoints)
    held = peak / (noise / quiet_seconds)
    asked = {"retained_bounded": held <= (HELD_SECONDS_LIMIT_CHECKPOINTS if checkpoints else HELD_SECONDS_LIMIT)}
    more: dict[str, Any] = {
        "retained_megabytes_peak": peak, "noise_megabytes": noise, "retained_seconds_of_noise": round(held, 1),
    }  # fmt: skip
    if not alone:
        alarm = _alarm(made)
        rate, caught_up = _catch_up(made, trials * seconds / 2)
        asked["alarm_before_limit"] = 0 < alarm < LIMIT_MEGABYTES
        asked["slot_kept"] = made.acknowledged() > 0
        asked["catch_up"] = caught_up >= CATCH_UP_LEAST * rate or not timed
        more |= {
            "alarm_at_megabytes": alarm,
            "limit_megabytes": LIMIT_MEGABYTES,
            "rows_per_second": round(rate, 1),
            "catch_up_rows_per_second": round(caught_up, 1),
        }
    made.drain(seconds=15.0 if alone else 60.0)  # the control never acknowledges what it has read
    evidence = verdict.Evidence(made)
    return verdict.answer(
        "R8", made, evidence, trials=trials, asked=asked, seconds=round(time.monotonic() - started, 1), **more
    )


def _quiet(made: Scene, seconds: float, *, checkpoints: bool) -> tuple[float, float]:
    """A few rows, then noise in another database; the most that was held back, and the noise, in megabytes."""
    neighbour = f"{made.database}_neighbour"
    create_databases(made.stack, [neighbour])
    relay = made.relay()
    made.reads(relay)
    with made.load(rate=50.0):
        time.sleep(2.0)
    time.sleep(2.0)
    peak = noise = 0.0
    end, checkpoint_at = time.monotonic() + seconds, time.monotonic()
    with psycopg.connect(stacks.address(made.stack, neighbour), autocommit=True) as other:
        while time.monotonic() < end:
            began = time.monotonic()
            other.execute(_NOISE, [NOISE_MEGABYTES_A_SECOND])
            noise += NOISE_MEGABYTES_A_SECOND
            if checkpoints and time.monotonic() >= checkpoint_at:
                stacks.checkpoint(made.stack)
                checkpoint_at = time.monotonic() + CHECKPOINT_EVERY
            peak = max(peak, made.number(_RETAINED, made.slot) / 1e6)
            time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))
    made.stop(relay)
    return round(peak, 1), noise


def _alarm(made: Scene) -> float:
    """How much the slot held back when a relay that cannot publish raised the alarm, in megabytes; 0: it never did."""
    stacks.checkpoint(made.stack)
    relay = made.relay(module="tests.chaos.relay_stuck")
    said = made.log.stat().st_size
    deadline = time.monotonic() + ALARM_SECONDS
    try:
        while time.monotonic() < deadline:
            retained = made.number(_RETAINED, made.slot) / 1e6
            if b"ALARM" in made.log.read_bytes()[said:]:
                return round(retained, 1)
            if retained < LIMIT_MEGABYTES * 0.75:  # a look comes each ten seconds: the noise is to be slow beside that
                made.number(_NOISE, NOISE_MEGABYTES_A_SECOND)
            time.sleep(0.5)
        return 0.0
    finally:
        made.stop(relay)


def _catch_up(made: Scene, seconds: float) -> tuple[float, float]:
    """Work without a relay, then a relay without work: rows a second of both."""
    stacks.checkpoint(made.stack)
    before = made.number("SELECT count(*) FROM outbox")
    with made.load(rate=RATE):
        time.sleep(seconds)
    rows = made.number("SELECT count(*) FROM outbox") - before
    relay = made.relay()
    made.reads(relay)  # its start is no part of the rate
    began, end = time.monotonic(), made.number("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    while made.published() < end - 1_000_000 and made.acknowledged() < end and time.monotonic() < began + 120:
        time.sleep(0.02)
    took = time.monotonic() - began
    made.stop(relay)
    return rows / seconds, rows / took

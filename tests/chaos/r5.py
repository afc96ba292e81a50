"""R5: awkward transactions, and the relay killed in the middle of them; and one that is larger than memory should be.

`run(trials=500, seed=1)`: so many random schedules of interleaved transactions (`awkward.py`), a few in each life of a
relay whose cap is small, so that many transactions are published in parts. At the end the product's relay as it is gets
one transaction of a million rows (of 25,000 where there are few trials), and is killed in the middle of that too.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
from tests.chaos import stacks, verdict
from tests.chaos.awkward import HUGE, Lane, schedule
from tests.chaos.counted import counted
from tests.chaos.scene import RELAY, Scene, scene

from headwater.local.stack import LocalStack

CAP = 300
SMALL = f"tests.chaos.relay_small {CAP}"
SABOTEURS = {"forgetful": "tests.chaos.relay_forgetful", "hasty": "tests.chaos.relay_small 5"}
LANES, SCHEDULES_A_LIFE = 4, 5
FAILPOINTS = (("relay.after_send", 4), ("relay.in_commit", 4), ("relay.after_commit", 4), ("relay.after_position", 4))
DIES_WITHIN = 45.0
HUGE_LONG, HUGE_SHORT, HUGE_SABOTEUR, LONG_FROM = 1_000_000, 25_000, 1_500, 200
RESIDENT_MB_LIMIT = 400.0
SERVER = {"max_prepared_transactions": "20"}
# So little that the server writes nearly every transaction to its disk while it decodes.
MEMORY = "logical_decoding_work_mem = '64kB'"


def run(*, trials: int = 500, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many schedules. Saboteurs: `forgetful` begins large transactions again, `hasty` cuts small ones into parts."""
    with scene(stack, seed, SABOTEURS[saboteur] if saboteur else SMALL) as made:
        allow_prepared(made.stack)
        with psycopg.connect(stacks.address(made.stack), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {made.database} SET {MEMORY}")
        if saboteur:
            return _result(made, trials, HUGE_SABOTEUR, made.module)
        return _result(made, trials, HUGE_LONG if trials >= LONG_FROM else HUGE_SHORT, RELAY)


def allow_prepared(stack: LocalStack) -> None:
    """The server restarts for it, so it is asked for once and stays."""
    with psycopg.connect(stacks.address(stack)) as connection:
        row = connection.execute("SHOW max_prepared_transactions").fetchone()
    if row is not None and row[0] != SERVER["max_prepared_transactions"]:
        stacks.configure(stack, SERVER, restart=True)


def _result(made: Scene, trials: int, huge: int, last: str) -> dict[str, Any]:
    started, chance, did = time.monotonic(), random.Random(made.seed), Counter[str]()
    kills: list[str] = []
    with made.watch() as watch:
        with ExitStack() as held:
            lanes = [_lane(made, held, place, did) for place in range(LANES)]
            for life in counted("R5 lives", -(-trials // SCHEDULES_A_LIFE)):
                count = min(SCHEDULES_A_LIFE, trials - life * SCHEDULES_A_LIFE)
                kills.append(_life(made, lanes, chance, count, life))
        spilled = _spilled(made)
        resident = _huge(made, huge, last)
    evidence = verdict.Evidence(made)
    return verdict.answer(
        "R5", made, evidence, trials=trials, watch=watch, cap=CAP,
        asked={
            "all_killed": all(kill.endswith("-> -9") for kill in kills),
            "spilled_by_the_server": spilled > 0,
            "resident_memory": resident < RESIDENT_MB_LIMIT,
        },
        cap_rows=CAP,
        transactions=dict(sorted(did.items())),
        relay_lives=len(kills),
        huge_transaction_rows=huge,
        resident_peak_mb=resident,
        transactions_spilled=spilled,
        seconds=round(time.monotonic() - started, 1),
        kills=dict(Counter(kill.split(":")[0] for kill in kills)),
    )  # fmt: skip


def _lane(made: Scene, held: ExitStack, place: int, did: Counter[str]) -> Lane:
    connection = held.enter_context(psycopg.connect(made.dsn))
    aside = held.enter_context(psycopg.connect(made.dsn, autocommit=True))
    chance = random.Random(f"{made.seed} {place}")
    return Lane(connection, aside, f"lane{place}", made.products, chance, did)


def _life(made: Scene, lanes: list[Lane], chance: random.Random, count: int, life: int) -> str:
    """A few schedules, and a relay that dies in the middle of them: they wait for it, or it for them."""
    name, most = FAILPOINTS[life % len(FAILPOINTS)]
    at = f"{name}:{chance.randint(1, most)}:kill"
    waiting = life % 3 == 0
    process = None if waiting else made.relay(at)
    if process is not None:
        made.reads(process)
    for _ in range(count):
        schedule(lanes, chance)
    process = process or made.relay(at)
    written = made.number("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    deadline = time.monotonic() + DIES_WITHIN
    while process.poll() is None and made.acknowledged() < written and time.monotonic() < deadline:
        time.sleep(0.02)
    if process.poll() is None:
        at = "none reached: at rest"
    process.kill()
    return f"{at} -> {process.wait()}"


def _huge(made: Scene, rows: int, module: str) -> float:
    """One transaction above every cap, a relay killed in the middle of it twice; the most memory that a relay took."""
    made.drain(made.relay(module=module))  # what the schedules left: the kills are to fall into the one transaction
    with psycopg.connect(made.dsn) as connection:
        connection.execute(HUGE, {"product": made.products[0], "rows": rows})
    for at in ("relay.after_commit:1:kill", "relay.in_commit:2:kill"):
        process = made.relay(at, module=module)
        try:
            process.wait(DIES_WITHIN)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    process, peak = made.relay(module=module), 0.0
    written = made.number("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    deadline = time.monotonic() + 60 + rows / 1_000
    while made.acknowledged() < written and process.poll() is None and time.monotonic() < deadline:
        peak = max(peak, _resident_peak_mb(process.pid))
        time.sleep(0.2)
    made.drain(process)
    return peak


def _resident_peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((round(int(line.split()[1]) / 1_024, 1) for line in lines if line.startswith("VmHWM")), 0.0)


def _spilled(made: Scene) -> int:
    return made.number("SELECT spill_txns FROM pg_stat_replication_slots WHERE slot_name = %s", made.slot)

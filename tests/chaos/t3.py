"""T3: ten writers correct one event within a millisecond or so, and all ten are in the history, in one order.

`run(trials=50, seed=1)`: so many rounds. In each an event is asserted, then ten sessions have each inserted a revision
and wait behind one lock; when it opens they commit, each by itself. In every fifth round all ten are one transaction.
Then the topic must hold all ten by name, and the derived product, tick by tick, what the last of each tick says.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
from tests.chaos import downstream, reports
from tests.chaos.counted import counted
from tests.chaos.downstream import Downstream
from tests.chaos.history import Row
from tests.chaos.reports import HOUR, Report
from tests.chaos.scene import RELAY, scene

from headwater.local.stack import LocalStack

WRITERS = 10
GATE = 4_711
TOGETHER_EVERY = 5
SOME_OF = 20  # rounds of which some must come within a millisecond; how close they are the machine decides
GATHERED = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
SABOTEURS = {"newest": "tests.chaos.relay_newest"}


def run(*, trials: int = 50, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many rounds. The saboteur `newest` publishes of each event only the last in a batch."""
    with scene(stack, seed, SABOTEURS[saboteur] if saboteur else RELAY, kind=Downstream) as made:
        return _result(made, trials)


def _result(made: Downstream, trials: int) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    relay, runner = made.relay(), made.runner("tally")
    given: list[Report] = []
    ids: list[str] = []
    with ExitStack() as held, ThreadPoolExecutor(WRITERS) as threads:
        sessions = [held.enter_context(psycopg.connect(made.dsn, options="-c synchronous_commit=off"))
                    for _ in range(WRITERS + 1)]  # fmt: skip
        for trial in counted("T3", trials):
            told = _round(made, sessions, threads, chance, trial)
            given += [one for one, _ in told]
            ids += [row_id for _, row_id in told]
    made.drain(relay)
    relay = made.relay()
    orders = made.rows("orders")
    made.wait_settled("tally", orders=orders)
    derived = downstream.judged(made, "tally")
    made.stop(relay)
    left = made.stop(runner)
    spreads = _spreads(orders, trials)
    within = sum(spread <= 1_000 for spread in spreads)
    whole = sum(_accounted(orders, f"c{trial}") for trial in range(trials))
    counts = reports.counted(made, orders, given, ids) | {"order_breaks": _order_breaks(orders, trials)}
    return reports.answer(
        "T3", made, counts, trials=trials,
        asked={
            "all_ten_accounted_for": whole == trials,
            "wrong_results": not derived["wrong_results"],
            "some_within_a_millisecond": within > 0 or trials < SOME_OF,
            "runner_ends_well": left == 0,
        },
        rounds_with_all_ten=whole,
        rounds_apart=len(spreads),
        of_them_within_a_millisecond=within,
        spread_us={"least": spreads[0], "p50": spreads[len(spreads) // 2], "most": spreads[-1]} if spreads else {},
        derived=derived,
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def together(trial: int) -> bool:
    """Whether all ten of a round are one transaction."""
    return trial % TOGETHER_EVERY == TOGETHER_EVERY - 1


def _round(
    made: Downstream, sessions: list[psycopg.Connection[Any]], threads: ThreadPoolExecutor, chance: random.Random,
    trial: int,
) -> list[tuple[Report, str]]:  # fmt: skip
    first = Report(f"c{trial}", f"e{trial}", "assert", 1, chance.randrange(100), chance.randrange(5) * HOUR)
    *writers, own = sessions
    told = [(first, reports.insert(own, made.products[0], first))]
    own.commit()
    corrections = [
        first._replace(kind="correct", revision=revision, number=chance.randrange(100))
        for revision in range(2, WRITERS + 2)
    ]
    if together(trial):
        told += [(one, reports.insert(own, made.products[0], one)) for one in corrections]
        own.commit()
        return told
    chance.shuffle(corrections)
    own.execute("SELECT pg_advisory_lock(%s)", [GATE])
    own.commit()

    def write(session: psycopg.Connection[Any], one: Report) -> tuple[Report, str]:
        row_id = reports.insert(session, made.products[0], one)
        # The commit goes with the lock, so that no turn of ours lies between them.
        session.execute(f"SELECT pg_advisory_xact_lock_shared({GATE}); COMMIT")
        return one, row_id

    waiting = [threads.submit(write, session, one) for session, one in zip(writers, corrections, strict=True)]
    downstream.until(lambda: _gathered(own) == WRITERS, 10, 0.005)
    own.execute("SELECT pg_advisory_unlock(%s)", [GATE])
    own.commit()
    return told + [future.result() for future in waiting]


def _gathered(session: psycopg.Connection[Any]) -> int:
    row = session.execute(GATHERED, [GATE]).fetchone()
    session.commit()
    return int(row[0]) if row else 0


def _accounted(orders: list[Row], customer: str) -> bool:
    """Whether the assertion and all ten corrections are there, once each."""
    there = sorted(row.record["revision"] for row in orders if row.record["customer"] == customer)
    return there == list(range(1, WRITERS + 2))


def _spreads(orders: list[Row], trials: int) -> list[int]:
    """Microseconds of recorded time between the first and the last correction of each round of ten commits, rising."""
    spreads = []
    for trial in range(trials):
        if together(trial):
            continue
        times = [
            row.record["recorded_at"] for row in orders
            if row.record["customer"] == f"c{trial}" and row.record["revision"] > 1
        ]  # fmt: skip
        spreads.append(max(times, default=0) - min(times, default=0))
    return sorted(spreads)


def _order_breaks(orders: list[Row], trials: int) -> int:
    """Rounds that are not in one order: a key in more than one partition, or what it corrects is not before it."""
    breaks = 0
    for trial in range(trials):
        mine = [row for row in orders if row.record["customer"] == f"c{trial}"]
        breaks += len({row.partition for row in mine}) > 1 or (bool(mine) and mine[0].record["revision"] != 1)
    return breaks

"""T1: the same reports in so many orders of arrival, late, repeated and corrected, end in one timeline.

`run(trials=200, seed=1)`: a set of reports drawn from the seed goes through outbox, relay and runner in so many
permutations side by side, each of a customer of its own, a commit each. The newest state of all must be what the
reports say in order; and at every tick, each answer as of it must be what had arrived by then.
"""

from __future__ import annotations

import random
import time
from typing import Any

import psycopg
from tests.chaos import reports
from tests.chaos.counted import counted
from tests.chaos.downstream import RUNNER, TICK, Downstream
from tests.chaos.history import Row
from tests.chaos.reports import HOUR, Report
from tests.chaos.scene import free_port, metric, scene

from headwater.local.stack import LocalStack

SABOTEURS = {"closing": "tests.chaos.runner_closing"}
EVENTS, HOURS = 12, 5
RATE = 400.0
ACCOUNT = [f"headwater_stage_{name}_records_total" for name in ("folded", "repeated", "superseded")]


def run(*, trials: int = 200, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many permutations. The saboteur `closing` drops what comes for an hour that it takes to be over."""
    with scene(stack, seed, kind=Downstream) as made:
        return _result(made, trials, SABOTEURS[saboteur] if saboteur else RUNNER)


def drawn(chance: random.Random) -> list[Report]:
    """Events with up to four revisions, some withdrawn, moved to another hour, or said twice; in order."""
    made = []
    for number in range(EVENTS):
        for revision in range(1, chance.randint(1, 4) + 1):
            kind = "assert" if revision == 1 else "retract" if chance.random() < 0.2 else "correct"
            when = chance.randrange(HOURS) * HOUR + chance.randrange(HOUR)
            made += [Report("", f"e{number}", kind, revision, chance.randrange(100), when)] * chance.choice([1, 1, 2])
    return made


def _result(made: Downstream, trials: int, module: str) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    model, port = drawn(chance), free_port()
    relay, runner = made.relay(), made.runner("tally", module=module, metrics_port=port)
    given, ids = _deliver(made, model, chance, trials)
    made.drain(relay)
    relay = made.relay()
    orders = made.rows("orders")
    made.wait_settled("tally", orders=orders)
    account = {name: int(metric(port, name)) for name in ACCOUNT}
    made.stop(relay)
    left = made.stop(runner)
    counts = reports.counted(made, orders, given, ids) | {"order_breaks": _order_breaks(orders, given)}
    final, answers, mismatches = _answers(orders, made.rows("tally"), model, trials)
    return reports.answer(
        "T1", made, counts | {"mismatches": mismatches}, trials=trials,
        asked={
            "final_timelines": final == trials,
            "all_accounted_for": sum(account.values()) == len(given),
            "runner_ends_well": left == 0,
        },
        permutations_that_end_alike=final,
        answers_compared=answers,
        account=account,
        late=_late(given),
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _deliver(
    made: Downstream, model: list[Report], chance: random.Random, trials: int
) -> tuple[list[Report], list[str]]:
    """All permutations interleaved, each report a transaction of its own, at a steady pace."""
    waiting: list[Report] = []
    places: list[int] = []
    queues: list[list[Report]] = []
    for number in range(trials):
        mine = [one._replace(customer=f"p{number}", event_id=f"p{number} {one.event_id}") for one in model]
        chance.shuffle(mine)
        queues.append(mine)
        places += [number] * len(mine)
    chance.shuffle(places)
    waiting = [queues[number].pop() for number in places]
    ids: list[str] = []
    started = time.monotonic()
    with psycopg.connect(made.dsn, autocommit=True, options="-c synchronous_commit=off") as connection:
        for place in counted("T1", len(waiting)):
            ids.append(reports.insert(connection, made.products[0], waiting[place]))
            time.sleep(max(0.0, started + place / RATE - time.monotonic()))
    return waiting, ids


def _answers(orders: list[Row], facts: list[Row], model: list[Report], trials: int) -> tuple[int, int, int]:
    """Permutations whose end is the model's; answers as of each tick compared, and those that are not the model's."""
    final = answers = mismatches = 0
    for number in range(trials):
        customer = f"p{number}"
        mine = [row for row in orders if row.record["customer"] == customer]
        said = [row for row in facts if row.record["customer"] == customer]
        for end in sorted({row.record["recorded_at"] // TICK * TICK + TICK - 1 for row in mine}):
            arrived = [reports.report_of(row) for row in mine if row.record["recorded_at"] <= end]
            expected, found = reports.known(arrived), reports.told(said, end)
            answers += HOURS
            mismatches += sum(expected.get(hour * HOUR) != found.get(hour * HOUR) for hour in range(HOURS))
        final += reports.told(said, 1 << 62) == reports.known(model)
    return final, answers, mismatches


def _order_breaks(orders: list[Row], given: list[Report]) -> int:
    """Places at which a customer's records are not in the order of its commits."""
    breaks = 0
    for customer in {one.customer for one in given}:
        mine = [one for one in given if one.customer == customer]
        theirs = [reports.report_of(row) for row in orders if row.record["customer"] == customer]
        breaks += sum(one != other for one, other in zip(mine, theirs, strict=False))
    return breaks


def _late(given: list[Report]) -> int:
    """Reports of an hour earlier than one that its customer was heard of before."""
    latest: dict[str, int] = {}
    late = 0
    for one in given:
        late += one.occurred_at // HOUR < latest.get(one.customer, 0)
        latest[one.customer] = max(latest.get(one.customer, 0), one.occurred_at // HOUR)
    return late

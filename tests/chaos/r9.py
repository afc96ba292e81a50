"""R9: work that is never committed: rolled back, or its client killed in the middle of it. None of it may be seen.

`run(trials=100, seed=1)`: so many clients killed, by SIGKILL of their process and by the server that ends their
session, while one transaction in five is rolled back anyway.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
from tests.chaos import stacks, verdict
from tests.chaos.counted import counted
from tests.chaos.scene import RELAY, Scene, scene

from headwater.local.stack import LocalStack

SABOTEURS = {"streaming": "tests.chaos.relay_streaming"}
CLIENTS = 3
OPTIONS = {"rate": 250.0, "rollback": 0.2, "rows": 40}
LIVES_SECONDS = (0.4, 1.2)
# The server hands over each change of an open transaction at once to whoever asks for that; the relay does not ask.
AT_ONCE = "debug_logical_replication_streaming = 'immediate'"


def run(*, trials: int = 100, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """So many clients killed. The saboteur `streaming` publishes transactions while they are open."""
    with scene(stack, seed, SABOTEURS[saboteur] if saboteur else RELAY) as made:
        with psycopg.connect(stacks.address(made.stack), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {made.database} SET {AT_ONCE}")
        return _result(made, trials)


def _result(made: Scene, trials: int) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    relay = made.relay()
    clients = {place: _client(made, place, 0) for place in range(CLIENTS)}
    killed = terminated = busy = 0
    with made.watch() as watch:
        made.reads(relay)
        for trial in counted("R9", trials):
            time.sleep(chance.uniform(*LIVES_SECONDS))
            if trial % 2:
                ended = _terminate(made)
                terminated, busy = terminated + 1, busy + ended
                continue
            place = chance.randrange(CLIENTS)
            busy += made.number(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND xact_start IS NOT NULL",
                f"client {place}",
            )
            clients[place].kill()
            clients[place].wait()
            killed += 1
            clients[place] = _client(made, place, trial + 1)
        for client in clients.values():
            client.terminate()
            client.wait(60)
        made.drain(relay)
    evidence = verdict.Evidence(made)
    return verdict.answer(
        "R9", made, evidence, trials=trials, watch=watch,
        asked={"ended_in_a_transaction": busy > 0, "rows_never_committed": evidence.never_committed > 0},
        clients_killed=killed,
        sessions_terminated=terminated,
        sessions_in_a_transaction=busy,
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _client(made: Scene, place: int, life: int) -> subprocess.Popen[bytes]:
    # Keys of its own: what a killed client holds locked would hold up the others until the server notices.
    options = {**OPTIONS, "products": made.products, "seed": made.seed + 1_000 * life + place, "prefix": f"c{place}-"}
    dsn = f"{made.dsn}?application_name=client%20{place}"
    generator = str(Path(__file__).with_name("generator.py"))
    return subprocess.Popen([sys.executable, generator, dsn, json.dumps(options)], stdout=subprocess.DEVNULL)


def _terminate(made: Scene) -> int:
    """End every client's session; how many of them were in a transaction."""
    return made.number(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid) AND xact_start IS NOT NULL) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE 'client %%'"
    )

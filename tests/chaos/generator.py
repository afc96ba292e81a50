"""Writes orders at a steady rate until SIGTERM: `python generator.py <dsn> <options as JSON>`; prints what it did.

Of the transactions some are rolled back, 10 % roll back to a savepoint, and beside them long ones run, interleaved and
with keys of their own. One transaction in three hundred is large. Where the server goes, it waits for it.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time
from typing import Any

import psycopg

CUSTOMERS = 40
PLACE = "SELECT place_orders(%s, %s)"
OPTIONS = {"products": [], "rate": 800.0, "seed": 1, "rows": 20, "rollback": 0.1, "long": True, "prefix": "c"}
stopping = threading.Event()


def main(dsn: str, options: dict[str, Any]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    long_one = threading.Thread(target=long_transactions, args=(dsn, options))
    if options["long"]:
        long_one.start()
    started = time.monotonic()
    counts = {"transactions": 0, "rolled_back": 0, "savepoints": 0, "reconnects": 0}
    steady(dsn, options, counts)
    if options["long"]:
        long_one.join()
    print(json.dumps({**counts, "seconds": time.monotonic() - started}))


def steady(dsn: str, options: dict[str, Any], counts: dict[str, int]) -> None:
    chance, rate, rows = random.Random(options["seed"]), options["rate"], options["rows"]
    customers = [f"{options['prefix']}{number}" for number in range(CUSTOMERS)]
    started, written = time.monotonic(), 0
    while not stopping.is_set():
        try:
            # The commit does not wait for the disk, nor do we: work must stay steady on a busy machine. The order is
            # the same, and what a crash of the server takes back is nothing that a relay can have seen.
            with psycopg.connect(dsn, options="-c synchronous_commit=off") as connection:
                while not stopping.is_set():
                    size = 1_500 if rows > 1 and chance.random() < 1 / 300 else chance.randint(1, rows)
                    one_transaction(connection, chance, sorted(chance.choices(customers, k=size)), options, counts)
                    written += size
                    ahead = written / rate - (time.monotonic() - started)
                    if ahead > 0:
                        time.sleep(ahead)
                    elif ahead < -1:  # it was away: no catching up at full speed
                        started = time.monotonic() - written / rate
        except psycopg.OperationalError:
            counts["reconnects"] += 1
            stopping.wait(0.1)


def one_transaction(
    connection: psycopg.Connection[Any], chance: random.Random, names: list[str], options: dict[str, Any],
    counts: dict[str, int],
) -> None:  # fmt: skip
    first, second = options["products"]
    part = chance.randint(0, len(names)) if chance.random() < 0.3 else len(names)
    connection.execute(PLACE, [names[:part], first])
    if part < len(names):
        connection.execute(PLACE, [names[part:], second])
        connection.execute("INSERT INTO aside_table VALUES (1, 'of no outbox')")
    if chance.random() < 0.1:
        connection.execute("SAVEPOINT half")
        connection.execute(PLACE, [names[:3], first])
        connection.execute("ROLLBACK TO SAVEPOINT half")
        counts["savepoints"] += 1
    if chance.random() < options["rollback"]:
        connection.rollback()
        counts["rolled_back"] += 1
    else:
        connection.commit()
    counts["transactions"] += 1


def long_transactions(dsn: str, options: dict[str, Any]) -> None:
    """Open for a second each, while hundreds of others commit."""
    chance = random.Random(options["seed"] + 1)
    while not stopping.is_set():
        try:
            with psycopg.connect(dsn) as connection:
                while not stopping.is_set():
                    for _ in range(5):
                        names = sorted(
                            chance.choices([options["prefix"] + "slow-a", options["prefix"] + "slow-b"], k=4)
                        )
                        connection.execute(PLACE, [names, options["products"][chance.randint(0, 1)]])
                        stopping.wait(0.2)
                    if chance.random() < options["rollback"] * 2:
                        connection.rollback()
                    else:
                        connection.commit()
        except psycopg.OperationalError:
            stopping.wait(0.1)


if __name__ == "__main__":
    main(sys.argv[1], {**OPTIONS, **json.loads(sys.argv[2])})

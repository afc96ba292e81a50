"""Writes orders at a steady rate until SIGTERM: `python r1_generator.py <dsn> <rate> <seed>`; prints what it did.

Of the transactions 10 % are rolled back, 10 % roll back to a savepoint, and beside them long ones run, interleaved and
with keys of their own. One transaction in three hundred is large.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time

import psycopg

CUSTOMERS = [f"c{number}" for number in range(40)]
PLACE = "SELECT place_orders(%s)"
stopping = threading.Event()


def main(dsn: str, rate: float, seed: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    long_one = threading.Thread(target=long_transactions, args=(dsn, seed))
    long_one.start()
    started = time.monotonic()
    counts = steady(dsn, rate, random.Random(seed))
    long_one.join()
    print(json.dumps({**counts, "seconds": time.monotonic() - started}))


def steady(dsn: str, rate: float, chance: random.Random) -> dict[str, int]:
    counts = {"committed": 0, "rolled_back": 0, "savepoints": 0, "transactions": 0}
    # The commit does not wait for the disk, nor do we: work must stay steady on a busy machine. The order is the same.
    with psycopg.connect(dsn, options="-c synchronous_commit=off") as connection:
        started, written = time.monotonic(), 0
        while not stopping.is_set():
            size = 1_500 if chance.random() < 1 / 300 else chance.randint(1, 20)
            names = chance.choices(CUSTOMERS, k=size)
            connection.execute(PLACE, [names])
            if chance.random() < 0.1:
                connection.execute("SAVEPOINT half")
                connection.execute(PLACE, [names[:3]])
                connection.execute("ROLLBACK TO SAVEPOINT half")
                counts["savepoints"] += 1
            if chance.random() < 0.1:
                connection.rollback()
                counts["rolled_back"] += size
            else:
                connection.commit()
                counts["committed"] += size
            counts["transactions"] += 1
            written += size
            ahead = written / rate - (time.monotonic() - started)
            if ahead > 0:
                time.sleep(ahead)
    return counts


def long_transactions(dsn: str, seed: int) -> None:
    """Open for a second each, while hundreds of others commit."""
    chance = random.Random(seed + 1)
    with psycopg.connect(dsn) as connection:
        while not stopping.is_set():
            for _ in range(5):
                connection.execute(PLACE, [chance.choices(["slow-a", "slow-b"], k=4)])
                stopping.wait(0.2)
            if chance.random() < 0.2:
                connection.rollback()
            else:
                connection.commit()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))

"""Awkward transactions, drawn from a seed: lanes of them, interleaved step by step by one thread.

A lane has a connection and keys of its own, so that no lane waits for another, and it knows the version that each key
has got by what is committed: savepoints and rollbacks take versions back.
"""

from __future__ import annotations

import json
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

ROWS_SMALL, ROWS_ABOVE_CAP = 12, 450
SUBTRANSACTIONS = 70  # more than the 64 that a server keeps of a session in shared memory
ROLLED_BACK = 0.15
# Rows and ledger of one statement; the sequence counts attempts, for it alone is not rolled back.
_ROWS = """WITH made AS (
  INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, key_version, event_id)
  SELECT id, product, key, product || '.Order',
    jsonb_build_object('customer', key, 'number', version, 'occurred_at', 1), version, id::text
  FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[]) AS row(id, product, key, version)
  RETURNING id, aggregatetype, aggregateid, key_version)
INSERT INTO ledger SELECT id, aggregatetype, aggregateid, key_version, pg_current_xact_id(), id::text, 'assert', 1,
  'published' FROM made WHERE nextval('attempted') > 0"""
_COPY = "COPY outbox (id, aggregatetype, aggregateid, type, payload, key_version, event_id) FROM STDIN"
_LEDGER = """INSERT INTO ledger SELECT id, product, key, version, pg_current_xact_id(), id::text, 'assert', 1,
  'published' FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[]) AS row(id, product, key, version)
  WHERE nextval('attempted') > 0"""
_BAD = """WITH made AS (INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload)
  VALUES (%s, %s, %s, %s, '{}') RETURNING id, aggregatetype, aggregateid)
INSERT INTO ledger SELECT id, aggregatetype, aggregateid, 0, pg_current_xact_id(), '', '', 0, 'quarantined' FROM made"""
HUGE = """WITH made AS (
  INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, key_version, event_id)
  SELECT id, %(product)s::text, key, %(product)s::text || '.Order',
    jsonb_build_object('customer', key, 'number', version, 'occurred_at', 1), version, id::text
  FROM (SELECT gen_random_uuid() AS id, 'huge-' || n %% 8 AS key, n / 8 + 1 AS version
    FROM generate_series(0, %(rows)s::int - 1) AS n) AS row
  RETURNING id, aggregatetype, aggregateid, key_version)
INSERT INTO ledger SELECT id, aggregatetype, aggregateid, key_version, pg_current_xact_id(), id::text, 'assert', 1,
  'published' FROM made WHERE nextval('attempted') > 0"""

Versions = dict[tuple[str, str], int]
Rows = tuple[list[uuid.UUID], list[str], list[str], list[int]]


@dataclass
class Lane:
    """Transactions one after the other on a connection of their own; `did` counts what they were."""

    connection: psycopg.Connection[Any]
    aside: psycopg.Connection[Any]  # resolves what is prepared, as another session does
    name: str
    products: list[str]
    chance: random.Random
    did: Counter[str]
    versions: Versions = field(default_factory=lambda: defaultdict(int))

    def transaction(self) -> Iterator[None]:
        """One transaction, which yields between its steps and leaves the lane idle."""
        before, kinds = Versions(self.versions), self._kinds()
        for step in [self.chance.choice(kinds) for _ in range(self.chance.randint(1, 4))]:
            yield from step()
            yield
        if self.chance.random() < 0.25:
            kept = yield from self._prepared()
        elif kept := self.chance.random() >= ROLLED_BACK:
            self.connection.commit()
        else:
            self.connection.rollback()
        self.did["committed" if kept else "rolled back"] += 1
        if not kept:
            self.versions = defaultdict(int, before)

    def _kinds(self) -> list[Callable[[], Iterator[None]]]:
        often = [self._statement, self._statement, self._copy, self._savepoint, self._other_tables, self._bad]
        return [*often, self._nested, self._above_cap] if self.chance.random() < 0.25 else often

    def _statement(self) -> Iterator[None]:
        self._insert(self.chance.randint(1, ROWS_SMALL))
        yield

    def _copy(self) -> Iterator[None]:
        rows = self._rows(self.chance.randint(2, ROWS_SMALL))
        with self.connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row_id, product, key, version in zip(*rows, strict=True):
                payload = json.dumps({"customer": key, "number": version, "occurred_at": 1})
                copy.write_row((row_id, product, key, f"{product}.Order", payload, version, str(row_id)))
        self.connection.execute(_LEDGER, rows)
        self.did["copy"] += 1
        yield

    def _savepoint(self) -> Iterator[None]:
        self.connection.execute("SAVEPOINT one")
        before = Versions(self.versions)
        self._insert(self.chance.randint(1, ROWS_SMALL))
        yield
        if self.chance.random() < 0.7:
            self.connection.execute("ROLLBACK TO SAVEPOINT one")
            self.versions = defaultdict(int, before)
            self.did["savepoint rolled back"] += 1
        else:
            self.connection.execute("RELEASE SAVEPOINT one")

    def _nested(self) -> Iterator[None]:
        """Subtransactions in subtransactions, each with a row; some inner ones are taken back."""
        for number in range(SUBTRANSACTIONS):
            self.connection.execute(f"SAVEPOINT s{number}")
            before = Versions(self.versions)
            self._insert(1)
            if self.chance.random() < 0.3:
                self.connection.execute(f"ROLLBACK TO SAVEPOINT s{number}")
                self.versions = defaultdict(int, before)
        self.did["nested"] += 1
        yield

    def _above_cap(self) -> Iterator[None]:
        self._insert(ROWS_ABOVE_CAP + self.chance.randint(0, ROWS_ABOVE_CAP))
        self.did["above the cap"] += 1
        yield

    def _other_tables(self) -> Iterator[None]:
        self.connection.execute("INSERT INTO aside_table SELECT n, 'of no outbox' FROM generate_series(1, 50) AS n")
        yield
        self._insert(2)

    def _bad(self) -> Iterator[None]:
        product = self.chance.choice(self.products)
        self.connection.execute(_BAD, (self._id(), product, f"{self.name}-0", f"{product}.Order"))
        self.did["bad row"] += 1
        yield

    def _prepared(self) -> Iterator[None]:
        """PREPARE TRANSACTION, and after what others do meanwhile its end, by another session; was it committed?"""
        # The name is one of the whole server's, and another run of this seed may be beside this one.
        name = f"{self.connection.info.dbname}-{self.name}-{self.chance.getrandbits(64):x}"
        self.connection.execute(f"PREPARE TRANSACTION '{name}'")
        self.connection.rollback()  # of nothing: it tells the client that its transaction is gone
        for _ in range(self.chance.randint(0, 3)):
            yield
        kept = self.chance.random() >= ROLLED_BACK
        self.aside.execute(f"{'COMMIT' if kept else 'ROLLBACK'} PREPARED '{name}'")
        self.did["prepared"] += 1
        return kept

    def _insert(self, count: int) -> None:
        self.connection.execute(_ROWS, self._rows(count))

    def _rows(self, count: int) -> Rows:
        places = [(self.chance.choice(self.products), f"{self.name}-{self.chance.randint(0, 5)}") for _ in range(count)]
        numbers = []
        for place in places:
            self.versions[place] += 1
            numbers.append(self.versions[place])
        return [self._id() for _ in places], [one for one, _ in places], [key for _, key in places], numbers

    def _id(self) -> uuid.UUID:
        return uuid.UUID(int=self.chance.getrandbits(128), version=4)


def schedule(lanes: list[Lane], chance: random.Random) -> None:
    """One or two transactions of each of some lanes, interleaved at random, to their end."""
    chosen = chance.sample(lanes, chance.randint(2, len(lanes)))
    left = [_in_turn(lane, chance.randint(1, 2)) for lane in chosen]
    while left:
        one = chance.choice(left)
        if next(one, StopIteration) is StopIteration:
            left.remove(one)


def _in_turn(lane: Lane, count: int) -> Iterator[None]:
    for _ in range(count):
        yield from lane.transaction()

"""The outbox that W1 drains: its table is the one that `headwater apply` makes; here services commit seeded rows to it.

While rows are written no system runs. Each system has a replication slot of its own, so that both read the same
committed rows, one after the other, from the same write-ahead log.
"""

from __future__ import annotations

import psycopg

from bench.filling import ORDERS, PARTITIONS
from bench.kafka import Kafka
from bench.outbox_rows import OutboxLog
from headwater import naming
from headwater.ports.keys import partition_of

TABLE = "public.outbox"
SCHEMA = naming.schema_full_name(ORDERS, "Order")

INSERT = f"""
INSERT INTO {TABLE} (id, aggregatetype, aggregateid, type, payload, event_id)
SELECT row.id, '{ORDERS}', row.customer, '{SCHEMA}', row.payload::jsonb, row.id
FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS row(id, customer, payload)
"""


def load(address: str, log: OutboxLog) -> None:
    """Commit the rows, transaction by transaction."""
    with psycopg.connect(address) as connection:
        connection.execute("SET synchronous_commit = off")  # the load is not what is measured
        connection.commit()
        for transaction in log.transactions():
            columns = tuple(list(column) for column in zip(*transaction, strict=True))
            connection.execute(INSERT, columns, prepare=True)
            connection.commit()


class Arrivals:
    """How many rows of one load have arrived in a topic, and whether the last of each partition has."""

    def __init__(self, kafka: Kafka, topic: str, log: OutboxLog) -> None:
        self._kafka = kafka
        self._topic = topic
        self.rows = log.rows
        self._last: dict[int, str] = {}
        for transaction in log.transactions():
            for row in transaction:
                self._last[partition_of(row.customer.encode(), PARTITIONS)] = row.id
        self.start = kafka.ends(topic, PARTITIONS)

    def count(self) -> int:
        """Rows that can be read; all of them only once the last row of every partition is there.

        Offsets count transaction markers too, so a sum of offsets alone would be ahead of the truth.
        """
        ends = self._kafka.ends(self._topic, PARTITIONS, committed=True)
        moved = sum(ends) - sum(self.start)
        if moved < self.rows:
            return moved
        arrived = all(
            self._kafka.last_header(self._topic, number, ends[number], "id") == row_id
            for number, row_id in self._last.items()
        )
        return self.rows if arrived else self.rows - 1

"""What Debezium captured, read back as the replication stream that PostgreSQL would have sent; pure.

The capture topic has one partition, so that it keeps the order of commits, and holds four kinds of record: the start
and the end of a transaction (`provide.transaction.metadata`), a row, a logical message. A position in it is an offset:
a transaction is known by the offset of its start, and what may be forgotten ends behind the offset of its end.

Each row says the how-manieth of its transaction it is, and each end how many there were, and where in the log. So a
row that Connect wrote twice is passed over; one that is missing, or a transaction that comes again, stops the lane.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from headwater.errors import Fault
from headwater.outbox import pgoutput_write
from headwater.outbox.pgoutput import Begin, Commit, Keepalive, LogicalMessage, Relation
from headwater.ports.record import Message
from headwater.timeline.instant import Instant

_RELATION = 1  # one table, so one identifier
# What the connector's configuration (`debezium.py`) calls the fields that it adds to a row.
OPERATION, TRANSACTION, COMMITTED_AT, ORDER = "_op", "_transaction", "_committed_at", "_order"
_ADDED = frozenset({OPERATION, TRANSACTION, COMMITTED_AT, ORDER})
INSERTED, LOGICAL = "c", "m"


class CaptureDecoder:
    """Turns records of the capture topic into messages of `pgoutput`. `table` is `schema.table`."""

    def __init__(self, *, table: str) -> None:
        self._table = table
        self._open: str | None = None  # the open transaction's id
        self._start = 0  # the offset of its start
        self._seen = 0  # rows and logical messages of it, whatever became of them
        self._begun = False  # its start was handed on
        self._end_lsn = 0  # where the last transaction ended in the database's log: the next one ends behind it
        self._columns: tuple[str, ...] = ()
        self._encoders: tuple[tuple[str, bool], ...] = ()
        self.answered = 0  # transactions without a row that have ended: those that a pulse makes

    def feed(self, records: Sequence[Message]) -> list[bytes]:
        """The messages that these records stand for, in order. Raises `Fault` HW-O127 where a record is missing."""
        out: list[bytes] = []
        for record in records:
            value = json.loads(record.value) if record.value is not None else {}
            if OPERATION in value:
                self._row(record, value, out)
            elif "status" in value:
                if value["status"] == "BEGIN":
                    self._begin(record, value)
                else:
                    self._end(record, value, out)
            elif value.get("op") == LOGICAL:
                self._logical(record, value, out)
        return out

    def _begin(self, record: Message, value: Mapping[str, Any]) -> None:
        transaction = str(value["id"]).partition(":")[0]
        if transaction == self._open:
            return  # Connect began again in the middle of it
        if self._open is not None:
            raise self._gap(record, "a transaction begins before the one before it has ended")
        self._open, self._start, self._seen, self._begun = transaction, record.offset, 0, False

    def _end(self, record: Message, value: Mapping[str, Any], out: list[bytes]) -> None:
        if self._open is None:
            return  # its start lies before the place where reading began: all of it is published
        if str(value["id"]).partition(":")[0] != self._open or value["event_count"] != self._seen:
            raise self._gap(record, f"a transaction of {value['event_count']} rows ends after {self._seen}")
        self._open = None
        end_lsn, last_lsn = int(str(value["id"]).partition(":")[2]), self._end_lsn
        self._end_lsn = max(end_lsn, last_lsn)
        committed_at = int(value["ts_ms"]) * 1_000
        if self._begun:
            if end_lsn <= last_lsn:
                raise self._gap(record, "a transaction comes again after a later one: Connect's exactly-once is off")
            body = pgoutput_write.commit(Commit(self._start, record.offset + 1), committed_at=committed_at)
            out.append(pgoutput_write.data(body, lsn=record.offset, sent_at=committed_at))
            return
        self.answered += 1
        out.append(pgoutput_write.keepalive(Keepalive(record.offset + 1, Instant(committed_at), reply=False)))

    def _row(self, record: Message, value: dict[str, Any], out: list[bytes]) -> None:
        if not self._next(record, str(value[TRANSACTION]), value[ORDER]) or value[OPERATION] != INSERTED:
            return
        committed_at = value[COMMITTED_AT]
        self._begins(committed_at, out)
        columns = tuple(name for name in value if name not in _ADDED)
        if columns != self._columns:
            self._columns = columns
            schema, _, table = self._table.partition(".")
            body = pgoutput_write.relation(Relation(_RELATION, schema, table, columns))
            out.append(pgoutput_write.data(body, lsn=record.offset, sent_at=committed_at))
        body = pgoutput_write.insert(_RELATION, [_text(name, value[name]) for name in columns])
        out.append(pgoutput_write.data(body, lsn=record.offset, sent_at=committed_at))

    def _logical(self, record: Message, value: Mapping[str, Any], out: list[bytes]) -> None:
        source = value["source"]
        if value.get("transaction") is None:  # outside any transaction: it is one of its own
            content = base64.b64decode(value["message"]["content"])
            message = LogicalMessage(value["message"]["prefix"], content, record.offset + 1, transactional=False)
            body = pgoutput_write.logical_message(message)
            out.append(pgoutput_write.data(body, lsn=record.offset, sent_at=source["ts_us"]))
            return
        if not self._next(record, str(source["txId"]), value["transaction"]["total_order"]):
            return
        self._begins(source["ts_us"], out)
        content = base64.b64decode(value["message"]["content"])
        body = pgoutput_write.logical_message(LogicalMessage(value["message"]["prefix"], content, record.offset))
        out.append(pgoutput_write.data(body, lsn=record.offset, sent_at=source["ts_us"]))

    def _begins(self, committed_at: int, out: list[bytes]) -> None:
        # Only a row has the commit time in microseconds: the transaction's start is handed on with its first.
        if not self._begun:
            self._begun = True
            body = pgoutput_write.begin(Begin(self._start, Instant(committed_at)))
            out.append(pgoutput_write.data(body, lsn=self._start, sent_at=committed_at))

    def _next(self, record: Message, transaction: str, order: int) -> bool:
        """Whether this is the next of the open transaction; False for one that was seen already."""
        if transaction != self._open:
            raise self._gap(record, "a row comes without the start of its transaction")
        if order <= self._seen:
            return False
        if order != self._seen + 1:
            raise self._gap(record, f"row {order} of a transaction follows row {self._seen}")
        self._seen = order
        return True

    def _gap(self, record: Message, what: str) -> Fault:
        return Fault(
            f"the capture topic of {self._table} has a gap before offset {record.offset}",
            code="HW-O127",
            detail=what,
            hint="compare the connector with headwater connector generate; rows may be missing: headwater relay repair",
        )


def _text(name: str, value: object) -> bytes | None:
    """A value as PostgreSQL prints it."""
    if value is None:
        return None
    if isinstance(value, str):
        if name == "payload_avro":  # the one binary column; Debezium has it as base64
            return b"\\x" + base64.b64decode(value).hex().encode()
        return value.encode()
    return str(value).encode()

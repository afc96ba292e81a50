"""What lies behind a relay's position: the ids of rows that it has not come to yet, read without moving anything.

Two logs are asked: the database's own (`book_postgres.py`), and the capture topic that Debezium fills.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

from headwater import naming
from headwater.outbox.batching import Assembler, Limits
from headwater.outbox.capture import CaptureDecoder
from headwater.outbox.position import Position
from headwater.ports.protocol import Broker
from headwater.ports.record import Message, TopicPartition

_POLL_RECORDS = 2_000
_POLL_SECONDS = 0.5


def row_ids(position: Position, table: str, chunks: Iterable[Sequence[bytes]]) -> Iterator[str]:
    """The ids of the rows in these messages of a replication stream that are not published at the position."""
    assembler = Assembler(position, table=table, tick=1, limits=Limits(rows=1))
    for chunk in chunks:
        assembler.feed(chunk)
        while (batch := assembler.take()) is not None:
            for segment in batch.segments:
                for run in segment.runs:
                    yield from ((run.read(item)[0] or b"").decode() for item in run.items)


class CapturedLog:
    """The `Log` of a source in the Debezium lane, for a book that was written up to `written` in the database's log.

    `pulse` commits a transaction without rows: its end, once it is captured, shows that everything before it is too.
    """

    def __init__(self, broker: Broker, *, source: str, table: str, written: int, pulse: Callable[[], None]) -> None:
        self._broker, self._table, self._written, self._pulse = broker, table, written, pulse
        self._place = TopicPartition(naming.capture_topic(source), 0)

    def passed(self, position: Position) -> bool:
        """Whether the transaction that ends at the position was committed after the book was read."""
        return not position.partial and ended_before(self._broker, self._place, position.end_lsn) >= self._written

    def waiting(self, position: Position) -> Iterator[str] | None:
        """What was captured behind the position; None until Debezium has come to where the book was read."""
        records = self._captured(position.commit_lsn if position.partial else position.end_lsn)
        if records is None:
            self._pulse()
            return None
        return row_ids(position, self._table, [CaptureDecoder(table=self._table).feed(records)])

    def _captured(self, first: int) -> list[Message] | None:
        """The records from an offset to the end of the first transaction that ends behind the book."""
        found: list[Message] = []
        reader = self._broker.reader({self._place: max(first, self._broker.starts([self._place])[self._place])})
        try:
            while records := [one for one in reader.poll(_POLL_RECORDS, _POLL_SECONDS) if isinstance(one, Message)]:
                for record in records:
                    found.append(record)
                    status, end_lsn = boundary(record)
                    if status == "END" and end_lsn >= self._written:
                        return found
        finally:
            reader.close()
        return None


def ended_before(broker: Broker, place: TopicPartition, offset: int) -> int:
    """Where in the database's log the transaction ended whose end lies right before this offset; 0 where none does."""
    if broker.starts([place])[place] >= offset:
        return 0
    reader = broker.reader({place: offset - 1})
    try:
        last = next((one for one in reader.poll(1, 10.0) if isinstance(one, Message)), None)
    finally:
        reader.close()
    if last is None or last.offset != offset - 1:
        return 0
    status, end_lsn = boundary(last)
    return end_lsn if status == "END" else 0


def boundary(record: Message) -> tuple[str, int]:
    """Whether a record of the capture topic is a transaction's start or end, and its place in the database's log."""
    value = json.loads(record.value or b"{}")
    if "status" not in value:
        return "", 0
    return str(value["status"]), int(str(value["id"]).partition(":")[2] or 0)

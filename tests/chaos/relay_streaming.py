"""A saboteur of R9: a relay that publishes changes as they are made, and does not wait for their commit.

It asks the server for protocol version 2, which streams transactions that are open, and dresses each piece up as a
whole transaction. What is rolled back later is in the topics then.
"""

from __future__ import annotations

import sys
from struct import Struct

from headwater.cli.main import main
from headwater.outbox import store_postgres
from headwater.outbox.pgoutput import BODY, COMMIT, DATA, INSERT, RELATION

_START, _STOP, _STREAM_COMMIT, _STREAM_ABORT, _BEGIN = (tag[0] for tag in (b"S", b"E", b"c", b"A", b"B"))
_HEAD, _BEGIN_BODY, _COMMIT_BODY = Struct(">cqqq"), Struct(">cqqi"), Struct(">cbqqq")


class StreamingSession(store_postgres.PostgresSession):
    """A walsender that is asked for open transactions too."""

    _last = 0
    _inside = False

    def start(self) -> None:
        command = (
            f'START_REPLICATION SLOT "{self._outbox.slot}" LOGICAL 0/0 '
            f"(proto_version '2', streaming 'on', publication_names '\"{self._outbox.publication}\"')"
        )
        result = self._pg.exec_(command.encode())
        assert result.status == store_postgres.pq.ExecStatus.COPY_BOTH, result.error_message
        self._pg.nonblocking = 1

    def read(self, limit: int, timeout: float) -> list[bytes]:
        found = [self._dressed(message) for message in super().read(limit, timeout)]
        return [message for message in found if message]

    def confirm(self, lsn: int) -> None:
        super().confirm(max(lsn, self._confirmed))

    def _dressed(self, message: bytes) -> bytes:
        if message[0] != DATA:
            return message if not self._inside else b""
        tag, (_, at, _, sent_at) = message[BODY], _HEAD.unpack_from(message)
        if tag == _START:
            self._inside, self._last = True, max(self._last + 2, at)
            return message[:BODY] + _BEGIN_BODY.pack(b"B", self._last, sent_at, 0)
        if tag == _STOP:
            self._inside = False
            return message[:BODY] + _COMMIT_BODY.pack(b"C", 0, self._last, self._last + 1, sent_at)
        if tag in (_STREAM_COMMIT, _STREAM_ABORT):
            return b""
        if tag == COMMIT:
            self._last = max(self._last, at)
        if self._inside and tag in (INSERT, RELATION):
            return message[: BODY + 1] + message[BODY + 5 :]  # without the number of the transaction
        return message


if __name__ == "__main__":
    store_postgres.PostgresSession = StreamingSession  # type: ignore[misc]
    sys.argv = ["headwater", "relay", *sys.argv[1:]]
    main()

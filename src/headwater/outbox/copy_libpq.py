"""The replication stream through libpq, as it must be where the connection is encrypted."""

from __future__ import annotations

import select
from typing import Any

import psycopg
from psycopg import pq

from headwater.outbox.copy_stream import READ_BYTES, StreamError, noticed


class LibpqStream:
    """As `CopyStream`, on a libpq connection."""

    def __init__(self, connection: Any) -> None:
        self._pg = connection
        self._poll = select.poll()
        self._poll.register(connection.socket, select.POLLIN)
        self._size = 0
        self._notices: list[StreamError] = []
        self._ended: StreamError | None = None
        connection.notice_handler = lambda result: self._notices.append(refusal(result))

    def start(self, command: str) -> None:
        """Ask for the stream; raises `StreamError`, after which it may be asked for again."""
        result = self._pg.exec_(command.encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise refusal(result)
        self._pg.nonblocking = 1

    def read(self, limit: int, timeout: float) -> list[bytes]:
        """Up to `limit` messages, waiting up to `timeout` seconds for the first; raises `StreamError`."""
        if self._ended is not None:
            raise self._ended
        messages: list[bytes] = []
        self._size = 0
        try:
            self._take(messages, limit)
            while len(messages) < limit and self._size < READ_BYTES:
                if not self._poll.poll(0 if messages else int(timeout * 1_000)):
                    break
                self._pg.consume_input()
                self._take(messages, limit)
        except psycopg.Error as error:
            self._ended = StreamError("", str(error))
        except StreamError as error:
            self._ended = error
        while self._notices:
            noticed(self._notices.pop())
        if self._ended is not None and not messages:
            raise self._ended
        return messages  # what came before an end is handed over first

    def send(self, message: bytes) -> None:
        """Say something within the stream: feedback."""
        try:
            self._pg.put_copy_data(message)
            self._pg.flush()
        except psycopg.Error as error:
            raise StreamError("", str(error)) from None

    def close(self) -> None:
        """Leave the connection to its owner."""

    def _take(self, messages: list[bytes], limit: int) -> None:
        append, get = messages.append, self._pg.get_copy_data
        for _ in range(limit - len(messages)):
            size, data = get(1)
            if size <= 0:
                if size < 0:
                    raise refusal(self._pg.get_result())
                return
            append(bytes(data))
            self._size += size


def refusal(result: Any) -> StreamError:
    """What a result says that is none."""
    if result is None:
        return StreamError("", "the server ended the stream")
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    return StreamError(state, result.error_message.decode(errors="replace").strip())

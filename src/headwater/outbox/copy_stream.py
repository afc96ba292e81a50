"""The replication stream read from the connection's own socket: PostgreSQL's frames, without libpq's copies of each.

libpq connects and authenticates. Once the stream is asked for, the server sends nothing but frames of a byte and a
length, and libpq would allocate, copy and hand over each of them singly, at twice the cost of all the rest of reading.
Only where nothing encrypts the connection: else the bytes of the socket are not the frames.
"""

from __future__ import annotations

import os
import select
import socket
from struct import Struct

READ_BYTES = 4 * 1024 * 1024  # taken in by one `read`, so that large rows do not fill the memory by their number
_RECEIVED = 256 * 1024
_PATIENCE_MS = 10_000  # for a server that takes no feedback
_HEAD = 5
_LENGTH = Struct(">i")
_FRAME = Struct(">ci")
_COPY_DATA, _COPY_BOTH, _COPY_DONE, _ERROR, _READY, _NOTICE = b"dWcEZN"
PUBLICATION_SKIPPED = "publication skipped"  # in place of a SQLSTATE: rows were passed over, for lack of a publication
_NOT_IN_PREREQUISITE_STATE = "55000"


class StreamError(Exception):
    """What the server said in place of the stream: its SQLSTATE (empty: it cut the connection) and its message."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state
        self.message = message


class CopyStream:
    """A connection's socket from the command that starts a stream on. The connection's owner closes it."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._poll, self._room = select.poll(), select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._room.register(self._socket, select.POLLOUT)
        self._data = b""
        self._at = 0
        self._ended: StreamError | None = None

    def start(self, command: str) -> None:
        """Ask for the stream; raises `StreamError`, after which it may be asked for again."""
        text = command.encode() + b"\0"
        self._send(_FRAME.pack(b"Q", len(text) + 4) + text)
        refused: StreamError | None = None
        while True:
            tag, body = self._one()
            if tag == _COPY_BOTH:
                return
            if tag == _ERROR:
                refused = _error(body)
            elif tag == _READY:
                raise refused or StreamError("", "the server answers, but with no stream")

    def read(self, limit: int, timeout: float) -> list[bytes]:
        """Up to `limit` messages, waiting up to `timeout` seconds for the first; raises `StreamError`.

        What came before an end is handed over first: a server that cannot decode a transaction says so each time,
        and those before it would never be published.
        """
        if self._ended is not None:
            raise self._ended
        messages: list[bytes] = []
        received = 0
        try:
            self._take(messages, limit)
            while len(messages) < limit and received < READ_BYTES:
                if not self._poll.poll(0 if messages else int(timeout * 1_000)):
                    break
                received += self._receive()
                self._take(messages, limit)
        except StreamError as error:
            if not messages:
                raise
            self._ended = error
        return messages

    def send(self, message: bytes) -> None:
        """Say something within the stream: feedback."""
        self._send(_FRAME.pack(b"d", len(message) + 4) + message)

    def close(self) -> None:
        """Leave the connection to its owner."""
        self._socket.close()

    def _take(self, messages: list[bytes], limit: int) -> None:
        """The whole frames of what was received."""
        data, at, end, length, append = self._data, self._at, len(self._data), _LENGTH.unpack_from, messages.append
        room = limit - len(messages)
        while room and at + _HEAD <= end:
            behind = at + 1 + length(data, at + 1)[0]
            if behind > end:
                break
            if data[at] == _COPY_DATA:
                append(data[at + _HEAD : behind])
                room -= 1
            elif data[at] == _ERROR:
                raise _error(data[at + _HEAD : behind])
            elif data[at] == _NOTICE:
                noticed(_error(data[at + _HEAD : behind]))
            elif data[at] == _COPY_DONE:
                raise StreamError("", "the server ended the stream")
            at = behind
        self._at = at

    def _one(self) -> tuple[int, bytes]:
        """The next frame, whatever it is."""
        while True:
            data, at = self._data, self._at
            if at + _HEAD <= len(data):
                behind = at + 1 + _LENGTH.unpack_from(data, at + 1)[0]
                if behind <= len(data):
                    self._at = behind
                    return data[at], data[at + _HEAD : behind]
            self._poll.poll()
            self._receive()

    def _receive(self) -> int:
        try:
            received = self._socket.recv(_RECEIVED)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise StreamError("", str(error)) from None
        if not received:
            raise StreamError("", "the server closed the connection")
        self._data = self._data[self._at :] + received
        self._at = 0
        return len(received)

    def _send(self, data: bytes) -> None:
        while data:
            if not self._room.poll(_PATIENCE_MS):
                raise StreamError("", "the server takes nothing in")
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise StreamError("", str(error)) from None


def noticed(notice: StreamError) -> None:
    """Raises `StreamError` for the one warning that means a loss: the stream goes on without the publication's rows."""
    if notice.state == _NOT_IN_PREREQUISITE_STATE:
        raise StreamError(PUBLICATION_SKIPPED, notice.message)


def _error(body: bytes) -> StreamError:
    """An ErrorResponse: fields of a letter and a text each.

    >>> _error(b"SERROR\\0C55006\\0Mslot is active\\0\\0").state
    '55006'
    """
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return StreamError(fields.get(b"C", ""), fields.get(b"M", ""))

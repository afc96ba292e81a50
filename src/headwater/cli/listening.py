"""How a server of Headwater listens: what a client may hold open, and for how long."""

from __future__ import annotations

from typing import Any

CONNECTIONS = 1_000
OF_ONE_ADDRESS = 250  # connections: a quarter, so that nobody alone shuts out the others
HEAD_SECONDS = 10.0  # from the first byte of a request, or the connection, to the end of its headers
_FULL = b"HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"


def listen(app: Any, host: str, port: int, *, goodbye_seconds: int | None = None) -> None:
    """Serve an application until it is told to end; open requests then have `goodbye_seconds`, or all they take."""
    import uvicorn

    uvicorn.run(
        app,
        host=host,
        port=port,
        http=_bounded(),
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=goodbye_seconds,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=64_000,
    )


def _bounded() -> Any:
    """uvicorn's protocol, which waits for a request's headers for ever, with an end to that."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Bounded(H11Protocol):
        _waiting: Any = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            mine = sum(1 for one in self.connections if _address(one) == _address(self))
            if mine > OF_ONE_ADDRESS:
                transport.write(_FULL)
                transport.close()
                return
            self._wait()

        def data_received(self, data: bytes) -> None:
            if self._waiting is None and self._idle():
                self._wait()
            super().data_received(data)
            if not self._idle():
                self._done()

        def connection_lost(self, exc: Exception | None) -> None:
            self._done()
            super().connection_lost(exc)

        def _idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _wait(self) -> None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._late)

        def _done(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

        def _late(self) -> None:
            self._waiting = None
            if self._idle():
                self.transport.abort()

    return Bounded


def _address(connection: Any) -> str:
    return connection.client[0] if connection.client else ""

"""How a server of Headwater listens: what a client may hold open, and for how long."""

from __future__ import annotations

from typing import Any


def listen(app: Any, host: str, port: int, *, goodbye_seconds: int | None = None) -> None:
    """Serve an application until it is told to end; open requests then have `goodbye_seconds`, or all they take."""
    import uvicorn

    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=goodbye_seconds,
        limit_concurrency=1_000,
        h11_max_incomplete_event_size=64_000,
    )

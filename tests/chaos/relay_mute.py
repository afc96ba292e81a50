"""The control of R8: a relay that acknowledges only what it publishes, without heartbeat and without idle positions."""

from __future__ import annotations

import sys
from typing import Any

from headwater.cli.main import main
from headwater.outbox.batching import Assembler
from headwater.outbox.store_postgres import PostgresSession


def nothing(self: Any) -> None:
    """Neither a batch nor a heartbeat."""


if __name__ == "__main__":
    Assembler.idle_batch = nothing  # type: ignore[method-assign]
    PostgresSession.heartbeat = nothing  # type: ignore[method-assign]
    sys.argv = ["headwater", "relay", *sys.argv[1:]]
    main()

"""The relay as it is, with a cap of so many rows: `python -m tests.chaos.relay_small 300`.

It reads a third of the cap at once, so that it often has a part of a transaction, and the cap strikes in the middle.
"""

from __future__ import annotations

import functools
import sys

from headwater.cli.main import main
from headwater.outbox import relay
from headwater.outbox.batching import Limits


def serve(rows: int) -> None:
    """Until it is stopped."""
    options = functools.partial(relay.RelayOptions, limits=Limits(rows=rows), read_limit=max(2, rows // 3))
    relay.RelayOptions = options  # type: ignore[assignment,misc]
    sys.argv = ["headwater", "relay", *sys.argv[2:]]
    main()


if __name__ == "__main__":
    serve(int(sys.argv[1]))

"""A relay of T2: its database's clock and its own are wrong by what a file says, in microseconds, "database relay".

The database's is wrong where the relay meets it: in the times that the server writes into its stream. With the argument
`trusting` it is a saboteur: its stamps are the database's clock, wherever that goes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from struct import Struct

from tests.chaos.runner_skewed import VARIABLE, skew_clock

from headwater.cli.main import main
from headwater.outbox import store_postgres
from headwater.outbox.pgoutput import BODY, DATA
from headwater.timeline.instant import Instant
from headwater.timeline.recorded import Stamp

_TIME = Struct(">q")
_SENT_DATA, _SENT_ALIVE, _COMMITTED = 17, 9, BODY + 9  # where a message has the server's clock
_BEGIN = b"B"[0]


class SkewedSession(store_postgres.PostgresSession):
    """A walsender whose clock is wrong."""

    def read(self, limit: int, timeout: float) -> list[bytes]:
        skew = int(Path(os.environ[VARIABLE]).read_text().split()[0])
        return [_skewed(message, skew) for message in super().read(limit, timeout)]


def _skewed(message: bytes, skew: int) -> bytes:
    places = [_SENT_DATA] if message[0] == DATA else [_SENT_ALIVE]
    if message[0] == DATA and message[BODY] == _BEGIN:
        places.append(_COMMITTED)
    changed = bytearray(message)
    for place in places:
        _TIME.pack_into(changed, place, _TIME.unpack_from(message, place)[0] + skew)
    return bytes(changed)


def trusted(self: Stamp, committed_at: int) -> Stamp:
    """The clock, as it is."""
    return Stamp(Instant(committed_at), Instant(committed_at), self.marked)


if __name__ == "__main__":
    store_postgres.PostgresSession = SkewedSession  # type: ignore[misc]
    skew_clock(1)
    if "trusting" in sys.argv:
        sys.argv.remove("trusting")
        Stamp.next = trusted  # type: ignore[method-assign]
    sys.argv = ["headwater", "relay", *sys.argv[1:]]
    main()

"""A saboteur of T3: a relay that publishes of each key only the newest record in a batch, as if no other was said."""

from __future__ import annotations

import sys
from dataclasses import replace

from headwater.cli.main import main
from headwater.outbox.desk import Desk
from headwater.outbox.encode import Encoded
from headwater.outbox.segment import Batch

_encode = Desk.encode


def encode_newest(self: Desk, batch: Batch) -> Encoded:
    """As the desk's, but for what was said before."""
    encoded = _encode(self, batch)
    newest = {(record[0], record[2]): record for record in encoded.records}
    return replace(encoded, records=list(newest.values()))


if __name__ == "__main__":
    Desk.encode = encode_newest  # type: ignore[method-assign]
    sys.argv = ["headwater", "relay", *sys.argv[1:]]
    main()

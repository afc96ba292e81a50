"""A saboteur of R1: a relay that acknowledges before Kafka has committed, and believes its slot.

It lives here and never in the product: the one order that the relay must keep is the one it breaks.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from headwater.cli.main import main
from headwater.outbox import relay
from headwater.outbox.segment import Batch


class EarlyPublisher(relay.Publisher):
    """Feedback first, then the transaction."""

    def publish(self, batch: Batch) -> None:
        self.confirm(batch.position.end_lsn)
        super().publish(batch)


def believing(source: str, session: Any, position: Any) -> Any:
    """The start check left out: it would tell at once."""
    slot = session.slot()
    return dataclasses.replace(position, end_lsn=max(position.end_lsn, slot.confirmed_lsn))


if __name__ == "__main__":
    relay.Publisher = EarlyPublisher  # type: ignore[misc]
    relay.check_source = believing
    sys.argv = ["headwater", "relay", *sys.argv[1:]]
    main()

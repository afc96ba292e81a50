"""The saboteur of R3: a relay without the start check. It goes on from whatever slot it finds, and says nothing."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from headwater.cli.main import main
from headwater.outbox import relay


def believing(source: str, session: Any, position: Any) -> Any:
    """The slot is right, whatever the position says."""
    slot = session.slot()
    return dataclasses.replace(
        position,
        end_lsn=max(position.end_lsn, slot.confirmed_lsn),
        ordinal=0,
        timeline=session.identify().timeline,
        publication=session.published(),
    )


if __name__ == "__main__":
    relay.check_source = believing
    sys.argv = ["headwater", "relay", *sys.argv[1:]]
    main()

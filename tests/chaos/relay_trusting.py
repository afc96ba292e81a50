"""A saboteur of R2: a relay that trusts its slot, and publishes again whatever the server sends again."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from headwater.cli.main import main
from headwater.outbox import relay

_check_source = relay.check_source


def forgetful(source: str, session: Any, position: Any) -> Any:
    """The position, without what it says is published."""
    checked = _check_source(source, session, position)
    return dataclasses.replace(checked, commit_lsn=0, ordinal=0)


if __name__ == "__main__":
    relay.check_source = forgetful
    sys.argv = ["headwater", "relay", *sys.argv[1:]]
    main()

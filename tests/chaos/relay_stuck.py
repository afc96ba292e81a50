"""A relay whose broker takes nothing: it tries for ever, and the slot holds back the log meanwhile."""

from __future__ import annotations

import sys
from typing import Any

from headwater.cli.main import main
from headwater.errors import Unreachable
from headwater.outbox import relay


def away(*arguments: Any) -> Any:
    """As a broker that does not answer."""
    raise Unreachable("Kafka does not answer", code="HW-R001", hint="start it")


if __name__ == "__main__":
    relay.targets_of = away
    sys.argv = ["headwater", "relay", *sys.argv[1:]]
    main()

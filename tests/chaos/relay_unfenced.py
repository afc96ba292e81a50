"""A saboteur of R6: a relay with a transactional id of its own, so that nobody is fenced when it takes over.

It does not wait for what its predecessor has open either: it reads the position up to the last stable offset.
"""

from __future__ import annotations

import sys
from typing import Any

from tests.chaos import topics

from headwater import naming
from headwater.cli.main import main
from headwater.outbox import relay
from headwater.outbox.position import decode_position
from headwater.settings import load_settings

_transactional_id = naming.relay_transactional_id


def stable_position(broker: Any, source: str) -> Any:
    """What is committed now; what is open may yet be."""
    kafka = f"127.0.0.1:{load_settings().ports.kafka}"
    return decode_position(topics.newest_value(kafka, naming.position_topic(source)))


if __name__ == "__main__":
    naming.relay_transactional_id = lambda source: f"{_transactional_id(source)}.mine"
    relay.read_position = stable_position
    sys.argv = ["headwater", "relay", *sys.argv[1:]]
    main()

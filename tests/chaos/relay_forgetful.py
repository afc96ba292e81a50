"""A saboteur of R5: a relay that forgets how much of a large transaction it has published, and begins it again."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from tests.chaos.relay_small import serve

from headwater.outbox import relay

_check_source = relay.check_source


def forgetful(source: str, session: Any, position: Any) -> Any:
    """The position, without the ordinal of a transaction that is published in part."""
    checked = _check_source(source, session, position)
    return dataclasses.replace(checked, ordinal=0) if checked.partial else checked


if __name__ == "__main__":
    relay.check_source = forgetful
    sys.argv.insert(1, "300")
    serve(300)

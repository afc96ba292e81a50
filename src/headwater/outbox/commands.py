"""Commands to the relay as rows of the outbox, since it alone writes a source's records and marks.

A row of the type `headwater.quarantine` is no record: it asks for something to become of an entry in quarantine. The
relay does it in the order of commits, once, in the transaction that passes the row.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from typing import Literal

from headwater.errors import Misfit
from headwater.outbox.event import OutboxEvent

COMMAND_TYPE = "headwater.quarantine"
ACTIONS = ("release", "unpark", "discard", "note")


@dataclass(frozen=True, slots=True)
class Command:
    """Discard or release the entry `id`, or let the key that it holds back go on without it (`unpark`).

    A `note` says who repaired it and why, beside the repair of this `row`, which has no room for that.
    """

    action: Literal["release", "unpark", "discard", "note"]
    id: str
    by: str = ""
    reason: str = ""
    row: str = ""


def command_row(product: str, key: str, command: Command) -> OutboxEvent:
    """The row that carries a command.

    >>> row = command_row("orders.placed", "ann", Command("discard", "7f3f8f86", by="ops", reason="a test order"))
    >>> row.type, read_command(row.payload.encode()).reason
    ('headwater.quarantine', 'a test order')
    """
    payload = json.dumps(asdict(command), ensure_ascii=False, separators=(",", ":"))
    return OutboxEvent(str(uuid.uuid4()), product, key, COMMAND_TYPE, payload)


def read_command(payload: bytes | None) -> Command:
    """The command of a row; raises `Misfit` HW-O102 where it is none."""
    try:
        fields = json.loads(payload or b"")
        parts = [fields.get(name, "") for name in ("action", "id", "by", "reason", "row")]
    except (ValueError, AttributeError):
        parts = [""]
    if parts[0] not in ACTIONS or not all(isinstance(part, str) for part in parts) or not parts[1]:
        raise Misfit(
            "the row is no command for the quarantine",
            code="HW-O102",
            field="payload",
            detail="it says no action that there is, or no entry",
            hint="write commands with headwater quarantine",
        )
    return Command(*parts)

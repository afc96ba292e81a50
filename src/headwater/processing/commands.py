"""Commands to a running product, pause and resume, as they lie in its control topic: who gave one, when and why.

Each command is a record with a key of its own, so that compaction keeps them all: the topic is the account of who did
what. The newest one is in force. What is no command is passed over, and said: a topic that others may write to must not
be able to stop a runner by what it holds.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, cast

from headwater import naming
from headwater.errors import CallerFault
from headwater.naming import ProductName
from headwater.ports.protocol import Broker
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import Message
from headwater.timeline.clock import Clock
from headwater.timeline.instant import Instant

COMMAND_KEY = b"command/"
REPORT_KEY = b"report/"
WHO_LIMIT, WHY_LIMIT, VALUE_LIMIT = 200, 1_000, 1_000_000  # letters, letters, bytes
OPEN_MS = 5_000  # of a writer's transaction: what one that was killed left open hides later commands for as long
DOES = ("pause", "resume")


@dataclass(frozen=True, slots=True)
class Command:
    """What somebody asked of a product. `at` is when, by the clock of who asked, in microseconds."""

    does: Literal["pause", "resume"]
    by: str
    at: int
    why: str


def encode(command: Command) -> bytes:
    """The value of a command's record.

    >>> decode(encode(Command("pause", "ann", 5, "a bad feed")))
    Command(does='pause', by='ann', at=5, why='a bad feed')
    """
    return json.dumps(asdict(command), ensure_ascii=False).encode()


def decode(value: bytes | None) -> Command | None:
    """The command that a record's value holds; None where it is none.

    >>> decode(b'{"does": "explode", "by": "x", "at": 1, "why": ""}') is None
    True
    """
    held = fields_of(value)
    if held is None:
        return None
    does, by, at, why = (held.get(name) for name in ("does", "by", "at", "why"))
    if does not in DOES or not isinstance(by, str) or not isinstance(why, str) or type(at) is not int:
        return None
    if not 0 <= at < 1 << 62 or not fits(by, WHO_LIMIT) or not fits(why, WHY_LIMIT):
        return None
    return Command(cast("Literal['pause', 'resume']", does), by, at, why)


def fits(text: str, limit: int) -> bool:
    """Whether a text may be shown: said at all, not too long, nothing in it that moves a terminal's cursor.

    >>> fits("a bad feed", 20), fits("", 20), fits("\\x1b[2J", 20)
    (True, False, False)
    """
    return bool(text.strip()) and len(text) <= limit and text.isprintable()


def fields_of(value: bytes | None) -> dict[str, object] | None:
    """The JSON object that a value holds; None where it is none, or larger than anything that is written here."""
    if value is None or len(value) > VALUE_LIMIT:
        return None
    try:
        held = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def commands(broker: Broker, product: ProductName, major: int) -> Sequence[Command]:
    """Every command that a product was given, oldest first."""
    topic = naming.control_topic(product, major)
    starts = broker.starts(places_of(broker, topic))
    found = (item for item in read_to_end(broker, starts) if isinstance(item, Message))
    decoded = [decode(item.value) for item in found if (item.key or b"").startswith(COMMAND_KEY)]
    return [command for command in decoded if command is not None]


def give(
    broker: Broker,
    product: ProductName,
    major: int,
    does: Literal["pause", "resume"],
    *,
    by: str,
    why: str,
    clock: Clock,
) -> bool:
    """Write a command; False where the product is in that state already, and nothing is written.

    Raises `CallerFault` HW-P182 where who or why is missing or too long.
    """  # fmt: skip
    for name, text, limit in (("by whom", by, WHO_LIMIT), ("why", why, WHY_LIMIT)):
        if not fits(text, limit):
            raise CallerFault(
                f"to {does} {product}: {name} must be said, in one line of {limit} letters at most",
                code="HW-P182",
                detail="each command is kept with who gave it, when and why",
                hint=f"headwater processing {does} {product} --why '...'",
            )
    known = commands(broker, product, major)
    if does == (known[-1].does if known else "resume"):
        return False
    sink = broker.sink(naming.control_transactional_id(product, major, "commands"), timeout_ms=OPEN_MS)
    now: Instant = clock.now()
    try:
        sink.open()
        sink.begin()
        key = COMMAND_KEY + uuid.uuid4().hex.encode()
        value = encode(Command(does, by, now, why))
        topic = naming.control_topic(product, major)
        sink.send(topic, key, value, timestamp=max(0, now) // 1_000, partition=0)
        sink.commit()
    finally:
        sink.close()
    return True

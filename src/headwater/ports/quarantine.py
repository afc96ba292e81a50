"""Where a record goes that does not fit: whole, byte for byte, with the reason as headers, in the same transaction.

No message, value or stack trace goes into a header: they may carry personal data. The reason a person needs is rebuilt
from code and bytes by whoever may read the bytes (`docs/concepts/quarantine.md`).

The topic is append-only. What becomes of an entry is told by later records of the same partition, without a value:
`resolution_headers` makes them, `quarantine_log.py` reads both.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from headwater.errors import HeadwaterError, Misfit
from headwater.ports.record import Header

Stage = Literal["emit", "relay", "decode", "contract", "process", "encode", "publish"]
QuarantineClass = Literal["poison", "contract", "policy", "late", "held"]
# What may become of an entry. `refused` and `kept` leave it open; `unparked` lets its key go on without it.
Outcome = Literal["repaired", "released", "discarded", "refused", "unparked", "kept"]
PREFIX = "quarantine."
PARKS = PREFIX + "parks"  # on an entry: it holds back its key
RESOLUTION = PREFIX + "resolution"
BEHIND = PREFIX + "behind"  # on a held row: the entry that held back its key then
SEQUENCE = PREFIX + "sequence"  # the place of a held row in its key's queue, counted from the row that holds it back


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the original stood: for a topic its partition and offset, for a table the log position and ordinal."""

    topic: str
    partition: str
    offset: str
    timestamp: int


def quarantine_headers(
    origin: Origin, error: HeadwaterError, *, stage: Stage, kind: QuarantineClass, contract_version: str
) -> list[Header]:
    """The headers that are added to those of the original.

    >>> origin = Origin("operations.public.outbox", "7", "0/16B3748+2", 1)
    >>> error = Misfit("delay_minutes is no int", code="HW-S030", field="delay_minutes")
    >>> headers = dict(quarantine_headers(origin, error, stage="relay", kind="contract", contract_version="1.0.0"))
    >>> headers["quarantine.error.code"], headers["quarantine.offset"]
    (b'HW-S030', b'0/16B3748+2')
    """
    field = error.field if isinstance(error, Misfit) else ""
    digest = blake2b(f"{error.code}:{field}".encode(), digest_size=8, key=origin.topic.encode()[:64]).hexdigest()
    values = {
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "ts": str(origin.timestamp),
        "stage": stage,
        "class": kind,
        "error.class": type(error).__name__,
        "error.code": error.code,
        "error.digest": digest,
        "attempt": "1",
        "contract.version": contract_version,
    }
    return [(PREFIX + name, value.encode()) for name, value in values.items()]


def resolution_headers(entry_id: str, outcome: Outcome, **facts: str | None) -> list[Header]:
    """The headers of the record that tells what became of an entry; facts are `by`, `reason`, `command` and the like.

    >>> resolution_headers("7f3f8f86", "discarded", by="ann", reason=None)
    [('id', b'7f3f8f86'), ('quarantine.resolution', b'discarded'), ('quarantine.by', b'ann')]
    """
    told = [(PREFIX + name.replace("_", "."), value.encode()) for name, value in facts.items() if value is not None]
    return [("id", entry_id.encode()), (RESOLUTION, outcome.encode()), *told]

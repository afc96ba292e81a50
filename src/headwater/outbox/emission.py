"""What is emitted, and how: one record with what the service says of it, and the options of a call."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headwater.errors import CallerFault
from headwater.outbox.event import COLUMNS, KINDS, Kind, OutboxEvent

Encoding = Literal["json", "avro"]
Road = Literal["table", "message"]


@dataclass(frozen=True, slots=True)
class Emission:
    """One record and what the service says of it. Raises `CallerFault` HW-O042, HW-O043 or HW-O066 where that is wrong.

    `event_id` is the event's identity, the same in each correction. `revision` grows with each change of the event or
    fact. `key_version` is the key's own count, taken under the lock of the service's row; readers get it as a header.

    >>> Emission({"number": 7}, kind="correct", event_id="order-7", revision=2).revision
    2
    """

    record: object
    event_id: str | None = None
    kind: Kind = "assert"
    revision: int = 1
    key_version: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CallerFault(
                f"'{self.kind}' is not a kind",
                code="HW-O042",
                detail="a kind says what a record does to what was known",
                hint="one of assert, correct, retract",
            )
        if not _counts(self.revision):
            raise CallerFault(
                "a revision is a whole number from 1 on",
                code="HW-O043",
                detail="1 is the first version of the event or fact",
                hint="count it in the service's own row",
            )
        if self.key_version is not None and not _counts(self.key_version):
            raise CallerFault(
                "a key_version is a whole number from 1 on",
                code="HW-O066",
                detail="it counts the changes of a key in the order in which they commit",
                hint="count it in the service's own row, under that row's lock; or leave it out",
            )


@dataclass(frozen=True, slots=True)
class EmitOptions:
    """How rows are emitted. Raises `CallerFault` HW-O067 for a word that it does not know.

    `encoding`: the payload as JSON, which people can read in the table, or as Avro's single-object encoding, which is
    smaller. `road`: through the outbox table, or as a logical message that is in the database's log alone.
    `traceparent`: the W3C trace context of the work that emits; left out, it is that of the current OpenTelemetry span.

    >>> EmitOptions(encoding="avro").road
    'table'
    """

    encoding: Encoding = "json"
    road: Road = "table"
    traceparent: str | None = None

    def __post_init__(self) -> None:
        for value, allowed in ((self.encoding, ("json", "avro")), (self.road, ("table", "message"))):
            if value not in allowed:
                raise CallerFault(
                    f"'{value}' is not one of {', '.join(allowed)}",
                    code="HW-O067",
                    detail="an option of EmitOptions",
                    hint=f"for example {allowed[0]}, which is also what is taken when it is left out",
                )


def identified(identity: Sequence[object]) -> str:
    """The row id that follows from an identity and a revision, so that the same emitted twice is one row.

    A UUID of version 8 over SHA-256, which every database and language has at hand (RFC 9562, appendix B.2). The parts
    are joined by line feeds; None is empty.

    >>> identified(["orders.placed", "order-7", 1])
    '49cd5aeb-6f2e-84fd-98f8-23360dd9edac'
    """
    text = "\n".join("" if part is None else str(part) for part in identity)
    digest = bytearray(hashlib.sha256(text.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def document(event: OutboxEvent) -> str:
    """A row as a JSON object by the names of its columns: what the database's functions and logical messages carry.

    The payload stands in it as JSON, `payload_avro` as PostgreSQL prints bytes; what is null is left out.

    >>> document(OutboxEvent("1", "a.b", "k", "a.b.C", '{"x":1}'))
    '{"id":"1","aggregatetype":"a.b","aggregateid":"k","type":"a.b.C","kind":"assert","revision":1,"payload":{"x":1}}'
    """
    plain: dict[str, object] = {
        name: value for name in COLUMNS if name != "payload" and (value := getattr(event, name)) is not None
    }
    if event.payload_avro is not None:
        plain["payload_avro"] = "\\x" + event.payload_avro.hex()
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return text if event.payload is None else f'{text[:-1]},"payload":{event.payload}}}'


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 1 << 63

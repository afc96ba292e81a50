"""An outbox row: what a service says happened, before the mesh has stamped it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["assert", "correct", "retract"]
KINDS: tuple[Kind, ...] = ("assert", "correct", "retract")

# The order in which the table has them and the relay reads them; `created_at` follows, which the relay does not need.
COLUMNS = (
    "id",
    "aggregatetype",
    "aggregateid",
    "type",
    "payload",
    "kind",
    "revision",
    "event_id",
    "payload_avro",
    "key_version",
    "traceparent",
    "replay_of",
)
# Columns that a table made by an older version may lack: they read as null.
OPTIONAL = frozenset(("key_version", "traceparent", "replay_of"))


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """One row of an outbox, in the words of the Debezium outbox convention and three more.

    `id` is the row's own, new in each correction; `event_id` is the event's, the same in each correction, and null
    where the record is a fact. `aggregatetype` is the product, `aggregateid` the Kafka key as text, `type` the schema's
    full name. `payload` is JSON text without the platform's fields; `payload_avro` the same as Avro; one of both.
    `replay_of` is the id of the row in quarantine that this one repairs.
    """

    id: str
    aggregatetype: str
    aggregateid: str
    type: str
    payload: str | None
    kind: Kind = "assert"
    revision: int = 1
    event_id: str | None = None
    payload_avro: bytes | None = None
    key_version: int | None = None
    traceparent: str | None = None
    replay_of: str | None = None

    def values(self) -> tuple[object, ...]:
        """In the order of `COLUMNS`."""
        return tuple(getattr(self, column) for column in COLUMNS)

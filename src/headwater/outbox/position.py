"""Where a relay stands in its source: system, timeline, log positions, ordinal, and the last stamp.

A record of it is written in the Kafka transaction of the rows it covers. Compare whole transactions only, by commit
LSN: the LSNs of single changes are neither unique nor in the order in which they are sent (a multi-row INSERT, COPY,
interleaved transactions).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from headwater.contracts.product import Lane
from headwater.errors import Fault
from headwater.outbox.load_state import CaptureState
from headwater.outbox.pgoutput import lsn_from_text, lsn_text
from headwater.timeline.instant import Instant
from headwater.timeline.recorded import Stamp

CAPTURE_SYSTEM = "capture:"  # how the system of a position in a capture topic begins; its identity follows


@dataclass(frozen=True, slots=True)
class Position:
    """All up to here is published.

    `commit_lsn` and `ordinal` say what to skip: transactions below it, and of the one at it the first `ordinal` rows.
    `end_lsn` is what may be acknowledged: behind the commit record of the last transaction that is published whole.
    `taken` counts the rows of all times. `capture` is there where the table is no outbox, but one that is captured.
    """

    system_id: str
    timeline: int
    commit_lsn: int
    end_lsn: int
    ordinal: int
    stamp: Stamp
    taken: int = 0
    capture: CaptureState | None = None
    publication: str = ""  # which one the rows came through; empty where nobody has looked yet
    filling: bool = False  # a repair without commit times was begun: all its rows have the stamp's value

    @classmethod
    def start(cls, system_id: str, timeline: int, end_lsn: int) -> Position:
        """Before the first transaction of a new slot: nothing is skipped, the slot's own start may be acknowledged."""
        return cls(system_id, timeline, 0, end_lsn, 0, Stamp.start())

    @property
    def lane(self) -> Lane:
        """Which lane's: one in the database's log, or one in the capture topic, where positions are offsets."""
        return "debezium" if self.system_id.startswith(CAPTURE_SYSTEM) else "native"

    @property
    def partial(self) -> bool:
        """Whether the transaction at the position is published in part: its end is not the position's end yet."""
        return self.ordinal > 0 and self.end_lsn <= self.commit_lsn

    def published(self, commit_lsn: int) -> int | None:
        """How many rows of a transaction are published already; None means all, the transaction lies before.

        >>> position = Position("7", 1, 100, 108, 3, Stamp.start())
        >>> position.published(99), position.published(100), position.published(101)
        (None, 3, 0)
        """
        if commit_lsn < self.commit_lsn:
            return None
        return self.ordinal if commit_lsn == self.commit_lsn else 0

    def on_timeline(self, timeline: int) -> Position:
        """The same after a fail-over."""
        return replace(self, timeline=timeline)

    def of_publication(self, publication: str) -> Position:
        """The same, remembering which publication the rows came through."""
        return replace(self, publication=publication)

    def idle(self, end_lsn: int, stamp: Stamp) -> Position:
        """With nothing new to publish up to `end_lsn`."""
        return replace(self, end_lsn=max(self.end_lsn, end_lsn), stamp=stamp)


def encode_position(position: Position) -> bytes:
    """As the value of a record: JSON, so that a person can read it in an incident."""
    return json.dumps(
        {
            "system_id": position.system_id,
            "timeline": position.timeline,
            "commit_lsn": lsn_text(position.commit_lsn),
            "end_lsn": lsn_text(position.end_lsn),
            "ordinal": position.ordinal,
            "stamp": [int(position.stamp.value), int(position.stamp.clock), int(position.stamp.marked)],
            "taken": position.taken,
            **({"capture": position.capture.as_json()} if position.capture is not None else {}),
            "publication": position.publication,
            **({"filling": True} if position.filling else {}),
        },
        separators=(",", ":"),
    ).encode()


def decode_position(value: bytes) -> Position:
    """From a record's value; raises `Fault` HW-O002 where it is none.

    >>> position = Position.start("7", 1, 0x16B3748)
    >>> decode_position(encode_position(position)) == position
    True
    """
    try:
        fields = json.loads(value)
        value_, clock, marked = (Instant(part) for part in fields["stamp"])
        return Position(
            system_id=str(fields["system_id"]),
            timeline=int(fields["timeline"]),
            commit_lsn=lsn_from_text(fields["commit_lsn"]),
            end_lsn=lsn_from_text(fields["end_lsn"]),
            ordinal=int(fields["ordinal"]),
            stamp=Stamp(value_, clock, marked),
            taken=int(fields.get("taken", 0)),
            capture=CaptureState.from_json(fields["capture"]) if "capture" in fields else None,
            publication=str(fields.get("publication", "")),
            filling=fields.get("filling") is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Fault(
            "the relay's position cannot be read",
            code="HW-O002",
            detail="without it nobody knows what is published already, and going on would lose or repeat rows",
            hint="look at the position topic; restore its last good record",
        ) from error

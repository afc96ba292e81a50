"""What the relay needs from a database: a lease, the slot's state, the stream of committed changes, feedback.

`store_memory.py` and `store_postgres.py` are two of them; `headwater.testing.conformance.outbox_store` judges both. A
session is dropped after any doubt and a new one is opened: the server then sends again what was not acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from headwater.outbox.pgoutput import Row
from headwater.outbox.position import Position
from headwater.outbox.validation import Validation


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """Which database cluster answers, on which timeline, and how far its log is written."""

    system_id: str
    timeline: int
    written_lsn: int
    branches: tuple[tuple[int, int], ...] = ()  # earlier timelines, and where this server left each

    def left(self, timeline: int) -> int:
        """Where this server's history left a timeline: what was written on it behind that is not here.

        >>> ServerIdentity("7", 3, 900, ((1, 400), (2, 700))).left(2)
        700
        """
        return dict(self.branches).get(timeline, self.written_lsn)


@dataclass(frozen=True, slots=True)
class SlotState:
    """A replication slot: what was acknowledged to it, and why it cannot be read, if so (empty: it can)."""

    confirmed_lsn: int
    active: bool
    lost: str = ""
    retained: int = 0  # bytes of the server's log that it holds back
    limit: int | None = None  # how many it may, before the server lets go of it; None: without bound


@dataclass(frozen=True, slots=True)
class NewSlot:
    """A slot just made: the stream begins behind `consistent_lsn`, and the snapshot sees all that is before it."""

    consistent_lsn: int
    snapshot: str


class OutboxSession(Protocol):
    """One replication connection. One thread uses it. Any error of it is an `Unreachable` or a `Fault`: drop it."""

    def take_lease(self) -> bool:
        """Try to become the only relay of this source; the lease goes with the connection."""

    def identify(self) -> ServerIdentity:
        """Who answers."""

    def slot(self) -> SlotState | None:
        """The slot's state; None where there is none."""

    def published(self) -> str:
        """Which publication the table has: another text after it was made anew; empty where there is none.

        Newer servers stream without it, and send nothing.
        """

    def start(self) -> None:
        """Begin to stream, from what the slot has acknowledged. Waits a while for a predecessor's hold on the slot."""

    def read(self, limit: int, timeout: float) -> list[bytes]:
        """Up to `limit` raw messages, waiting up to `timeout` seconds for the first. Keeps the connection alive."""

    def confirm(self, lsn: int) -> None:
        """All before `lsn` may be forgotten by the server. Only after what lies before it is safe on the broker."""

    def probe(self) -> None:
        """Ask for a keepalive, which tells the server's time and how far all is sent."""

    def heartbeat(self) -> None:
        """Write a small message to the server's log, so that an idle outbox moves its slot.

        Raises `Fault` where publication or slot are not what they were at the start: that is why nothing came.
        """

    def close(self) -> None:
        """Let go of the connection, and with it of lease and slot."""


@runtime_checkable
class Resuming(Protocol):
    """A session that judges itself where to go on, for what it reads is no log of a database: the Debezium lane."""

    def resume(self, position: Position | None) -> Position:
        """The position to go on from; raises where what is read and position do not agree. Before `start`."""


class OutboxStore(Protocol):
    """An outbox table with its slot, publication and lease."""

    def session(self) -> OutboxSession:
        """A new replication connection; raises `Unreachable` where the database is away."""


class MendableSession(OutboxSession, Protocol):
    """One that can make its slot anew."""

    def renew_slot(self) -> NewSlot:
        """Make the slot anew, dropping what is there. The next call ends the snapshot for those who did not take it."""


class MendableStore(Protocol):
    """A store whose table is kept, so that a gap can be filled from it."""

    def session(self) -> MendableSession:
        """A new replication connection; raises `Unreachable` where the database is away."""

    def retained(self, snapshot: str = "") -> Retained:
        """What the table holds, as a new slot's snapshot sees it, or as it is now."""


class Retained(Protocol):
    """The rows that the outbox table still holds, seen at one moment. Times are microseconds of the database's clock.

    First tell it what is accounted for, then ask what is not: the database compares, so that neither side of it has to
    fit in memory.
    """

    @property
    def taken_at(self) -> int:
        """The moment."""

    @property
    def dropped_before(self) -> int | None:
        """Rows created before this are gone with their partitions; None where nothing was ever dropped."""

    def dated(self, since: int) -> bool:
        """Whether the server knows the commit time of every row created since then."""

    def account(self, ids: Iterable[tuple[str, int]]) -> None:
        """These rows are on the broker, recorded at these times."""

    def missing(self, since: int | None, *, dated: bool) -> Iterator[tuple[int, Row]]:
        """Rows that are not accounted for, as text, each with its time: of its commit where `dated`, in commit order,
        of rows committed since then; else of its creation, by product, key and the key's version."""

    def orphans(self, since: int, limit: int) -> tuple[int, list[str]]:
        """Accounted rows recorded since then that the table does not hold: how many, and the first of them by id."""

    def close(self) -> None:
        """Let go."""


@dataclass(frozen=True, slots=True)
class SourceParts:
    """Which parts of an outbox source exist in the database."""

    table: bool
    publication: bool
    slot: SlotState | None
    products: tuple[str, ...]
    rows: bool
    whole_rows: bool = True  # of a captured table: the log carries whole old rows, where they are asked for
    routines: Mapping[str, str] = field(default_factory=dict)
    """The bodies of the functions beside the table, by `schema.name`."""
    checked: bool = False
    """Whether a trigger checks its rows."""


class SourceAdmin(Protocol):
    """Makes the parts of an outbox source; only `apply` holds one."""

    def identify(self) -> ServerIdentity:
        """Who answers."""

    def look(self) -> SourceParts:
        """What is there."""

    def create_table(self, products: Sequence[str]) -> None:
        """Create the table, or let it take rows for these products too."""

    def create_validation(self, validation: Validation) -> None:
        """Make the functions and the trigger that check and emit rows, over those that are there."""

    def create_publication(self) -> None:
        """Create the publication of the table's inserts."""

    def create_slot(self) -> int:
        """Create the slot; its consistent point: the stream begins behind it."""

    def drop_slot(self) -> None:
        """Drop the slot."""

    def close(self) -> None:
        """Let go of the connection."""

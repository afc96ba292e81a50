"""An outbox in this process: a log of transactions, a slot, a lease, and the same bytes that PostgreSQL would send."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from headwater.errors import Unreachable
from headwater.outbox import pgoutput, pgoutput_write
from headwater.outbox.event import COLUMNS, OutboxEvent
from headwater.outbox.pgoutput import LogicalMessage
from headwater.outbox.retained_memory import MemoryRetained, RetainedRow
from headwater.outbox.starting import publication_dropped
from headwater.outbox.store import (
    MendableSession,
    NewSlot,
    Retained,
    ServerIdentity,
    SlotState,
    SourceAdmin,
    SourceParts,
)
from headwater.outbox.validation import Validation
from headwater.timeline.clock import Clock
from headwater.timeline.instant import Instant

_RELATION = 16_384  # the first identifier that PostgreSQL gives to a user's table


@dataclass(frozen=True, slots=True)
class _Transaction:
    commit_lsn: int
    end_lsn: int
    committed_at: Instant
    rows: tuple[OutboxEvent | LogicalMessage | bytes, ...]
    columns: tuple[str, ...]


class MemoryOutbox:
    """An `OutboxStore`. Tests write with `commit` and `roll_back`, and hurt it with `sever` and `fall_back`.

    A clock of the server's own may be given, so that it can step back while the relay's goes on. `columns` are those of
    the table: change them, and the rows of later commits have the new ones. What happens to a slot is told by
    `parts`, `confirmed` and `lose`; `dated` is whether the server keeps commit times.
    """

    def __init__(self, clock: Clock, *, table: str = "public.outbox", system_id: str = "7000000000000000001") -> None:
        self.clock = clock
        self.table = table
        self.columns: tuple[str, ...] = (*COLUMNS, "created_at")
        self.identity = ServerIdentity(system_id, 1, 0)
        self.parts = SourceParts(table=False, publication=False, slot=None, products=(), rows=False)
        self.transactions: list[_Transaction] = []
        self.holder: MemorySession | None = None
        self.away = False
        self.dated = True
        self.dropped_before: int | None = None
        self.publication = 0  # its number, where there is one
        self._lsn = 0x1000
        self._row = 0

    @property
    def lsn(self) -> int:
        """Where the log ends."""
        return self._lsn

    def commit(self, rows: Sequence[OutboxEvent | LogicalMessage | bytes], *, committed_at: int | None = None) -> None:
        """Commit a transaction of these rows, logical messages and messages of the plug-in as they are."""
        self._lsn += 8 + 64 * len(rows)
        moment = Instant(committed_at if committed_at is not None else self.clock.now())
        self.transactions.append(_Transaction(self._lsn, self._lsn + 48, moment, tuple(rows), self.columns))
        self._lsn += 48
        self.parts = replace(self.parts, rows=True)

    def lose(self) -> None:
        """Invalidate the slot, as a server does whose log has grown too large: whoever streams is cut off."""
        self.sever()
        assert self.parts.slot is not None
        self._slot(replace(self.parts.slot, lost="wal_removed"))

    def retained(self, snapshot: str = "") -> Retained:
        """What the table holds."""
        if self.away:
            raise Unreachable("the outbox's database does not answer", code="HW-O030", hint="start it")
        seen = self.transactions[: int(snapshot)] if snapshot else self.transactions
        rows = [
            RetainedRow(transaction.committed_at, place, row)
            for place, transaction in enumerate(seen)
            for row in transaction.rows
            if isinstance(row, OutboxEvent)
        ]
        return MemoryRetained(rows, taken_at=self.clock.now(), dropped_before=self.dropped_before, dated=self.dated)

    def emit_outside(self, message: LogicalMessage) -> None:
        """Write a logical message that belongs to no transaction."""
        self._lsn += 64
        message = replace(message, lsn=self._lsn, transactional=False)
        self.transactions.append(_Transaction(self._lsn, self._lsn, self.clock.now(), (message,), self.columns))

    def roll_back(self, rows: Sequence[OutboxEvent]) -> None:
        """Write log for rows that are never committed; other tables' changes look the same from here."""
        self._lsn += 8 + 64 * len(rows) + 32

    def sever(self) -> None:
        """Cut the connection of whoever streams; the lease and the hold on the slot end with it."""
        if self.holder is not None:
            self.holder.close()

    def fall_back(self, lsn: int) -> None:
        """Let the slot forget what was acknowledged beyond a point, as a server does that dies before a checkpoint."""
        self.sever()
        assert self.parts.slot is not None
        self._slot(replace(self.parts.slot, confirmed_lsn=min(lsn, self.parts.slot.confirmed_lsn)))

    def session(self) -> MendableSession:
        """A new connection."""
        if self.away:
            raise Unreachable("the outbox's database does not answer", code="HW-O030", hint="start it")
        return MemorySession(self)

    def admin(self) -> SourceAdmin:
        """What `apply` works with."""
        return _MemoryAdmin(self)

    def confirmed(self, lsn: int) -> None:
        """The slot was told that all before `lsn` is safe."""
        slot = self.parts.slot
        assert slot is not None
        self._slot(replace(slot, confirmed_lsn=max(slot.confirmed_lsn, lsn)))

    def _slot(self, slot: SlotState) -> None:
        self.parts = replace(self.parts, slot=slot)


class MemorySession:
    """One connection to a `MemoryOutbox`."""

    def __init__(self, outbox: MemoryOutbox) -> None:
        self._outbox = outbox
        self._closed = False
        self._queue: deque[bytes] = deque()
        self._place = 0  # the next transaction to send
        self._start = 0
        self._said = 0  # how far the client knows that all is sent
        self._whole = 0  # the end of the last transaction that was sent whole
        self._related: tuple[str, ...] = ()  # the columns that were sent
        self._probed = False
        self._publication = ""  # as it was at the start

    def take_lease(self) -> bool:
        """Only one connection holds it."""
        self._alive()
        if self._outbox.holder in (None, self):
            self._outbox.holder = self
            return True
        return False

    def identify(self) -> ServerIdentity:
        """Who answers."""
        self._alive()
        return replace(self._outbox.identity, written_lsn=self._outbox.lsn)

    def slot(self) -> SlotState | None:
        """The slot."""
        self._alive()
        return self._outbox.parts.slot

    def published(self) -> str:
        """The publication."""
        self._alive()
        return str(self._outbox.publication) if self._outbox.parts.publication else ""

    def renew_slot(self) -> NewSlot:
        """As of now."""
        self._alive()
        lsn = self._outbox.admin().create_slot()
        return NewSlot(lsn, str(len(self._outbox.transactions)))

    def start(self) -> None:
        """Begin at what was acknowledged."""
        self._alive()
        slot = self._outbox.parts.slot
        assert slot is not None, "the slot is checked before the start"
        self._publication = self.published()
        self._start = self._said = self._whole = slot.confirmed_lsn

    def read(self, limit: int, timeout: float) -> list[bytes]:
        """What is there, or a keepalive, or nothing after the clock was moved by the timeout."""
        self._alive()
        while len(self._queue) < limit and self._place < len(self._outbox.transactions):
            transaction = self._outbox.transactions[self._place]
            self._place += 1
            if transaction.commit_lsn >= self._start:
                self._queued(transaction)
        if self._queue and not self._probed:
            return [self._sent() for _ in range(min(limit, len(self._queue)))]
        # A probe is answered at once, also in the middle of a transaction.
        end = self._outbox.lsn if not self._queue else self._whole
        if self._probed or end > self._said:
            self._probed, self._said = False, max(self._said, end)
            now = self._outbox.clock.now()
            return [pgoutput_write.keepalive(pgoutput.Keepalive(end, now, reply=False))]
        if timeout > 0:
            self._outbox.clock.sleep(int(timeout * 1_000_000))
        return []

    def confirm(self, lsn: int) -> None:
        """Acknowledge."""
        self._alive()
        self._outbox.confirmed(lsn)

    def probe(self) -> None:
        """The next read without rows is a keepalive."""
        self._alive()
        self._probed = True

    def heartbeat(self) -> None:
        """Some log."""
        self._alive()
        self._outbox.roll_back(())
        if self.published() != self._publication:
            raise publication_dropped(self._outbox.table)

    def close(self) -> None:
        """Lease and hold on the slot end."""
        self._closed = True
        if self._outbox.holder is self:
            self._outbox.holder = None

    def _alive(self) -> None:
        if self._closed or self._outbox.away:
            raise Unreachable("the connection to the outbox's database was cut", code="HW-O031", hint="connect again")

    def _sent(self) -> bytes:
        message = self._queue.popleft()
        if message[pgoutput.BODY] == pgoutput.COMMIT:
            self._whole = pgoutput.commit(message).end_lsn
        return message

    def _queued(self, transaction: _Transaction) -> None:
        lsn, now, outbox = transaction.commit_lsn, self._outbox.clock.now(), self._outbox
        bodies = [pgoutput_write.begin(pgoutput.Begin(lsn, transaction.committed_at))]
        # As the server does: once in a connection, before the first row, and again after the table was changed.
        if self._related != transaction.columns and any(isinstance(row, OutboxEvent) for row in transaction.rows):
            self._related = transaction.columns
            schema, table = outbox.table.split(".")
            bodies.append(pgoutput_write.relation(pgoutput.Relation(_RELATION, schema, table, self._related)))
        for row in transaction.rows:
            if isinstance(row, OutboxEvent):
                cells = [_cell(getattr(row, name, "2026-01-01 00:00:00+00")) for name in transaction.columns]
                bodies.append(pgoutput_write.insert(_RELATION, cells))
            elif isinstance(row, bytes):
                bodies.append(row)
            else:
                bodies.append(pgoutput_write.logical_message(replace(row, lsn=lsn)))
        bodies.append(pgoutput_write.commit(pgoutput.Commit(lsn, transaction.end_lsn)))
        if lsn == transaction.end_lsn:  # a message outside any transaction stands alone
            bodies = bodies[1:-1]
        self._queue.extend(pgoutput_write.data(body, lsn=lsn, sent_at=now) for body in bodies)
        self._said = transaction.end_lsn


class _MemoryAdmin:
    def __init__(self, outbox: MemoryOutbox) -> None:
        self._outbox = outbox

    def identify(self) -> ServerIdentity:
        return replace(self._outbox.identity, written_lsn=self._outbox.lsn)

    def look(self) -> SourceParts:
        return self._outbox.parts

    def create_table(self, products: Sequence[str]) -> None:
        every = tuple(sorted({*self._outbox.parts.products, *products}))
        self._outbox.parts = replace(self._outbox.parts, table=True, products=every)

    def create_validation(self, validation: Validation) -> None:
        routines = {routine.name: routine.source for routine in validation.routines}
        self._outbox.parts = replace(self._outbox.parts, routines=routines, checked=validation.checked)

    def create_publication(self) -> None:
        self._outbox.publication += 1
        self._outbox.parts = replace(self._outbox.parts, publication=True)

    def create_slot(self) -> int:
        lsn = self._outbox.lsn
        self._outbox.parts = replace(self._outbox.parts, slot=SlotState(lsn, active=False))
        return lsn

    def drop_slot(self) -> None:
        self._outbox.parts = replace(self._outbox.parts, slot=None)

    def close(self) -> None:
        pass


def _cell(value: object) -> bytes | None:
    if value is None:
        return None
    return b"\\x" + value.hex().encode() if isinstance(value, bytes) else str(value).encode()

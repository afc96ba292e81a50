"""The stream of a captured table, turned into that of an outbox: each change becomes the rows that its mappings give.

So all that follows (batches, stamps, encoding, quarantine, the position) is the same road for both. Between the
brackets of a transaction stand, in place of its changes, inserts of outbox rows. The position's ordinal counts those
rows, which is why mappings may not change in the middle of a transaction that is published in part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from headwater.errors import Fault, Unreachable
from headwater.outbox import pgoutput, pgoutput_changes, pgoutput_write
from headwater.outbox.event import COLUMNS
from headwater.outbox.load_state import LoadState, Order, loaded
from headwater.outbox.mapper import Mapper, Place
from headwater.outbox.pgoutput import BEGIN, BODY, COMMIT, INSERT, KEEPALIVE, RELATION, Relation, Row
from headwater.outbox.pgoutput_changes import DELETE, TRUNCATE, UPDATE, Cells, RowChange, Table
from headwater.outbox.position import Position
from headwater.outbox.store import OutboxSession, ServerIdentity, SlotState
from headwater.timeline.instant import Instant

RELATION_ID = 1  # of the outbox that is made up: PostgreSQL's own tables begin at 16,384
_CHANGES = frozenset((INSERT, UPDATE, DELETE))
_MESSAGE = b"M"[0]


@dataclass(frozen=True, slots=True)
class TableKey:
    """A table's key columns, and how their texts are ordered."""

    columns: tuple[str, ...]
    order: Order


class Member:
    """One product of a captured table: its mapping, and what its load has published already."""

    def __init__(self, mapper: Mapper, state: LoadState, key: TableKey) -> None:
        self.mapper = mapper
        self._key = key
        self._loaded: Callable[[Sequence[str], int], bool] | None = loaded(state, key.order) if state.ranges else None

    def rows(self, change: RowChange, place: Place, number: int) -> list[Row]:
        """The rows of what its load does not hold of a change."""
        left = change if self._loaded is None else self._left(change, place.commit_lsn, self._loaded)
        return [] if left is None else self.mapper.rows(left, place, number)

    def _left(self, change: RowChange, commit_lsn: int, held: Callable[[Sequence[str], int], bool]) -> RowChange | None:
        """What of a change the load does not hold. One that moves a row to another key is two: it leaves and comes."""
        new = self._texts(change.table, change.new)
        old = self._texts(change.table, change.old) or new
        gone = old is None or held(old, commit_lsn)
        come = new is None or held(new, commit_lsn)
        if old == new or new is None:
            return None if gone else change
        if gone and come:
            return None
        if gone:
            return replace(change, op="insert", old=None)
        return replace(change, op="delete", new=None) if come else change

    def _texts(self, table: Table, cells: Cells | None) -> list[str] | None:
        if cells is None:
            return None
        texts = []
        for column in self._key.columns:
            if column not in table.columns:
                raise Fault(
                    f"the key column {column} of {table.schema}.{table.name} is gone, and a load reads in its order",
                    code="HW-O157",
                    detail="nobody can tell which changes the load has published already",
                    hint="bring the column back until the relay has read beyond the load",
                )
            cell = cells[table.columns.index(column)]
            if not isinstance(cell, bytes):
                raise Fault(
                    f"the log of {table.schema}.{table.name} has changes without the key column {column}",
                    code="HW-O157",
                    detail="nobody can tell which changes the load has published already",
                    hint="give the table its primary key or FULL as replica identity",
                )
            texts.append(cell.decode())
        return texts


class CapturedSession:
    """An `OutboxSession` over that of a captured table, from a position on."""

    def __init__(
        self, session: OutboxSession, table: str, members: Sequence[Member], position: Position, *, again: bool = False
    ) -> None:
        self._session = session
        self._schema, self._table = table.split(".")
        self._members = tuple(members)
        self._position = position
        self._tables: dict[int, Table] = {}
        self._related = False
        self._place = Place(0, Instant(0), 0)
        self._covered = False
        self._next = position.taken  # the number of the next row
        # A product waits for its load until a transaction that was published in part is through.
        self._again_beyond = position.commit_lsn if again else None
        self._again = False

    def read(self, limit: int, timeout: float) -> list[bytes]:
        """As the session reads, with rows in place of changes: there may be more or fewer."""
        if self._again:
            raise Unreachable(
                f"{self._schema}.{self._table}: a product's rows are to be loaded now",
                code="HW-O158",
                hint="wait: the relay does it by itself",
            )
        made: list[bytes] = []
        for message in self._session.read(limit, timeout):
            self._take(message, made)
        return made

    def _take(self, message: bytes, made: list[bytes]) -> None:
        if message[0] == KEEPALIVE:
            made.append(message)
            return
        tag = message[BODY]
        if tag in _CHANGES:
            self._change(message, made)
        elif tag == BEGIN:
            self._begin(message)
            made.append(message)
        elif tag in (COMMIT, _MESSAGE):
            made.append(message)
        elif tag == RELATION:
            table = pgoutput_changes.table(message)
            if (table.schema, table.name) == (self._schema, self._table):
                self._tables[table.id] = table
        elif tag == TRUNCATE and not self._covered and self._tables.keys() & set(pgoutput_changes.truncated(message)):
            rows = [row for member in self._members for row in member.mapper.truncated(self._place)]
            self._made(message, rows, made)

    def _begin(self, message: bytes) -> None:
        begin = pgoutput.begin(message)
        position = self._position
        published = position.published(begin.commit_lsn)
        # A transaction that is published whole is not mapped again: its mapping may be another by now.
        self._covered = published is None or (published > 0 and not position.partial)
        self._place = Place(begin.commit_lsn, begin.committed_at, 0)
        if published and not self._covered:
            self._next = position.taken - published

    def _change(self, message: bytes, made: list[bytes]) -> None:
        table = self._tables.get(pgoutput_changes.relation_id(message))
        if table is None or self._covered:
            return
        change = pgoutput_changes.change(message, table)
        rows: list[Row] = []
        for member in self._members:
            rows += member.rows(change, self._place, self._next + len(rows))
        self._made(message, rows, made)

    def _made(self, message: bytes, rows: Sequence[Row], made: list[bytes]) -> None:
        place = self._place
        self._place = Place(place.commit_lsn, place.committed_at, place.ordinal + 1)
        if not rows:
            return
        self._next += len(rows)
        head = message[:BODY]
        if not self._related:
            self._related = True
            made.append(head + outbox_relation(f"{self._schema}.{self._table}"))
        made.extend(head + pgoutput_write.insert(RELATION_ID, row) for row in rows)

    def confirm(self, lsn: int) -> None:
        """Acknowledge; and see whether a load that waits can begin."""
        self._session.confirm(lsn)
        self._again = self._again_beyond is not None and lsn > self._again_beyond

    def take_lease(self) -> bool:
        """As the session below."""
        return self._session.take_lease()

    def identify(self) -> ServerIdentity:
        """As the session below."""
        return self._session.identify()

    def slot(self) -> SlotState | None:
        """As the session below."""
        return self._session.slot()

    def published(self) -> str:
        """As the session below."""
        return self._session.published()

    def start(self) -> None:
        """As the session below."""
        self._session.start()

    def probe(self) -> None:
        """As the session below."""
        self._session.probe()

    def heartbeat(self) -> None:
        """As the session below."""
        self._session.heartbeat()

    def close(self) -> None:
        """As the session below."""
        self._session.close()


def outbox_relation(table: str) -> bytes:
    """The relation message of the outbox that stands for a captured table."""
    schema, name = table.split(".")
    return pgoutput_write.relation(Relation(RELATION_ID, schema, name, COLUMNS))

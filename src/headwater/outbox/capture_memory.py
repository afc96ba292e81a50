"""A service's own table in this process: rows with a key, changes in the log as PostgreSQL writes them, snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from headwater.outbox import pgoutput_write
from headwater.outbox.capture_store import KeyColumns, TableSnapshot
from headwater.outbox.load_state import Key, key_order
from headwater.outbox.pgoutput_changes import UNSENT, Cells, Table
from headwater.outbox.store_memory import MemoryOutbox
from headwater.timeline.clock import Clock
from headwater.timeline.instant import Instant

Values = Mapping[str, str | None]
_RELATION = 16_500


class MemoryTable(MemoryOutbox):
    """An `OutboxStore` and `CaptureStore`. `columns` maps names to type oids; `key` are the primary key's columns.

    >>> from headwater.timeline.clock import ManualClock
    >>> table = MemoryTable(ManualClock(0), columns={"id": 23, "state": 25}, key=["id"])
    >>> table.write([("insert", {"id": "1", "state": "open"}), ("update", {"id": "1", "state": "paid"})])
    >>> table.now_there()
    [{'id': '1', 'state': 'paid'}]
    """

    def __init__(
        self,
        clock: Clock,
        *,
        columns: Mapping[str, int],
        key: Sequence[str],
        table: str = "public.item",
        whole: bool = True,
    ) -> None:
        super().__init__(clock, table=table)
        self.parts = replace(self.parts, table=True)
        self.types = dict(columns)
        self.key_names = tuple(key)
        self.whole = whole
        self.there: dict[Key, dict[str, str | None]] = {}

    def write(self, changes: Sequence[tuple[str, Values]], *, committed_at: int | None = None) -> None:
        """Commit a transaction: insert, update or delete by the row's key, `move` with `from:<column>` for its old key.

        A value left out of an update is a large one that it leaves alone.
        """
        bodies = [self._relation()]
        for op, values in changes:
            if op == "truncate":
                self.there.clear()
                bodies.append(pgoutput_write.truncate([_RELATION]))
                continue
            moved = {name: values.get(f"from:{name}", values[name]) for name in self.key_names}
            old_key, new_key = self._key(moved), self._key(values)
            old = self.there.get(old_key)
            if op == "insert":
                new = {name: values.get(name) for name in self.types}
                bodies.append(pgoutput_write.insert(_RELATION, self._cells(new)))
                self.there[new_key] = new
                continue
            assert old is not None, "the row is there"
            del self.there[old_key]
            if op == "delete":
                bodies.append(pgoutput_write.delete(_RELATION, self._old(old), whole=self.whole))
                continue
            new = {name: values.get(name, old.get(name)) for name in self.types}
            sent = tuple(
                UNSENT if name not in values else cell for name, cell in zip(self.types, self._cells(new), strict=True)
            )
            before = self._old(old) if self.whole or old_key != new_key else None
            bodies.append(pgoutput_write.update(_RELATION, sent, old=before, whole=self.whole))
            self.there[new_key] = new
        self.commit(bodies, committed_at=committed_at)

    def now_there(self) -> list[dict[str, str | None]]:
        """The rows, in the order of the key."""
        order = key_order([self.types[name] for name in self.key_names])
        return [dict(self.there[key]) for key in sorted(self.there, key=order)]

    def key(self) -> KeyColumns:
        """The primary key."""
        return KeyColumns(self.key_names, tuple(self.types[name] for name in self.key_names))

    @contextmanager
    def snapshot(self, after: Key | None) -> Iterator[TableSnapshot]:
        """The rows as of now."""
        yield _MemorySnapshot(self, after)

    def log_whole_rows(self) -> None:
        """REPLICA IDENTITY FULL."""
        self.whole = True

    def description(self) -> Table:
        """The table as its changes have it now."""
        identity = frozenset(self.types if self.whole else self.key_names)
        schema, name = self.table.split(".")
        return Table(_RELATION, schema, name, tuple(self.types), tuple(self.types.values()), identity)

    def _key(self, values: Values) -> Key:
        return tuple(str(values[name]) for name in self.key_names)

    def _cells(self, row: Values) -> tuple[bytes | None, ...]:
        values = [row.get(name) for name in self.types]
        return tuple(None if value is None else value.encode() for value in values)

    def _old(self, row: Values) -> tuple[bytes | None, ...]:
        cells = self._cells(row)
        if self.whole:
            return cells
        return tuple(cell if name in self.key_names else None for name, cell in zip(self.types, cells, strict=True))

    def _relation(self) -> bytes:
        table = self.description()
        columns = list(zip(table.columns, table.types, strict=True))
        return pgoutput_write.typed_relation(table.id, table.schema, table.name, columns, table.identity)


class _MemorySnapshot:
    def __init__(self, table: MemoryTable, after: Key | None) -> None:
        self.point = table.lsn
        self.table = table.description()
        self._clock = table.clock
        order = key_order([table.types[name] for name in table.key_names])
        keys = sorted((key for key in table.there if after is None or order(key) > order(after)), key=order)
        self._left = [
            tuple(None if value is None else value.encode() for value in (table.there[key].get(n) for n in table.types))
            for key in keys
        ]

    def rows(self, limit: int) -> Sequence[Cells]:
        taken, self._left = self._left[:limit], self._left[limit:]
        return taken

    def now(self) -> Instant:
        return self._clock.now()

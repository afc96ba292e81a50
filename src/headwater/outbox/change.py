"""What a `mapping.py` is given and what it gives back: a change of a service's own row, and records of the product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from headwater.outbox.event import Kind

Operation = Literal["insert", "update", "delete", "snapshot"]
# What a record does to what was known, where the mapping does not say it.
KIND_OF: Mapping[Operation, Kind] = {
    "snapshot": "assert",
    "insert": "assert",
    "update": "correct",
    "delete": "retract",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one row, as the database committed it.

    `before` is the row as it was (update, delete), `after` as it is (insert, update, snapshot); None where there is
    none. A snapshot is a row that was there before the first change. Values are Python's: whole numbers, bool, float,
    `Decimal`, `datetime` (with a zone where the column has one), `date`, `time`, `UUID`, bytes, lists of those, and for
    json and jsonb what `json.loads` gives; every other type is its text. Where the table's replica identity is not
    FULL, `before` holds the identity's columns alone, and is None for an update that leaves them.

    >>> change = Change("update", {"id": 7, "state": "open"}, {"id": 7, "state": "paid"}, datetime(2026, 1, 1))
    >>> change.changed("state"), change.changed("id")
    (True, False)
    """

    op: Operation
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    committed_at: datetime

    @property
    def row(self) -> Mapping[str, Any]:
        """The row that the change is about: as it is, or as it was where it is gone."""
        row = self.after if self.after is not None else self.before
        assert row is not None, "a change has one of both"
        return row

    def changed(self, *columns: str) -> bool:
        """Whether one of these columns has another value than before; True where there is no before, or no after."""
        before, after = self.before, self.after
        return before is None or after is None or any(before[column] != after[column] for column in columns)


@dataclass(frozen=True, slots=True)
class Record:
    """A record for the product: its fields without `event_id`, `recorded_at`, `kind` and `revision`.

    `kind` left out follows from the change: assert for insert and snapshot, correct for update, retract for delete.
    `revision` left out is a number that grows with each record of the table, so with each of any event or fact.
    `event_id` is for products that publish events: left out, the record is an event of its own, asserted once.
    """

    payload: Mapping[str, Any]
    event_id: str | None = None
    kind: Kind | None = None
    revision: int | None = None
    traceparent: str | None = None

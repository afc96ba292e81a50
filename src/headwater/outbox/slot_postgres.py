"""What PostgreSQL's catalogue says about a slot, a publication and a timeline, as values."""

from __future__ import annotations

from typing import Any

from headwater.outbox.pgoutput import lsn_from_text
from headwater.outbox.store import SlotState

# The limit counts from where the server would let go: what is held back now, and what may still be written.
SLOT_SQL = """SELECT confirmed_flush_lsn, active, coalesce(wal_status, ''), to_jsonb(s) ->> 'invalidation_reason',
  coalesce(pg_current_wal_lsn() - restart_lsn, 0)::bigint,
  CASE WHEN current_setting('max_slot_wal_keep_size') <> '-1'
    THEN pg_size_bytes(current_setting('max_slot_wal_keep_size')) END
  FROM pg_replication_slots s WHERE slot_name = %s"""
# A publication made anew, or one that the table left and joined again, is another: rows between were not sent.
# Not asked of pg_publication_tables: it opens the table in the asking session, which then decodes rows from before an
# ALTER TABLE by the columns of today, and ends the stream where the type of one has changed in a partition.
PUBLICATION_SQL = """SELECT p.oid || ':' || r.oid FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
  WHERE p.pubname = %s ORDER BY r.oid LIMIT 1"""


def slot_state(confirmed: Any, active: bool, wal_status: Any, *more: Any) -> SlotState:
    """A row of `SLOT_SQL` as a value."""
    invalidated, retained, limit = more
    lost = str(invalidated or ("wal_status is lost" if wal_status == "lost" else ""))
    return SlotState(
        lsn_from_text(confirmed or "0/0"), active, lost, int(retained or 0), None if limit is None else int(limit)
    )


def branches_of(history: str) -> tuple[tuple[int, int], ...]:
    """Earlier timelines of a server and where it left each, from the text of its history file.

    >>> branches_of("1\\t0/16B3748\\tno recovery target specified\\n\\n2\\t0/2000000\\tbefore 2026\\n")
    ((1, 23803720), (2, 33554432))
    """
    fields = [line.split("\t") for line in history.splitlines() if line.strip() and not line.startswith("#")]
    return tuple((int(parts[0]), lsn_from_text(parts[1])) for parts in fields)

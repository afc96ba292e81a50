"""What every `LakeTable` must do: that a record is in the lake once rests on each of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import uuid4

import pyarrow as pa
import pytest

from headwater.errors import CallerFault
from headwater.ports.access import DenyClassified
from headwater.ports.lake.progress import Progress, Seen
from headwater.ports.lake.rows import LakeRows
from headwater.ports.lake.table import Files, LakeTable, Refused, commit
from headwater.ports.record import Message
from headwater.testing.source_products import order_events
from headwater.timeline.instant import Instant

PRODUCT = order_events(ports=("topic", "lake"))
DAY = 86_400_000_000


class Lakes(Protocol):
    """A table of `PRODUCT` under test, empty at first."""

    def table(self) -> LakeTable:
        """The table, as one more process would have it."""

    def offsets(self) -> Sequence[int]:
        """The offsets that a reader sees, in any order, read without Headwater where that is possible."""

    def tend(self) -> None:
        """Put a snapshot on top that has no progress, as other engines do."""

    def stored(self) -> int:
        """How many data files are in the storage, named or not."""


class LakeTableSuite:
    """Subclass it, and give a fixture `lakes`: a new table."""

    def test_rows_and_progress_become_visible_together(self, lakes: Lakes) -> None:
        """Not with the files, but with the commit; another process sees both."""
        table, progress = lakes.table(), progress_to(3)
        assert table.look() == Seen("", None, frozenset(), table.look().state)
        files = table.write(rows(0, 3), progress.commit)
        assert files.rows == 3 and list(lakes.offsets()) == [] and table.look().progress is None
        seen = table.append(table.look(), files, progress)
        assert sorted(lakes.offsets()) == [0, 1, 2]
        other = lakes.table().look()
        assert other.progress == seen.progress == progress and other.head == seen.head

    def test_a_base_that_is_not_the_newest_is_refused(self, lakes: Lakes) -> None:
        """Whoever committed since: a writer, or one who tends the table."""
        table, other = lakes.table(), lakes.table()
        seen = table.look()
        put(other, other.look(), 0, 2)
        late = progress_to(2)
        files = table.write(rows(0, 2), late.commit)
        with pytest.raises(Refused):
            table.append(seen, files, late)
        seen = table.look()
        lakes.tend()
        with pytest.raises(Refused):
            table.append(seen, files, late)
        assert sorted(lakes.offsets()) == [0, 1]

    def test_progress_is_found_beneath_the_snapshots_of_others(self, lakes: Lakes) -> None:
        """As are the ids of earlier commits."""
        table = lakes.table()
        first = put(table, table.look(), 0, 2)
        lakes.tend()
        lakes.tend()
        seen = lakes.table().look()
        assert seen.head != first.head and seen.progress == first.progress
        second = put(table, seen, 2, 5)
        assert {first.newest, second.newest} <= table.look().commits
        assert second.progress is not None and second.progress.offsets == {0: 5}

    def test_maintenance_between_look_and_append_is_no_rival(self, lakes: Lakes) -> None:
        """The commit is made anew on top of it."""
        table = lakes.table()
        seen = put(table, table.look(), 0, 2)
        lakes.tend()
        put(table, seen, 2, 4)
        assert sorted(lakes.offsets()) == [0, 1, 2, 3]

    def test_a_writer_that_was_overtaken_stops_and_leaves_nothing(self, lakes: Lakes) -> None:
        """HW-I001; its files are gone."""
        table, other = lakes.table(), lakes.table()
        seen = table.look()
        put(other, other.look(), 0, 3)
        stored = lakes.stored()
        with pytest.raises(CallerFault) as caught:
            put(table, seen, 0, 2)
        assert caught.value.code == "HW-I001"
        assert sorted(lakes.offsets()) == [0, 1, 2] and lakes.stored() == stored

    def test_a_lost_answer_is_no_failure(self, lakes: Lakes) -> None:
        """The commit is found by its id."""
        table = lakes.table()
        seen, progress = table.look(), progress_to(2)
        files = table.write(rows(0, 2), progress.commit)
        table.append(seen, files, progress)  # and nobody hears of it
        found = commit(table, seen, files, progress)
        assert found.progress == progress and sorted(lakes.offsets()) == [0, 1]

    def test_progress_without_rows_is_a_commit(self, lakes: Lakes) -> None:
        """How far a table is settled moves on without records."""
        table = lakes.table()
        seen = put(table, table.look(), 0, 2)
        progress = progress_to(2)
        files = table.write(rows(0, 0), progress.commit)
        assert files == Files((), 0, files.state)
        commit(table, seen, files, progress)
        assert table.look().progress == progress and sorted(lakes.offsets()) == [0, 1]

    def test_rows_of_several_days_are_one_commit(self, lakes: Lakes) -> None:
        """Each day has files of its own."""
        table, progress = lakes.table(), progress_to(6)
        files = table.write(rows(0, 6, days=3), progress.commit)
        commit(table, table.look(), files, progress)
        assert sorted(lakes.offsets()) == [0, 1, 2, 3, 4, 5]
        assert {field.name for field in PRODUCT.output.schema.fields} <= set(table.columns())


def progress_to(offset: int) -> Progress:
    """Progress up to an offset, in a commit of its own."""
    return Progress(PRODUCT.output.topic, "t1", {0: offset}, {0: Instant(offset)}, uuid4().hex, epoch=1)


def put(table: LakeTable, seen: Seen, first: int, end: int) -> Seen:
    """Write and commit the rows of these offsets on top of what was seen."""
    progress = progress_to(end)
    return commit(table, seen, table.write(rows(first, end), progress.commit), progress)


def rows(first: int, end: int, *, days: int = 1) -> pa.Table:
    """Rows of these offsets, recorded over so many days."""
    records = [
        (
            Message(PRODUCT.output.topic, 0, offset, b"", b"", 0),
            {
                "event_id": str(offset), "customer": f"c{offset % 2}", "number": offset, "occurred_at": offset,
                "note": None, "recorded_at": offset % days * DAY + offset, "kind": "assert", "revision": 1,
            },
        )
        for offset in range(first, end)
    ]  # fmt: skip
    return LakeRows(PRODUCT, DenyClassified()).table(records, "t1")

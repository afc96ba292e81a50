"""Rows of the table as batches, stamped as the relay would have stamped them; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from headwater.outbox.batching import Limits
from headwater.outbox.pgoutput import Row
from headwater.outbox.position import Position
from headwater.outbox.segment import Batch, Run, Segment
from headwater.timeline.instant import Instant


def filling_batches(
    rows: Iterable[tuple[int, Row]], position: Position, *, dated: bool, at: int, limits: Limits
) -> Iterator[Batch]:
    """Batches of rows, each with its time; where `dated` that is its commit's, and rows of one commit have one stamp.

    Else all have the stamp of `position`. The positions of the batches cover no more of the log than `position` does:
    they say only which stamp was the last. `at` names the rows' place in the log for those that go aside.
    """
    segments: list[Segment] = []
    count = size = total = 0
    last: int | None = None
    for time, row in rows:
        begins = last is None or (dated and time != last)
        # Whole transactions, where one alone is not above the limit.
        full = (begins and count >= limits.rows) or bool(segments and segments[-1].count >= limits.rows)
        if full or size >= limits.bytes:
            yield Batch(tuple(segments), position, count, None)
            segments, count, size, begins = [], 0, 0, True
        if begins:
            if dated:  # a commit that goes on in a new batch is given the same stamp again: its time is the same
                position = replace(position, stamp=position.stamp.next(time))
            segments.append(Segment(at, Instant(time), total, recorded_at=position.stamp.value, runs=[Run.of_rows([])]))
            last = time
        segments[-1].runs[0].items.append(row)
        count, total = count + 1, total + 1
        size += sum([len(cell) for cell in row if cell is not None])
    if segments:
        yield Batch(tuple(segments), position, count, None)

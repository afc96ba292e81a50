"""Answers from an index: whole, or a slice at a time, of a key or of all; as a topic that is read from its start has.

A question as of a recorded moment up to which the index is complete is answered at once, be Kafka there or not. One
that leaves the moment open is answered with what has come, once all that was there at the start is taken in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pyarrow as pa

from headwater.errors import CallerFault, HeadwaterError, Unreachable
from headwater.ports.access import WHOLE, View
from headwater.ports.answers import Answer, Question
from headwater.ports.feed import Place, encode_cursor
from headwater.ports.index.chunks import Chunk, Span, chunks
from headwater.ports.index.folding import Folded, Folding, Moments, Sign
from headwater.ports.index.follower import Index, Indexed, filling
from headwater.ports.index.layout import RECORDS, RECORDS_END, end_of, stem_of
from headwater.ports.index.partition import IndexedPartition, Seen
from headwater.ports.keys import key_bytes, partition_of
from headwater.ports.progress import NOTHING
from headwater.schemas.arrow import arrow_schema, arrow_table
from headwater.schemas.unsure import Unsure
from headwater.timeline.bitemporal import Record
from headwater.timeline.instant import Instant

_AT_ONCE = 20_000  # versions that are folded in one step
_PATIENCE_MICROSECONDS = 5_000_000  # for what another server has read already
_LOOK_MICROSECONDS = 10_000


class After(NamedTuple):
    """Behind which row a slice begins: its partition, its key as the index has it, and its sign."""

    partition: int
    stem: bytes
    sign: Sign


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows of an answer, or a table of them; `answer` says how firm they are, and has no rows of its own.

    `after` leads to the next slice; None where nothing is left.
    """

    rows: Sequence[Record] | pa.Table
    answer: Answer
    after: After | None


class IndexAnswers:
    """Answers from the index of one product; `view` is what a reader may see."""

    def __init__(self, index: Index, topic: str, *, view: View = WHOLE) -> None:
        self._index, self._topic, self._view = index, topic, view
        self._clock = index.clock

    def as_of(self, question: Question) -> Answer:
        """The answer to one question."""
        return self._whole(question, history=False)

    def history(self, question: Question) -> Answer:
        """Every record as it was published, of a key or of all, by key."""
        return self._whole(question, history=True)

    def table(self, question: Question, *, history: bool = False) -> tuple[pa.Table, Answer]:
        """The same as columns: the table, and how firm it is."""
        found = self.slice(question, history=history, columns=True)
        assert isinstance(found.rows, pa.Table)
        return found.rows, found.answer

    def slice(
        self,
        question: Question,
        *,
        history: bool = False,
        after: After | None = None,
        limit: int | None = None,
        columns: bool = False,
    ) -> Slice:
        """The rows behind `after`, up to `limit`; slices of a question that bears `ends` are cut from one answer."""
        indexed = self._index.of(self._topic)
        parts = self._asked(indexed, question)
        seen = self._waited(indexed, parts, question)
        ends = {part.place.partition: one.end for part, one in zip(parts, seen, strict=True)}
        ends |= {number: min(end, ends[number]) for number, end in (question.ends or {}).items() if number in ends}
        gathered = _Gathered(limit)
        folding = Folding(indexed.product.output, indexed.records)
        moments = Moments(question.valid_at, question.recorded_at, history)
        for part, one in zip(parts, seen, strict=True):
            number = part.place.partition
            if gathered.full or (after is not None and number < after.partition):
                continue
            behind = after if after is not None and number == after.partition else None
            span = _span(question, behind, one.start, ends[number])
            for chunk in chunks(part.store, span, min(_AT_ONCE, limit or _AT_ONCE) + 1):
                folded = self._folded(folding, chunk, moments, columns=columns)
                if gathered.take(number, chunk, folded, behind):
                    break
        newest = gathered.newest if question.key is not None else max(one.newest for one in seen)
        through = Instant(min(one.through for one in seen))
        asked = question.recorded_at if question.recorded_at is not None else newest
        unreadable = sum(part.unreadable(ends[part.place.partition]) for part in parts)
        answer = Answer((), through, asked <= through, unreadable, ends)
        return Slice(self._seen(gathered.pieces, indexed, columns=columns), answer, gathered.after)

    def bootstrap(self, recorded: Instant | None) -> tuple[Question, str]:
        """What a snapshot as of a settled moment asks, and the cursor of the feed behind it.

        Raises `CallerFault` HW-R021 where the moment is not settled yet.
        """
        indexed = self._index.of(self._topic)
        seen = {part: part.seen for part in indexed.partitions}
        settled = Instant(min(one.through for one in seen.values()))
        moment = settled if recorded is None else recorded
        if moment > settled:
            raise CallerFault(
                f"{indexed.product.name} is not settled at {moment.iso()}",
                code="HW-R021",
                detail=f"up to {settled.iso()} nothing can be added" if settled > NOTHING else "nothing is settled yet",
                hint="ask for an earlier moment, or for none: then it is the newest settled one",
            )
        offsets = {part.place.partition: min(part.behind(moment), one.end) for part, one in seen.items()}
        ends = {part.place.partition: one.end for part, one in seen.items()}
        return Question(None, moment, None, ends), encode_cursor(self._topic, Place(offsets, moment))

    def _whole(self, question: Question, *, history: bool) -> Answer:
        found = self.slice(question, history=history)
        assert not isinstance(found.rows, pa.Table)
        return replace(found.answer, rows=tuple(found.rows))

    def _asked(self, indexed: Indexed, question: Question) -> Sequence[IndexedPartition]:
        if question.key is None:
            return indexed.partitions
        number = partition_of(key_bytes(question.key), len(indexed.partitions))
        return [indexed.partitions[number]]

    def _waited(self, indexed: Indexed, parts: Sequence[IndexedPartition], question: Question) -> Sequence[Seen]:
        """How far each partition is, once that is far enough for the question."""
        until = self._clock.monotonic() + _PATIENCE_MICROSECONDS
        while True:
            seen = [part.seen for part in parts]
            wanted = question.ends or {}
            there = all(one.end >= wanted.get(part.place.partition, 0) for part, one in zip(parts, seen, strict=True))
            if there and (question.ends is not None or all(_knows(one, question.recorded_at) for one in seen)):
                return seen
            if not all(one.ready for one in seen) or self._clock.monotonic() >= until:
                raise self._late(indexed)
            self._clock.sleep(_LOOK_MICROSECONDS)

    def _late(self, indexed: Indexed) -> HeadwaterError:
        share = indexed.filled()
        if share < 1:
            return filling(str(indexed.product.name), share)
        return Unreachable(
            f"the index of {indexed.product.name} is behind what another server has answered",
            code="HW-R041",
            detail="a page goes on from an answer that has read further than this server has",
            hint="ask again as Retry-After says",
        )

    def _folded(self, folding: Folding, chunk: Chunk, moments: Moments, *, columns: bool) -> Folded:
        if columns and self._view.keeps is None:  # which records a view keeps is asked record by record
            try:
                return folding.columns(chunk, moments)
            except Unsure:
                pass
        return folding.rows(chunk, moments)

    def _seen(
        self, pieces: Sequence[Sequence[Record] | pa.Table], indexed: Indexed, *, columns: bool
    ) -> Sequence[Record] | pa.Table:
        if not columns:
            return self._view.rows(record for piece in pieces for record in piece)
        schema = self._view.schema(indexed.product.output.schema)
        names = arrow_schema(schema).names
        tables = [
            piece.select(names) if isinstance(piece, pa.Table) else arrow_table(schema, self._view.rows(piece))
            for piece in pieces
        ]
        return pa.concat_tables(tables) if tables else arrow_schema(schema).empty_table()


class _Gathered:
    """Rows of a slice as they come: one more than it may have, so that it knows whether there is more."""

    def __init__(self, limit: int | None) -> None:
        self.pieces: list[Sequence[Record] | pa.Table] = []
        self.newest = -1
        self.after: After | None = None
        self.full = False
        self._left = limit
        self._last: After | None = None

    def take(self, number: int, chunk: Chunk, folded: Folded, behind: After | None) -> bool:
        """The rows of a chunk, but for those that an earlier slice had; whether that is enough."""
        self.newest = max(self.newest, folded.newest)
        first, count = 0, len(folded.groups)
        if behind is not None and chunk.stems[0] == behind.stem:
            first = _passed(folded, behind.sign)
        some = count - first
        if self._left is not None and some > self._left:
            some, self.full, self.after = self._left, True, self._last
        if some > 0:
            piece, last = folded.rows, first + some - 1
            self.pieces.append(piece.slice(first, some) if isinstance(piece, pa.Table) else piece[first : first + some])
            self._last = After(number, chunk.stems[int(folded.groups[last])], _plain(folded.signs[last]))
            if self.full:
                self.after = self._last
        if self._left is not None:
            self._left -= some
        return self.full


def _passed(folded: Folded, sign: Sign) -> int:
    """How many rows of the first key stand at or before a sign."""
    place, count = 0, len(folded.groups)
    while place < count and folded.groups[place] == 0 and folded.signs[place] <= sign:  # type: ignore[operator]
        place += 1
    return place


def _plain(sign: object) -> Sign:
    return sign if isinstance(sign, str) else int(sign)  # type: ignore[call-overload]


def _span(question: Question, behind: After | None, start: int, end: int) -> Span:
    first, last = RECORDS, RECORDS_END
    if question.key is not None:
        first = stem_of(key_bytes(question.key))
        last = end_of(first)
    return Span(first if behind is None else max(first, behind.stem), last, start, end)


def _knows(seen: Seen, recorded_at: Instant | None) -> bool:
    return seen.ready or (recorded_at is not None and recorded_at <= seen.through)

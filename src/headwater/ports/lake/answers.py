"""As-of answers and histories from the lake: the same as the topic's, up to where the newest snapshot has read it."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from headwater.mesh.products import ResolvedProduct
from headwater.ports.access import Access, DenyClassified
from headwater.ports.answers import Answer, Question, of_shape
from headwater.ports.lake.reading import LakeSource, Rows, Wanted
from headwater.ports.lake.rows import LakeRows
from headwater.ports.lake.table import OFFSET, PARTITION
from headwater.ports.progress import NOTHING
from headwater.schemas.arrow_records import records_of
from headwater.schemas.avro import Schema
from headwater.timeline.bitemporal import Record
from headwater.timeline.instant import Instant


class LakeAnswers:
    """Answers from a product's table. What is personal is not in it, so that `schema` may have fewer fields.

    The rows are folded in the order of their offsets, as the topic's are: only what is wanted of them is read.
    """

    def __init__(self, product: ResolvedProduct, source: LakeSource, access: Access | None = None) -> None:
        self._product, self._source = product, source
        self.schema: Schema = LakeRows(product, access or DenyClassified()).source

    def as_of(self, question: Question) -> Answer:
        """The answer to one question."""
        known = of_shape(self._product.output)
        # An event's later revision may have occurred at another time; a fact's interval never changes.
        holds = question.valid_at if self._product.output.shape == "fact" else None
        records, rows = self._read(question, holds)
        for record in records:
            known.take(record)
        return self._answer(tuple(known.rows(question.valid_at)), records, rows, question)

    def history(self, question: Question) -> Answer:
        """Every record as it was published, of a key or of all, oldest first in each partition."""
        records, rows = self._read(question, None)
        return self._answer(tuple(records), records, rows, question)

    def _read(self, question: Question, valid_at: Instant | None) -> tuple[list[Record], Rows]:
        names = self._product.output.output.key
        key = dict(zip(names, question.key, strict=True)) if question.key is not None else {}
        rows = self._source.rows(Wanted(question.recorded_at, key, valid_at))
        table = rows.table
        if question.ends is not None:
            table = table.filter(_before(table, question.ends))
        table = table.sort_by([(PARTITION, "ascending"), (OFFSET, "ascending")])
        return records_of(self.schema, table), rows

    def _answer(self, found: tuple[Record, ...], read: list[Record], rows: Rows, question: Question) -> Answer:
        progress, until = rows.progress, question.recorded_at
        through = progress.settled_to if progress is not None else NOTHING
        newest = max((record["recorded_at"] for record in read), default=-1)
        ends = question.ends if question.ends is not None else progress.offsets if progress is not None else {}
        unreadable = progress.unreadable if progress is not None else 0
        return Answer(found, through, (newest if until is None else until) <= through, unreadable, dict(ends))


def _before(table: pa.Table, ends: Mapping[int, int]) -> pa.Array:
    partitions = table[PARTITION].to_pylist()
    upto = pa.array([ends.get(partition, 0) for partition in partitions], pa.int64())
    return pc.less(table[OFFSET].combine_chunks(), upto)

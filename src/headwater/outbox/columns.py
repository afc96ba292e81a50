"""A batch's rows as columns, for products whose schema allows it; what is unusual is left to the row road.

`encode.py` is the reference: for each row that this module answers for, its record is the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.mesh.products import ResolvedOutput, ResolvedProduct
from headwater.outbox.aside import VALUE_BYTES_LIMIT
from headwater.outbox.cells import Cells
from headwater.outbox.event import COLUMNS, KINDS
from headwater.outbox.pgoutput import Relation
from headwater.ports.key_columns import partitions_of
from headwater.ports.keys import key_text
from headwater.ports.record import Header, Outgoing
from headwater.schemas.column_text import uuids
from headwater.schemas.columns import AvroColumns, PayloadColumns, fits
from headwater.schemas.types import AvroType, logical_of
from headwater.schemas.unsure import Unsure

LEAST_ROWS = 50  # below, the row road costs less
_DOUBT = 0.5  # of a batch's rows left to the row road: its columns are not tried again for a while
_PATIENCE = 50  # batches
_AT_ONCE = 4_000  # rows: more bring no more speed, but leave the processor's caches and take memory
_PIECE = 250  # rows of which one is unsure are looked at in pieces of so many


class SourceColumns:
    """The products of one source that can be encoded as columns, in the words of `encode.Encoder`."""

    def __init__(self, products: Sequence[tuple[ResolvedProduct, bytes, int]]) -> None:
        self.products = [ProductColumns(*product) for product in products if fitting(product[0].output)]

    def encode(
        self, messages: Sequence[bytes], relation: Relation, stamps: Sequence[tuple[int, int]]
    ) -> list[Outgoing | None]:
        """The record of each insert, None where the row road must look; empty where it is to look at all of them.

        `stamps` are `recorded_at` with the number of rows that have it.
        """
        if len(messages) < LEAST_ROWS:
            return []
        recorded = np.repeat([stamp for stamp, _ in stamps], [count for _, count in stamps])
        done: list[Outgoing | None] = []
        for start in range(0, len(messages), _AT_ONCE):
            some = messages[start : start + _AT_ONCE]
            part: list[Outgoing | None] = [None] * len(some)
            cells = Cells(some, relation, COLUMNS)
            for product in self.products:
                product.encode(cells, recorded[start : start + _AT_ONCE], part)
            done += part
        return done


def fitting(output: ResolvedOutput) -> bool:
    """Whether rows of this output can be read as columns: by its schema, its key, and one record for each row."""
    if "current" in output.output.ports or output.output.grid is not None:
        return False
    return fits(output.schema.type) and all(
        _plain_key(output.payload_schema.field(name).type) for name in output.output.key
    )


def _plain_key(avro_type: AvroType) -> bool:
    logical = logical_of(avro_type)
    return avro_type.kind == "enum" or (
        avro_type.kind in ("string", "int", "long") and (logical is None or logical.name == "uuid")
    )


@dataclass(slots=True)
class _Found:
    """What is known of some rows of one product before their payloads are read."""

    rows: Any
    ids: list[bytes]
    keys: list[bytes]
    events: list[bytes]
    payloads: list[bytes]
    kinds: Any
    revisions: Any
    recorded: Any

    def part(self, start: int, end: int) -> _Found:
        return _Found(
            self.rows[start:end], self.ids[start:end], self.keys[start:end], self.events[start:end],
            self.payloads[start:end], self.kinds[start:end], self.revisions[start:end], self.recorded[start:end],
        )  # fmt: skip


class ProductColumns:
    """Encodes rows of one product. `prefix` is the frame of its schema's id, `partitions` the number of its topic's."""

    def __init__(self, product: ResolvedProduct, prefix: bytes, partitions: int) -> None:
        output = product.output
        self.name = str(product.name).encode()
        self._topic, self._prefix, self._partitions = output.topic, prefix, partitions
        self._type = output.schema.name.encode()
        self._key_fields = output.output.key
        keys = [output.payload_schema.field(name).type.kind for name in self._key_fields]
        self._key_is_text = len(keys) == 1 and keys[0] in ("string", "enum")
        self._event = output.shape == "event"
        self._event_is_uuid = self._event and logical_of(output.schema.field("event_id").type) is not None
        self._rest = 0  # batches for which the row road has this product to itself
        self._read, self._write = PayloadColumns(output.payload_schema), AvroColumns(output.schema)

    def encode(self, cells: Cells, recorded: Any, done: list[Outgoing | None]) -> None:
        """Put the record of each row that this can answer for at its place in `done`."""
        if self._rest:
            self._rest -= 1
            return
        found = self._found(cells, recorded)
        if len(found.rows) < LEAST_ROWS:
            return
        more = _more_headers(cells)
        if self._tried(found, more, done):
            return
        pieces = [found.part(start, start + _PIECE) for start in range(0, len(found.rows), _PIECE)]
        failed = sum(not self._tried(piece, more, done) for piece in pieces)
        if failed > len(pieces) * _DOUBT:
            self._rest = _PATIENCE

    def _tried(self, found: _Found, more: dict[int, list[Header]], done: list[Outgoing | None]) -> bool:
        try:
            self._piece(found, more, done)
        except Unsure:
            return False
        return True

    def _found(self, cells: Cells, recorded: Any) -> _Found:
        """The rows of this product of which nothing but the payload could be amiss."""
        kinds = np.full(cells.rows, -1)
        for number, kind in enumerate(KINDS):
            kinds[cells.equal("kind", kind.encode())] = number
        revisions, usual = cells.numbers("revision")
        usual &= cells.equal("aggregatetype", self.name) & cells.equal("type", self._type) & (kinds >= 0)
        usual &= (revisions >= 1) & cells.there("id") & cells.there("aggregateid")
        usual &= cells.there("payload")
        rows = np.flatnonzero(usual)
        events = cells.texts("event_id", rows, instead="id") if self._event else []
        return _Found(
            rows, cells.texts("id", rows), cells.texts("aggregateid", rows), events, cells.texts("payload", rows),
            kinds[rows], revisions[rows], recorded[rows],
        )  # fmt: skip

    def _piece(self, found: _Found, more: dict[int, list[Header]], done: list[Outgoing | None]) -> None:
        columns, unsure = self._read.read(found.payloads)
        columns |= self._platform(found)
        unsure |= self._other_keys(columns, found.keys)
        if self._event_is_uuid:
            unsure |= uuids(columns["event_id"])
        if unsure.any():
            sure = np.flatnonzero(~unsure)
            if not len(sure):
                return
            columns = {name: column.take(pa.array(sure)) for name, column in columns.items()}
            found = _sure(found, sure)
        values = self._write.write(columns, self._prefix)
        headers: list[list[Header]] = [[("id", row_id)] for row_id in found.ids]
        rows = found.rows.tolist()
        if more:
            for place, row in enumerate(rows):
                headers[place] += more.get(row, ())
        partitions = partitions_of(found.keys, self._partitions)
        stamps = (found.recorded // 1_000).tolist()
        records = zip(repeat(self._topic), partitions, found.keys, values, stamps, headers)
        if len(rows) == len(done) and max(map(len, values)) <= VALUE_BYTES_LIMIT:
            done[:] = records
            return
        for row, record in zip(rows, records, strict=True):
            if len(record[3]) <= VALUE_BYTES_LIMIT:
                done[row] = record

    def _platform(self, found: _Found) -> dict[str, Any]:
        """The fields that the payload lacks."""
        kinds = pa.array(KINDS).take(pa.array(found.kinds))
        fields = {"recorded_at": pa.array(found.recorded), "kind": kinds, "revision": pa.array(found.revisions)}
        if self._event:
            try:
                fields["event_id"] = pa.array(found.events, pa.binary()).cast(pa.string())
            except pa.ArrowInvalid:
                raise Unsure from None
        return fields

    def _other_keys(self, columns: dict[str, Any], keys: list[bytes]) -> Any:
        """Where the row's key is not that of its record."""
        if self._key_is_text:
            same = pc.equal(columns[self._key_fields[0]].cast(pa.binary()), pa.array(keys, pa.binary()))
            return ~same.fill_null(False).to_numpy(zero_copy_only=False)
        values = zip(*(columns[name].to_pylist() for name in self._key_fields), strict=True)
        own = [key_text(value).encode() for value in values]
        if own == keys:
            return np.zeros(len(keys), bool)
        return np.array([one != other for one, other in zip(own, keys, strict=True)])


def _sure(found: _Found, sure: Any) -> _Found:
    places = sure.tolist()

    def some(texts: Sequence[bytes]) -> list[bytes]:
        return [texts[place] for place in places] if texts else []

    return _Found(
        found.rows[sure], some(found.ids), some(found.keys), some(found.events), some(found.payloads),
        found.kinds[sure], found.revisions[sure], found.recorded[sure],
    )  # fmt: skip


def _more_headers(cells: Cells) -> dict[int, list[Header]]:
    """The headers of rows that have more than their id."""
    more: dict[int, list[Header]] = {}
    for header, column in (("key_version", "key_version"), ("traceparent", "traceparent"), ("replay.id", "replay_of")):
        rows = np.flatnonzero(cells.there(column))
        for row, text in zip(rows.tolist(), cells.texts(column, rows), strict=True):
            more.setdefault(row, []).append((header, text))
    return more

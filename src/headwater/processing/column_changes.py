"""`changes` over columns: records that say something new as rows of columns, all others as changes, by rows.

`changes` is the rule, with the same table: of each identity the last version. New is what asserts or corrects an
identity that is not known and comes once; of the others the operator itself says what changes. Nothing is written
before `write`, so that whoever is not sure may still go by rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.blocks import Part
from headwater.processing.column_state import arrow_type, joined_keys, packed_rows, sized_keys
from headwater.processing.operators.changes import Changes, ChangesSpec, Intake, Known, Version
from headwater.processing.operators.core import Change
from headwater.schemas.unsure import Unsure

_RETRACT = pa.scalar("retract")


class NewRows(NamedTuple):
    """Rows that come, in the order of their records: the tick and the key of each, and its columns."""

    ticks: Any
    keys: Any
    columns: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.ticks)

    def filter(self, stays: Any) -> NewRows:
        """Those of which this is true."""
        mask = pa.array(stays)
        columns = {name: column.filter(mask) for name, column in self.columns.items()}
        return NewRows(self.ticks[stays], self.keys.filter(mask), columns)


@dataclass(frozen=True)
class Split:
    """What some parts say: rows that are new, the changes of each tick beside them, and what is kept of both.

    `records` went as columns, `counts` are of the others.
    """

    rows: NewRows
    records: int
    changes: Mapping[int, list[Change]]
    counts: dict[str, int]
    pending: Mapping[bytes, Known]
    packed: Sequence[tuple[list[bytes], list[bytes]]] = ()


def united(splits: Sequence[Split]) -> Split:
    """What some inputs say as one, to be folded: of each tick the inputs in their order, which is that of the row road.

    Raises `Unsure` where the same column lies in two types.
    """
    if len(splits) == 1:
        return splits[0]
    ticks = np.concatenate([split.rows.ticks for split in splits])
    order = np.argsort(ticks, kind="stable")
    which = pa.array(order)
    columns = {}
    for name in splits[0].rows.columns:
        columns[name] = _joined([split.rows.columns[name] for split in splits]).take(which)
    keys = _joined([split.rows.keys for split in splits]).take(which)
    changes: dict[int, list[Change]] = {}
    counts: dict[str, int] = {}
    for split in splits:
        for tick, some in split.changes.items():
            changes.setdefault(tick, []).extend(some)
        for name, number in split.counts.items():
            counts[name] = counts.get(name, 0) + number
    records = sum(split.records for split in splits)
    return Split(NewRows(ticks[order], keys, columns), records, dict(sorted(changes.items())), counts, {})


def _joined(columns: Sequence[Any]) -> Any:
    if any(column.type != columns[0].type for column in columns):
        raise Unsure
    return pa.concat_arrays(columns)


class ColumnChanges:
    """Splits what waits for some ticks; `fields` are those that a version is made of."""

    def __init__(self, spec: ChangesSpec, changes: Changes, fields: Sequence[str]) -> None:
        self._spec = spec
        self._changes = changes
        self._fields = fields
        self._intake = Intake(spec)

    def split(self, parts: Sequence[Part]) -> Split:
        """What these parts say, oldest tick first; raises `Unsure`, with nothing changed."""
        rows = NewRows(
            np.repeat([part.tick for part in parts], [part.last - part.first for part in parts]),
            pa.chunked_array([part.keys() for part in parts], pa.binary()).combine_chunks(),
            {
                name: _joined([part.column(name) for part in parts])  # writers may order members otherwise
                for name in self._spec.gives
            },
        )
        records = sum(part.end - part.start for part in parts)
        if not self._spec.kept:
            return Split(rows, records, {}, {}, {})
        for name, type_ in zip(self._spec.gives, self._spec.types, strict=True):
            if rows.columns[name].type != arrow_type(type_):
                raise Unsure
        return self._kept(parts, rows, records)

    def write(self, split: Split) -> None:
        """Keep the versions."""
        for keys, bodies in split.packed:
            self._changes.table.put_packed(keys, bodies)
        self._changes.write(split.pending)

    def _kept(self, parts: Sequence[Part], rows: NewRows, records: int) -> Split:
        kinds = pa.chunked_array([_of_records(part, "kind") for part in parts]).combine_chunks()
        revisions = np.concatenate([_of_records(part, "revision").to_numpy() for part in parts])
        identities = _identities(parts)
        codes = pa.array(identities, pa.binary()).dictionary_encode().indices.to_numpy()
        known = np.array(self._changes.table.has_many(identities))
        alone = np.bincount(codes)[codes] == 1
        new = alone & ~known & ~pc.equal(kinds, _RETRACT).to_numpy(zero_copy_only=False)
        of_row = _records_of_rows(parts)
        stays = new[of_row]
        left = rows.filter(stays)
        held = of_row[stays]
        nothing = new.copy()
        nothing[held] = False
        bodies = packed_rows([left.columns[name] for name in self._spec.gives]) if len(held) else []
        made = [b"[%d,%s]" % pair for pair in zip(revisions[held].tolist(), bodies, strict=True)]
        none = [b"[%d,null]" % revision for revision in revisions[nothing].tolist()]
        packed = [
            ([identities[place] for place in held.tolist()], made),
            ([identities[place] for place in np.flatnonzero(nothing).tolist()], none),
        ]
        changes, counts, pending = self._judged(parts, ~new)
        return Split(left, int(new.sum()), changes, counts, pending, packed)

    def _judged(
        self, parts: Sequence[Part], by_rows: Any
    ) -> tuple[dict[int, list[Change]], dict[str, int], dict[bytes, Known]]:
        changes: dict[int, list[Change]] = {}
        counts: dict[str, int] = {}
        pending: dict[bytes, Known] = {}
        for tick, versions in self._versions(parts, by_rows).items():
            made, became = self._changes.judge(versions, pending)
            if made:
                changes[tick] = made
            for name, number in became.items():
                counts[name] = counts.get(name, 0) + number
        return changes, counts, pending

    def _versions(self, parts: Sequence[Part], by_rows: Any) -> dict[int, list[Version]]:
        found: dict[int, list[Version]] = {}
        start = 0
        for part in parts:
            size = part.end - part.start
            places = np.flatnonzero(by_rows[start : start + size])
            start += size
            if not len(places):
                continue
            which = pa.array(places + part.start)
            records = part.block.columns.select(self._fields).take(which).to_pylist()
            keys = part.block.keys.take(which).to_pylist()
            versions = found.setdefault(part.tick, [])
            versions += [self._intake(key, record) for key, record in zip(keys, records, strict=True)]
        return found


def _of_records(part: Part, name: str) -> Any:
    return part.block.columns.column(name).slice(part.start, part.end - part.start)


def _identities(parts: Sequence[Part]) -> list[bytes]:
    keys = pa.chunked_array([part.block.keys.slice(part.start, part.end - part.start) for part in parts])
    events = pa.chunked_array([_of_records(part, "event_id") for part in parts]).combine_chunks()
    return joined_keys([sized_keys(keys.combine_chunks()), events.cast(pa.binary())])


def _records_of_rows(parts: Sequence[Part]) -> Any:
    """Of which record each row is, among those of all parts."""
    found, start = [], 0
    for part in parts:
        size = part.end - part.start
        kept = part.made.kept
        found.append(np.arange(size) + start if kept is None else kept[part.first : part.last] - part.start + start)
        start += size
    return np.concatenate(found)

"""`changes` over columns: records that say something new as rows of columns, all others as changes, by rows.

`changes` is the rule, with the same table: of each identity the last version. New is what is said of an identity that
is not known and comes once; of the others the operator itself says what changes. For whoever only weighs rows all goes
as columns: `column_versions` says what comes and what goes. Nothing is written before `write`, so that whoever is not
sure may still go by rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headwater.processing.blocks import Part
from headwater.processing.column_state import packed_rows, require_types
from headwater.processing.column_versions import Records, followed, records_of
from headwater.processing.operators.changes import Changes, ChangesSpec, Intake, Known, Version
from headwater.processing.operators.core import Change, Row
from headwater.processing.work import add_counts
from headwater.schemas.unsure import Unsure


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


NO_ROWS = NewRows(np.zeros(0, np.int64), pa.array([], pa.binary()), {})


def and_rows(new: NewRows, more: Sequence[tuple[int, bytes, Row]], names: Sequence[str]) -> NewRows | None:
    """New rows, and others of these columns behind them; None where columns cannot hold those."""
    if not more:
        return new
    ticks, keys, rows = zip(*more, strict=True)
    try:
        columns = {
            name: pa.concat_arrays([new.columns[name], pa.array(values, new.columns[name].type)])
            for name, values in zip(names, zip(*rows, strict=True), strict=True)
        }
    except (OverflowError, pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    return NewRows(
        np.concatenate([new.ticks, ticks]), pa.concat_arrays([new.keys, pa.array(keys, pa.binary())]), columns
    )


@dataclass(frozen=True)
class Split:
    """What some parts say: rows that are new, the changes of each tick beside them, and what is kept of both.

    `records` went as columns, `counts` are of the others. `gone` are rows that go, where those that come in their place
    are among the new ones.
    """

    rows: NewRows
    records: int
    changes: Mapping[int, list[Change]]
    counts: dict[str, int]
    pending: Mapping[bytes, Known]
    packed: tuple[Sequence[bytes], Sequence[bytes]] = ((), ())
    gone: NewRows = NO_ROWS


def united(splits: Sequence[Split]) -> Split:
    """What some inputs say as one, to be folded: of each tick the inputs in their order, which is that of the row road.

    Raises `Unsure` where the same column lies in two types.
    """
    if len(splits) == 1:
        return splits[0]
    changes: dict[int, list[Change]] = {}
    counts: dict[str, int] = {}
    for split in splits:
        for tick, some in split.changes.items():
            changes.setdefault(tick, []).extend(some)
        add_counts(counts, split.counts)
    records = sum(split.records for split in splits)
    rows = _together([split.rows for split in splits])
    gone = [split.gone for split in splits if len(split.gone)]
    changes = dict(sorted(changes.items()))
    return Split(rows, records, changes, counts, {}, gone=_together(gone) if gone else NO_ROWS)


def _together(some: Sequence[NewRows]) -> NewRows:
    """Rows of several, oldest tick first."""
    ticks = np.concatenate([rows.ticks for rows in some])
    order = np.argsort(ticks, kind="stable")
    which = pa.array(order)
    columns = {name: _joined([rows.columns[name] for rows in some]).take(which) for name in some[0].columns}
    return NewRows(ticks[order], _joined([rows.keys for rows in some]).take(which), columns)


def _joined(columns: Sequence[Any]) -> Any:
    if any(column.type != columns[0].type for column in columns):
        raise Unsure
    return pa.concat_arrays(columns)


class ColumnChanges:
    """Splits what waits for some ticks; `fields` are those that a version is made of. With `weighs` all that is said
    goes as columns, for whoever only weighs what comes and what goes.
    """

    def __init__(self, spec: ChangesSpec, changes: Changes, fields: Sequence[str], *, weighs: bool = False) -> None:
        self._spec = spec
        self._weighs = weighs
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
        require_types(rows.columns, self._spec.gives, self._spec.types)
        return self._weighed(parts, rows) if self._weighs else self._kept(parts, rows)

    def write(self, split: Split) -> None:
        """Keep the versions."""
        self._changes.table.put_packed(*split.packed)
        self._changes.write(split.pending)

    def _kept(self, parts: Sequence[Part], rows: NewRows) -> Split:
        records = records_of(parts, self._spec.shape)
        known = np.array(self._changes.table.has_many(records.names))
        new = ((np.bincount(records.codes) == 1) & ~known)[records.codes]
        which = np.flatnonzero(new)
        changes, counts, pending = self._judged(parts, ~new)
        left = _taken(rows, records.rows[which])
        return Split(left, len(which), changes, counts, pending, self._packed(records, rows, which))

    def _weighed(self, parts: Sequence[Part], rows: NewRows) -> Split:
        """All as columns; raises `Unsure` where they do not hold what was known before."""
        records = records_of(parts, self._spec.shape)
        bodies = self._changes.table.packed_many(records.names)
        versions = iter(self._changes.read_many([body for body in bodies if body is not None]))
        before: list[Known] = [(0, None) if body is None else next(versions) for body in bodies]
        known = np.array([revision for revision, _ in before], np.int64)
        now, then, newest, folded, repeats, superseded = followed(records, known)
        had = np.array([row is not None for _, row in before])
        old = np.where(had, np.cumsum(had) - 1 + len(rows), -1)  # they come after the rows of these parts
        went = np.where(then < 0, old[records.codes[now]], records.rows[then])
        goes = np.flatnonzero(went >= 0)
        all_, of_row = self._with(rows, [row for _, row in before if row is not None]), pa.array(went[goes])
        gone = NewRows(
            records.ticks[now[goes]],
            records.keys.take(pa.array(now[goes])),
            {name: column.take(of_row) for name, column in all_.items()},
        )
        come = _taken(rows, np.sort(records.rows[now]))
        counts = {"repeats": repeats, "superseded": superseded}
        return Split(come, folded, {}, counts, {}, self._packed(records, rows, now[newest]), gone)

    def _with(self, rows: NewRows, old: Sequence[Row]) -> dict[str, Any]:
        """Columns of these rows and, after them, of rows that were kept; raises `Unsure` where they do not hold one."""
        if not old:
            return dict(rows.columns)
        values = dict(zip(self._spec.gives, zip(*old, strict=True), strict=True))
        try:
            return {
                name: pa.concat_arrays([column, pa.array(values[name], column.type)])
                for name, column in rows.columns.items()
            }
        except (OverflowError, pa.ArrowInvalid, pa.ArrowTypeError):
            raise Unsure from None

    def _packed(self, records: Records, rows: NewRows, which: Any) -> tuple[list[bytes], list[bytes]]:
        """The identities and the versions of these records, each with the row that it has, or without one."""
        places = records.rows[which]
        columns = _taken(rows, places).columns
        bodies = iter(packed_rows([columns[name] for name in self._spec.gives]) if (places >= 0).any() else ())
        some = zip(records.revisions[which].tolist(), (places >= 0).tolist(), strict=True)
        made = [b"[%d,%s]" % (revision, next(bodies) if held else b"null") for revision, held in some]
        return [records.names[code] for code in records.codes[which].tolist()], made

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
            add_counts(counts, became)
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


def _taken(rows: NewRows, places: Any) -> NewRows:
    """The rows at these places, those that are below zero left out."""
    places = places[places >= 0]
    which = pa.array(places)
    columns = {name: column.take(which) for name, column in rows.columns.items()}
    return NewRows(rows.ticks[places], rows.keys.take(which), columns)

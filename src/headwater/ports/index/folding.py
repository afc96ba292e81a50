"""What the versions of some keys say, as of a valid and a recorded moment: row by row, or as columns.

Rows stand by key, and within a key by what tells them apart, their sign: of a fact the start of its interval, of an
event its id, of a history the offset. Both ways say the same; columns where a program asks for many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.mesh.products import ResolvedOutput
from headwater.ports.answers import of_shape
from headwater.ports.index.chunks import Chunk
from headwater.ports.serde import RecordReader
from headwater.ports.tables import table_of
from headwater.schemas.unsure import Unsure
from headwater.timeline.bitemporal import FOREVER, Record, Timeline
from headwater.timeline.instant import Instant

Sign = int | str


@dataclass(frozen=True, slots=True)
class Moments:
    """As of when. None leaves a side open; `history` asks for every record instead."""

    valid_at: Instant | None
    recorded_at: Instant | None
    history: bool


@dataclass(frozen=True, slots=True)
class Folded:
    """Rows, or a table of them, each with the number of its key and its sign; and when the newest was recorded."""

    rows: Sequence[Record] | pa.Table
    groups: Sequence[int]
    signs: Sequence[Sign]
    newest: int


class Folding:
    """Folds chunks of one product."""

    def __init__(self, output: ResolvedOutput, records: RecordReader) -> None:
        self._output, self._records = output, records
        self._event = output.shape == "event"
        self._sign = "event_id" if self._event else "valid_from"

    def rows(self, chunk: Chunk, moments: Moments) -> Folded:
        """As records of the codec."""
        read, until = self._records.read, moments.recorded_at
        rows: list[Record] = []
        groups: list[int] = []
        signs: list[Any] = []
        newest, place, count = -1, 0, len(chunk.values)
        while place < count:
            group, versions = chunk.groups[place], []
            while place < count and chunk.groups[place] == group:
                record = read(chunk.values[place])
                if until is None or record["recorded_at"] <= until:
                    versions.append((chunk.offsets[place], record))
                    newest = max(newest, record["recorded_at"])
                place += 1
            found = versions if moments.history else self._known(versions, moments.valid_at)
            rows += [record for _, record in found]
            signs += [sign for sign, _ in found]
            groups += [group] * len(found)
        return Folded(rows, groups, signs, newest)

    def columns(self, chunk: Chunk, moments: Moments) -> Folded:
        """As a table, with the columns of `arrow_schema`. Raises `Unsure` where rows must be looked at one by one."""
        batch = self._records.columns(chunk.values)
        recorded = _integers(batch, "recorded_at")
        taken = np.arange(len(recorded))
        if moments.recorded_at is not None:
            taken = np.flatnonzero(recorded <= moments.recorded_at)
        groups: Any = np.asarray(chunk.groups)[taken]
        offsets: Any = np.asarray(chunk.offsets)[taken]
        newest = int(recorded[taken].max()) if len(taken) else -1
        if moments.history:
            return Folded(self._table(batch, taken), groups, offsets, newest)
        if self._event:
            kept = _newest_of_events(batch, taken, groups, moments.valid_at)
            signs = batch.column("event_id").take(pa.array(taken[kept]))
            return Folded(self._table(batch, taken[kept]), groups[kept], _Texts(signs), newest)
        facts = _facts(batch, taken, groups, moments.valid_at)
        table = self._table(batch, taken[facts.rows], facts if moments.valid_at is None else None)
        return Folded(table, groups[facts.rows], facts.starts, newest)

    def _known(self, versions: Sequence[tuple[int, Record]], valid_at: Instant | None) -> list[tuple[Any, Record]]:
        known = of_shape(self._output)
        for _, record in versions:
            known.take(record)
        name = self._sign
        return sorted(((record[name], record) for record in known.rows(valid_at)), key=lambda one: one[0])

    def _table(self, batch: Any, rows: Any, facts: _Facts | None = None) -> pa.Table:
        instead: dict[str, Any] = {}
        if facts is not None:
            instead["valid_from"] = pa.array(facts.starts, pa.int64())
            instead["valid_to"] = pa.array(facts.ends, pa.int64(), mask=facts.ends == FOREVER)
        return table_of(self._output.schema, batch.take(pa.array(rows)), instead)


@dataclass(frozen=True, slots=True)
class _Facts:
    """Which rows speak, and from when to when."""

    rows: Any
    starts: Any
    ends: Any


class _Texts(Sequence[str]):
    """A column of text, of which few values are looked at."""

    def __init__(self, column: Any) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, place: Any) -> Any:
        return self._column[place].as_py()


def _newest_of_events(batch: Any, taken: Any, groups: Any, valid_at: Instant | None) -> Any:
    """Places in `taken` of what speaks for each event, by key and id: its highest revision, of two the first."""
    kept = np.arange(len(taken))
    ids = batch.column("event_id").take(pa.array(taken))
    if len(groups) and (len(groups) != groups[-1] + 1 or (np.diff(groups) != 1).any()):  # else each key has one version
        revisions = _integers(batch, "revision")[taken]
        order = pc.sort_indices(
            pa.table({"group": groups, "id": ids, "revision": revisions, "place": kept}),
            sort_keys=[("group", "ascending"), ("id", "ascending"), ("revision", "descending"), ("place", "ascending")],
        ).to_numpy()
        sorted_groups, sorted_ids = groups[order], ids.take(pa.array(order))
        first = np.ones(len(order), bool)
        same = pc.equal(sorted_ids.slice(1), sorted_ids.slice(0, len(order) - 1)).to_numpy(zero_copy_only=False)
        first[1:] = (sorted_groups[1:] != sorted_groups[:-1]) | ~same
        kept = order[first]
    speaks = ~_retracts(batch)[taken[kept]]
    if valid_at is not None:
        speaks &= _integers(batch, "occurred_at")[taken[kept]] <= valid_at
    return kept[speaks]


def _facts(batch: Any, taken: Any, groups: Any, valid_at: Instant | None) -> _Facts:
    """What speaks for each key, and from when to when; places are those in `taken`.

    A version whose interval meets no other of its key speaks for itself; those that meet are put upon each other.
    """
    count = len(taken)
    starts = _integers(batch, "valid_from")[taken]
    ends = pc.fill_null(batch.column("valid_to"), FOREVER).to_numpy(zero_copy_only=False).astype(np.int64)[taken]
    order = np.lexsort((np.arange(count), starts, groups))
    starts_in, ends_in, groups_in = starts[order], ends[order], groups[order]
    # The furthest end so far within the key: ranks, lifted by the key's number, so that one running maximum does.
    _, ranks = np.unique(ends_in, return_inverse=True)
    lifted = np.maximum.accumulate(groups_in * (count + 1) + ranks)
    furthest = np.sort(np.unique(ends_in))[lifted - groups_in * (count + 1)] if count else ends_in
    fresh = np.ones(count, bool)
    fresh[1:] = (groups_in[1:] != groups_in[:-1]) | (starts_in[1:] >= furthest[:-1])
    cluster = np.cumsum(fresh) - 1
    alone = (np.bincount(cluster, minlength=1)[cluster] == 1 if count else fresh) & (starts_in < ends_in)
    single = order[alone & ~_retracts(batch)[taken[order]]]
    rows, firsts, lasts = [single], [starts[single]], [ends[single]]
    together = order[~alone]
    if len(together):
        pieces = _upon_each_other(batch, taken, together, cluster[~alone], (starts, ends))
        rows.append(pieces.rows)
        firsts.append(pieces.starts)
        lasts.append(pieces.ends)
    row, first, last = np.concatenate(rows), np.concatenate(firsts), np.concatenate(lasts)
    if valid_at is not None:
        holds = (first <= valid_at) & (valid_at < last)
        row, first, last = row[holds], first[holds], last[holds]
        first = starts[row]  # as it was published
    by_key = np.lexsort((first, groups[row]))
    return _Facts(row[by_key], first[by_key], last[by_key])


def _upon_each_other(batch: Any, taken: Any, together: Any, clusters: Any, bounds: tuple[Any, Any]) -> _Facts:
    """The pieces of versions that meet, cluster by cluster, each taken in the order of offsets."""
    starts, ends = bounds
    revisions, retracts = _integers(batch, "revision"), _retracts(batch)
    timelines: dict[int, tuple[Timeline, dict[tuple[int, int], int]]] = {}
    for place, cluster in sorted(zip(together.tolist(), clusters.tolist(), strict=True)):
        timeline, known = timelines.setdefault(cluster, (Timeline(), {}))
        interval, revision = (int(starts[place]), int(ends[place])), int(revisions[taken[place]])
        if revision <= known.get(interval, 0):
            continue
        known[interval] = revision
        timeline.override(*interval, None if retracts[taken[place]] else {"place": place})
    pieces = [
        (fact["place"], first, FOREVER if last is None else last)
        for timeline, _ in timelines.values()
        for first, last, fact in timeline.pieces()
    ]
    rows, firsts, lasts = zip(*pieces, strict=True) if pieces else ((), (), ())
    return _Facts(*(np.asarray(some, np.int64) for some in (rows, firsts, lasts)))


def _integers(batch: Any, name: str) -> Any:
    column = batch.column(name)
    if column.null_count:
        raise Unsure
    return column.to_numpy(zero_copy_only=False)


def _retracts(batch: Any) -> Any:
    return pc.equal(batch.column("kind").cast(pa.string()), "retract").to_numpy(zero_copy_only=False)

"""Records by identity: which of them speak in some ticks, and what each takes the place of. `Changes` is the rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headwater.processing.blocks import Part
from headwater.processing.column_state import joined_keys, rest_columns, sized_keys
from headwater.processing.graph import FACT_TIMES

_RETRACT = pa.scalar("retract")


class Records(NamedTuple):
    """The records of some parts, in their order."""

    ticks: Any
    keys: Any
    revisions: Any
    rows: Any  # the place of the row of each, among those of the parts; below zero where it has none
    codes: Any  # which identity each is of
    names: list[bytes]  # the identities


class Followed(NamedTuple):
    """Records that speak, by identity and in their order: of an identity and a tick the newest, if it is newer than all
    before it.

    `now` is which records they are, `then` which one each takes the place of: below zero what was known before all.
    """

    now: Any
    then: Any
    newest: Any  # whether it is the last one of its identity
    folded: int
    repeats: int
    superseded: int


def records_of(parts: Sequence[Part], shape: Literal["event", "fact"]) -> Records:
    """The records of these parts; raises `Unsure` where a key is too long for state."""

    def column(name: str) -> Any:
        some = [part.block.columns.column(name).slice(part.start, part.end - part.start) for part in parts]
        return pa.chunked_array(some).combine_chunks()

    keys = [part.block.keys.slice(part.start, part.end - part.start) for part in parts]
    all_keys = pa.chunked_array(keys, pa.binary()).combine_chunks()
    times = {name: column(name) for name in (FACT_TIMES if shape == "fact" else ("event_id",))}
    identities = joined_keys([sized_keys(all_keys), *rest_columns(shape, times)])
    coded = pa.array(identities, pa.binary()).dictionary_encode()
    rows = _rows_of(parts)
    rows[pc.equal(column("kind"), _RETRACT).to_numpy(zero_copy_only=False)] = -1
    return Records(
        np.repeat([part.tick for part in parts], [part.end - part.start for part in parts]),
        all_keys,
        column("revision").to_numpy(),
        rows,
        coded.indices.to_numpy().astype(np.int64),
        coded.dictionary.to_pylist(),
    )


def followed(records: Records, known: Any) -> Followed:
    """What speaks of records that lie oldest tick first; `known` is the last revision of each identity, or 0.

    >>> ticks, revisions, codes = np.array([5, 5, 5, 6, 6]), np.array([2, 1, 3, 4, 1]), np.array([0, 1, 0, 0, 1])
    >>> found = followed(Records(ticks, None, revisions, None, codes, []), np.array([1, 0]))
    >>> found.now.tolist(), found.then.tolist(), found.newest.tolist(), found.repeats
    ([2, 3, 1], [-1, 2, -1], [False, True, True], 1)
    """
    order = np.argsort(records.codes, kind="stable")
    codes, ticks, size = records.codes[order], records.ticks[order], len(order)
    ranks = np.unique(np.concatenate([records.revisions[order], known]), return_inverse=True)[1]
    base = codes * len(ranks)  # so that whatever is said of an identity ranks above all that is said of those before it
    own, start = base + ranks[:size], base + ranks[size:][codes]
    before = np.maximum(start, np.concatenate([start[:1], np.maximum.accumulate(own)[:-1]]))
    newer = np.flatnonzero(own > before)
    speak = newer[_ends(codes[newer]) | _ends(ticks[newer])]
    newest = _ends(codes[speak])
    then = np.full(len(speak), -1)
    follows = np.flatnonzero(~newest[:-1]) + 1
    then[follows] = order[speak[follows - 1]]
    repeats = int((own == before).sum())
    return Followed(order[speak], then, newest, len(newer), repeats, size - len(newer) - repeats)


def _rows_of(parts: Sequence[Part]) -> Any:
    """Which row was made of each record."""
    found, start = [], 0
    for part in parts:
        places = np.arange(start, start + part.last - part.first)
        start += len(places)
        if part.made.kept is None:
            found.append(places)
            continue
        rows = np.full(part.end - part.start, -1)
        rows[part.made.kept[part.first : part.last] - part.start] = places
        found.append(rows)
    return np.concatenate(found)


def _ends(values: Any) -> Any:
    """Whether a value differs from the one after it."""
    return np.concatenate([values[1:] != values[:-1], np.ones(min(len(values), 1), bool)])

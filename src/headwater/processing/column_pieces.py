"""What a `latest` gives of keys that only go on, over columns, and its end as a product.

`latest` and `publish` are the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from headwater.processing.blocks import OutputBlock
from headwater.processing.column_changed import ChangedRows, Changes
from headwater.processing.column_intake import Ended
from headwater.processing.column_order import KINDS, in_order, known_numbers, said_by_rows
from headwater.processing.column_state import arrow_type, held_column, joined_keys, ordered_integers, sized_keys
from headwater.processing.compiler import Operation
from headwater.processing.operators.core import OPEN, Row
from headwater.processing.operators.latest import Latest, LatestSpec
from headwater.processing.operators.publish import Publish, PublishSpec
from headwater.processing.work import OutputRecord


def piecewise(operation: Operation, publish: PublishSpec) -> bool:
    """Whether what a `latest` gives is published as it is."""
    if not (publish.pieces and publish.shape == "fact" and operation.picks) or publish.conversions:
        return False
    return operation.given.keys() == operation.wanted.keys() == set(publish.columns)


class GoingOn(NamedTuple):
    """Events of keys that only go on, by key, tick and instant: whose key each is of, and how long it holds.

    `before` is the place of what held then, among these rows and, after them, `heads`; below zero where nothing did.
    """

    ticks: Any
    codes: Any
    starts: Any
    ends: Any
    before: Any
    last: Any  # whether it is the newest of its key now
    columns: Mapping[str, Any]
    heads: Sequence[tuple[bytes, Row]]
    spec: LatestSpec

    def all_of(self, name: str) -> Any:
        """A column of these rows and, after them, of `heads`."""
        place = self.spec.columns.index(name)
        kept = held_column([row[place] for _, row in self.heads], arrow_type(self.spec.types[place]))
        return pa.concat_arrays([self.columns[name], kept])


class Pieces(NamedTuple):
    """The keys by their codes, and which rows say something else than what held until then.

    `keep` writes the rows, which is done before what goes by rows: that lies behind them.
    """

    keys: Any
    rows: GoingOn
    told: Any
    keep: Callable[[], None]

    def columns(self, names: Sequence[str], told: Any, source: Any = None) -> dict[str, Any]:
        """These columns of some pieces; their values are those of the rows and heads at the places `source`, if any."""
        rows, found = self.rows, dict[str, Any]()
        for name in names:
            if name == "valid_from":
                found[name] = pa.array(rows.starts[told])
            elif name == "valid_to":
                found[name] = pa.array(rows.ends[told], mask=rows.ends[told] == OPEN)
            elif source is None:
                found[name] = rows.columns[name].take(pa.array(told))
            else:
                found[name] = rows.all_of(name).take(pa.array(source))
        return found

    def changed(self, names: Sequence[str]) -> ChangedRows:
        """Of each piece what held over it, if anything did, and what holds now; oldest tick first."""
        rows = self.rows
        told = self.told[np.argsort(rows.ticks[self.told], kind="stable")]
        sizes = 1 + (rows.before[told] >= 0)
        number = np.repeat(np.arange(len(told)), sizes)
        goes = np.ones(len(number), bool)
        goes[np.cumsum(sizes) - 1] = False
        of_row = told[number]
        columns = self.columns(names, of_row, np.where(goes, rows.before[of_row], of_row))
        keys = self.keys.take(pa.array(rows.codes[of_row]))
        return ChangedRows(rows.ticks[of_row], number, keys, [columns[name] for name in names], goes)


class PiecesEnd(Protocol):
    """What becomes of what a `latest` gives."""

    def __call__(self, given: Pieces | None, by_rows: Changes) -> Ended:
        """Of pieces, and of what each tick says of keys that go by rows."""


class PublishedPieces:
    """Pieces to the records of a product."""

    def __init__(self, operation: Operation, latest: Latest, publish: Publish, tick: int) -> None:
        self._names, self._step = tuple(operation.wanted), operation.step
        self._latest, self._publish = latest, publish
        self._tick = tick

    def __call__(self, given: Pieces | None, by_rows: Changes) -> Ended:
        """In the order of `publish`."""
        if given is None:
            return Ended(None, self._said(by_rows))
        rows, told = given.rows, given.told
        codes = pa.array(rows.codes[told])
        bounds = (ordered_integers(rows.starts[told]), ordered_integers(rows.ends[told]))
        identities = joined_keys([sized_keys(given.keys).take(codes), *bounds])
        # Below one where nothing is said to hold.
        known = known_numbers(self._publish.revisions, identities)
        revisions = np.abs(known) + 1
        given.keep()
        self._publish.revisions.put_packed(identities, [b"%d" % revision for revision in revisions.tolist()])
        said = self._said(by_rows)
        columns = given.columns(self._names, told)
        columns["recorded_at"] = pa.array((rows.ticks[told] + 1) * self._tick - 1)
        columns["kind"] = KINDS.take(pa.array(np.where(known > 0, 1, 0)))
        columns["revision"] = pa.array(revisions)
        made = OutputBlock(given.keys.take(codes).to_pylist(), columns["recorded_at"].to_numpy(), columns)
        return in_order(made, said)

    def _said(self, changes: Changes) -> list[OutputRecord]:
        return said_by_rows(changes, self._publish, self._tick, self._latest, self._step)

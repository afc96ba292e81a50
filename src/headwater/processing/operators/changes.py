"""`changes`: versions of events and facts to (before, after), by identity: the un-fold that all others build on.

For each identity the last version is kept: its revision, and of its fields those that the flow reads. A revision not
above the known one is a repeat or superseded, and dropped. In a tick only what was before and what is after counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from headwater.errors import Misfit
from headwater.processing.field_types import FieldType
from headwater.processing.graph import Filter, Map
from headwater.processing.operators.core import (
    Change,
    Row,
    RowStep,
    checked_interval,
    checked_lateness,
    checked_revision,
    picked,
    row_of,
)
from headwater.processing.packing import AT_ONCE, RowForm, pack, sized, unpack, unpack_many
from headwater.processing.state import Overlay, Table


@dataclass(frozen=True)
class ChangesSpec:
    """An input as changes: the `fields` read of a record, what is done to them row by row, the types that come out.

    `kept` is false where the contract says that the input is never corrected nor repeated: then nothing is remembered.
    `rows` are what `step` was compiled from: steps over fields of the types `given`, to the columns `gives`.
    """

    name: str
    shape: Literal["event", "fact"]
    fields: tuple[str, ...]
    step: RowStep | None
    types: tuple[FieldType, ...]
    kept: bool
    accept_late: int | None = None
    rows: tuple[Map | Filter, ...] = field(default=(), repr=False, compare=False)
    given: tuple[FieldType, ...] = field(default=(), repr=False, compare=False)
    gives: tuple[str, ...] = field(default=(), repr=False, compare=False)


class Version(NamedTuple):
    """A record as it waits for its tick to close: where it stands, its revision, and its row (None: nothing)."""

    key: bytes
    identity: bytes
    revision: int
    row: Row | None


Known = tuple[int, Row | None]
"""The last version of an identity: its revision, and its row where there is one."""


class Intake:
    """Records to versions. Stateless; raises `Misfit` for what no tick can take."""

    def __init__(self, spec: ChangesSpec) -> None:
        self._pick = picked(spec.fields)
        self._step = spec.step
        self._event = spec.shape == "event"
        self._kept = spec.kept
        self._instant = "occurred_at" if self._event else "valid_from"
        self._accept_late = spec.accept_late

    def __call__(self, key: bytes, record: Mapping[str, Any]) -> Version:
        """A record's version."""
        checked_lateness(record, self._instant, self._accept_late)
        if self._event:
            rest = record["event_id"].encode()
        else:
            rest = checked_interval(record)
        revision = checked_revision(record)
        if not self._kept and (revision > 1 or record["kind"] != "assert"):
            raise Misfit("the contract says that this product is never corrected", code="HW-P086", field="revision")
        return Version(key, sized(key) + rest, revision, row_of(record, self._pick, self._step))


class Changes:
    """The last version of each identity, as a table."""

    def __init__(self, spec: ChangesSpec, overlay: Overlay) -> None:
        form = self._form = RowForm(spec.types)
        self._kept = spec.kept
        self.table = Table(
            overlay,
            spec.name,
            lambda version: pack([version[0], form.write(version[1])]),
            lambda body: ((value := unpack(body))[0], form.read(value[1])),
        )

    def tick(self, versions: list[Version]) -> tuple[list[Change], dict[str, int]]:
        """The changes that a tick's versions make, in the order of first touch, and what became of the versions."""
        if not self._kept:
            return [(key, None, row) for key, _, _, row in versions if row is not None], {"folded": len(versions)}
        pending: dict[bytes, Known] = {}
        made = self.judge(versions, pending)
        self.write(pending)
        return made

    def judge(self, versions: list[Version], pending: dict[bytes, Known]) -> tuple[list[Change], dict[str, int]]:
        """As `tick`, but nothing is kept yet: `pending` holds what is to be, of earlier ticks too."""
        touched: dict[bytes, _Touched] = {}
        repeats = superseded = 0
        for key, identity, revision, row in versions:
            entry = touched.get(identity)
            if entry is None:
                known = pending.get(identity) or self.table.get(identity) or (0, None)
                entry = touched[identity] = _Touched(key, known[1], known[0], known[0], known[1])
            if revision > entry.revision:
                entry.revision, entry.after = revision, row
            elif revision == entry.revision:
                repeats += 1
            else:
                superseded += 1
        changes: list[Change] = []
        for identity, entry in touched.items():
            if entry.revision != entry.known:
                pending[identity] = (entry.revision, entry.after)
            if entry.before != entry.after:
                changes.append((entry.key, entry.before, entry.after))
        folded = len(versions) - repeats - superseded
        return changes, {"folded": folded, "repeats": repeats, "superseded": superseded}

    def read_many(self, bodies: Sequence[bytes]) -> list[Known]:
        """Versions as the table has them, unpacked together."""
        read, found = self._form.read, list[Known]()
        for start in range(0, len(bodies), AT_ONCE):
            found += [(revision, read(row)) for revision, row in unpack_many(bodies[start : start + AT_ONCE])]
        return found

    def write(self, pending: Mapping[bytes, Known]) -> None:
        """Keep these."""
        for identity, version in pending.items():
            self.table.put(identity, version)


@dataclass(slots=True)
class _Touched:
    """An identity in a tick: what was before it, the revision known before, and the newest seen in it."""

    key: bytes
    before: Row | None
    known: int
    revision: int
    after: Row | None

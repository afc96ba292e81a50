"""Tables of a lake in this process: compare-and-append as a catalogue does it, with answers that get lost or come late.

A `MemoryLake` is the storage and the catalogue of one table; each writer has a `MemoryLakeTable` of its own to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import pyarrow as pa

from headwater.ports.lake.progress import Progress, Seen
from headwater.ports.lake.refusals import undecided
from headwater.ports.lake.table import Files, Refused, Unsure

# What becomes of an attempt: it is answered; it lands and the answer is lost; it gets nowhere; it lands later, maybe.
Fate = Literal["answered", "unheard", "nowhere", "late"]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    id: str
    parent: str
    properties: Mapping[str, str]
    files: tuple[str, ...]  # all that are in the table then


@dataclass(slots=True)
class MemoryLake:
    """One table's files and snapshots. `fate` is asked at each append, `away` at each look."""

    name: str
    columns: Sequence[str] = ()
    fate: Callable[[], Fate] = lambda: "answered"
    away: Callable[[], bool] = lambda: False
    files: dict[str, pa.Table] = field(default_factory=dict)
    _snapshots: dict[str, _Snapshot] = field(default_factory=dict)
    _head: str = ""
    _late: list[tuple[str, _Snapshot]] = field(default_factory=list)
    _made: int = 0

    def table(self) -> MemoryLakeTable:
        """The table, for one writer."""
        return MemoryLakeTable(self)

    def rows(self) -> list[dict[str, object]]:
        """What a reader sees now; raises `KeyError` where a snapshot names a file that is gone."""
        named = self._snapshots[self._head].files if self._head else ()
        return [row for path in named for row in self.files[path].to_pylist()]

    def named(self) -> list[str]:
        """The files of the current snapshot, as often as it names them."""
        return list(self._snapshots[self._head].files) if self._head else []

    def compact(self) -> None:
        """Write all rows anew into one file, as any engine might: the snapshot says nothing of progress."""
        if self._head:
            tables = [self.files[path] for path in self.named()]
            path = self.place(pa.concat_tables(tables) if tables else pa.table({}), f"compacted-{self._made}")
            self._take(self._snapshot(self._head, {}, (path,)))

    def expire(self) -> None:
        """Forget what lies beneath the newest snapshot with progress, as our maintenance does."""
        kept = set[str]()
        for one in self.ancestors():
            kept.add(one.id)
            if Progress.of(one.properties) is not None:
                break
        self._snapshots = {id: one for id, one in self._snapshots.items() if id in kept}

    def deliver(self) -> None:
        """The attempts that were late arrive, each against the head as it is now."""
        late, self._late = self._late, []
        for base, snapshot in late:
            if base == self._head:
                self._take(snapshot)

    # What tables ask.

    def ancestors(self) -> Iterator[_Snapshot]:
        """The current snapshot and those beneath it that are still known."""
        one = self._snapshots.get(self._head)
        while one is not None:
            yield one
            one = self._snapshots.get(one.parent)

    def look(self) -> Seen:
        """The table as it is."""
        if self.away():
            raise undecided(self.name, "told to be away")
        return Seen.walk(self._head, (one.properties for one in self.ancestors()))

    def place(self, rows: pa.Table, path: str) -> str:
        """Keep a file."""
        self._made += 1
        self.files[path] = rows
        return path

    def append(self, base: str, files: Sequence[str], properties: Mapping[str, str]) -> None:
        """Compare and append, as far as `fate` lets it get."""
        fate = self.fate()
        if fate == "nowhere":
            raise Unsure
        if base and base not in self._snapshots:
            raise Refused
        before = self._snapshots[base].files if base else ()
        snapshot = self._snapshot(base, properties, (*before, *files))
        if fate == "late":
            self._late.append((base, snapshot))
            raise Unsure
        if base != self._head:
            raise Refused
        self._take(snapshot)
        if fate == "unheard":
            raise Unsure

    def _snapshot(self, parent: str, properties: Mapping[str, str], files: tuple[str, ...]) -> _Snapshot:
        self._made += 1
        return _Snapshot(f"s{self._made}", parent, dict(properties), files)

    def _take(self, snapshot: _Snapshot) -> None:
        self._snapshots[snapshot.id] = snapshot
        self._head = snapshot.id


class MemoryLakeTable:
    """A writer's way to a `MemoryLake`."""

    def __init__(self, lake: MemoryLake) -> None:
        self._lake = lake

    @property
    def name(self) -> str:
        """The lake's."""
        return self._lake.name

    def look(self) -> Seen:
        """The table as it is."""
        return self._lake.look()

    def write(self, rows: pa.Table, commit: str) -> Files:
        """One file, where there are rows."""
        if not rows.num_rows:
            return Files((), 0)
        path = self._lake.place(rows, f"{commit}-{len(self._lake.files)}")
        return Files((path,), rows.num_rows)

    def append(self, seen: Seen, files: Files, progress: Progress) -> Seen:
        """One attempt."""
        self._lake.append(seen.head, files.paths, progress.properties())
        return replace(self._lake.look(), state=None)

    def discard(self, files: Files) -> None:
        """Forget the files."""
        for path in files.paths:
            self._lake.files.pop(path, None)

    def columns(self) -> Sequence[str]:
        """As the lake was made with."""
        return self._lake.columns

"""How far a table of the lake has read its product's topic: what each snapshot that Headwater appends says of itself.

The table is the only truth about progress: rows and offsets become visible in one commit. A snapshot that others made,
by a compaction say, has none of this, so that it is looked for in the ancestors of the current one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.ports.lake.refusals import unreadable_progress
from headwater.ports.progress import NOTHING
from headwater.timeline.instant import Instant

COMMIT = "headwater.commit-id"
_TOPIC, _IDENTITY = "headwater.topic", "headwater.topic-id"
_OFFSETS, _THROUGH = "headwater.offsets", "headwater.settled-by-partition"
_EPOCH, _UNREADABLE, _SETTLED = "headwater.writer-epoch", "headwater.unreadable", "headwater.settled-to"


@dataclass(frozen=True, slots=True)
class Progress:
    """What a snapshot holds of a topic, which `identity` tells from all others of its name.

    `offsets` are the next offsets to read, `through` the recorded moments up to which each partition is settled.
    `unreadable` counts records that could not be decoded and were passed over. `commit` is the commit's id, `epoch`
    counts the lives of the table's writers.

    >>> progress = Progress("a.b.v1", "t1", {0: 7}, {0: Instant(99)}, "c1", epoch=1)
    >>> Progress.of(progress.properties()) == progress, progress.settled_to.iso()
    (True, '1970-01-01T00:00:00.000099Z')
    """

    topic: str
    identity: str
    offsets: Mapping[int, int]
    through: Mapping[int, Instant]
    commit: str
    epoch: int
    unreadable: int = 0

    @property
    def settled_to(self) -> Instant:
        """The recorded moment up to which nothing can be added to what the snapshot holds."""
        return Instant(min(self.through.values(), default=NOTHING))

    def properties(self) -> dict[str, str]:
        """The properties of the snapshot; the moment is there a second time, as text, for people."""
        settled = self.settled_to
        return {
            COMMIT: self.commit,
            _TOPIC: self.topic,
            _IDENTITY: self.identity,
            _OFFSETS: _numbers(self.offsets),
            _THROUGH: _numbers(self.through),
            _EPOCH: str(self.epoch),
            _UNREADABLE: str(self.unreadable),
            _SETTLED: settled.iso() if settled >= 0 else "",
        }

    @classmethod
    def of(cls, properties: Mapping[str, str]) -> Progress | None:
        """From a snapshot's properties; None where it has none. Raises `Fault` HW-I009 where they cannot be read."""
        if COMMIT not in properties:
            return None
        try:
            return cls(
                topic=properties[_TOPIC],
                identity=properties[_IDENTITY],
                offsets={int(key): int(value) for key, value in json.loads(properties[_OFFSETS]).items()},
                through={int(key): Instant(value) for key, value in json.loads(properties[_THROUGH]).items()},
                commit=properties[COMMIT],
                epoch=int(properties[_EPOCH]),
                unreadable=int(properties[_UNREADABLE]),
            )
        except (KeyError, ValueError, TypeError, AttributeError):
            raise unreadable_progress() from None


@dataclass(frozen=True, slots=True)
class Seen:
    """A table as it was looked at: the snapshot on top, the newest progress, and the ids of all commits beneath it.

    `head` is empty where the table has no snapshot. `state` is the store's own; an append on top of a `Seen` succeeds
    only while nothing else was committed since.
    """

    head: str
    progress: Progress | None
    commits: frozenset[str]
    state: Any = None

    @property
    def newest(self) -> str:
        """The id of the commit that made the newest progress; empty where there is none."""
        return self.progress.commit if self.progress is not None else ""

    @classmethod
    def walk(cls, head: str, ancestors: Iterable[Mapping[str, str]], state: Any = None) -> Seen:
        """From the properties of the current snapshot and its ancestors, newest first."""
        newest, commits = None, set[str]()
        for properties in ancestors:
            if COMMIT in properties:
                commits.add(properties[COMMIT])
                newest = newest or Progress.of(properties)
        return cls(head, newest, frozenset(commits), state)


def _numbers(values: Mapping[int, int]) -> str:
    return json.dumps({str(key): int(values[key]) for key in sorted(values)}, separators=(",", ":"))

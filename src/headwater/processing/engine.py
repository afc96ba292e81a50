"""One partition of one stage: records and marks in, closed ticks through the operators, what to commit out. No I/O.

The caller (`runners/memory`, `task` of the kafka runner) drives a task so:

    task = new_task(stage, partition=p, store=store)      # the store restored to what was last committed
    task.record(topic, offset, key, record)               # of a product input: the decoded record
    task.exchange(topic, offset, key, value, headers)     # of a rekey input: the message as it is, marks included
    task.mark(topic, through)                             # of a product input: a progress mark, position reached its offset
    task.refuse(topic, offset, letter)                    # what could not be decoded, or `record` raised Misfit for
    task.advance()                                        # closes every tick that every lane has passed
    commit = task.commit()                                # None: nothing to commit yet
    ... one transaction: commit.records, commit.messages, commit.changes, commit.refused, commit.offsets, marks ...
    store.apply(commit.changes); task.committed()         # only after the transaction is known to have committed

Any doubt: drop the task, build a new one over the store as the broker has it, read on from the committed offsets. What
lies in the last closed tick or before when read again is a repeat; the last closed tick is part of `commit.changes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from headwater.ports.record import Header
from headwater.processing.state import Change, StateStore
from headwater.processing.steps import Stage


class OutputRecord(NamedTuple):
    """A record for the product's topic, partition = the task's. `record` has every field of the schema, platform's too.

    The Kafka timestamp is `recorded_at` in milliseconds. Already in the order to be written.
    """

    key: bytes
    record: dict[str, Any]
    recorded_at: int


class ExchangeMessage(NamedTuple):
    """A message for the rekey topic, with its partition chosen; a mark has no value and says so in a header."""

    partition: int
    key: bytes
    value: bytes | None
    timestamp: int
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """What one transaction must carry for a task, all or none.

    `records` go to the product's topic, `messages` to the rekey topic (one of the two is empty). `changes` go to the
    changelog and, after the commit, to the store. `refused` are the letters given to `refuse` that this commit's
    offsets pass: quarantine them now; earlier would quarantine them twice after a crash. `offsets`: by topic, the next
    offset to read of this task's partition: the first record of the open tick. `through`: nothing recorded at or before
    it will follow from this task; where the output is the product, write it as the partition's progress mark (for
    rekey topics the marks are among `messages`). None: no mark is due.
    """

    records: list[OutputRecord]
    messages: list[ExchangeMessage]
    changes: list[Change]
    refused: list[Any]
    offsets: dict[str, int]
    through: int | None


@dataclass(slots=True)
class Counts:
    """The account of a task since it began: read = folded + repeats + superseded + reread + refused + waiting."""

    read: int = 0
    folded: int = 0
    repeats: int = 0
    superseded: int = 0
    reread: int = 0
    refused: int = 0
    written: int = 0
    corrections: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)


class Task(Protocol):
    """One partition of one stage. Any error but `Misfit` out of a method means: drop it."""

    counts: Counts

    def record(self, topic: str, offset: int, key: bytes, record: Mapping[str, Any]) -> None:
        """Take a decoded record of a product input; raises `Misfit` for one that cannot be processed (then `refuse`)."""

    def exchange(self, topic: str, offset: int, key: bytes, value: bytes | None, headers: Sequence[Header]) -> None:
        """Take a message of a rekey input."""

    def mark(self, topic: str, through: int) -> None:
        """A progress mark of a product input, given once the reader's position has reached the mark's offset."""

    def refuse(self, topic: str, offset: int, letter: Any) -> None:
        """Pass over a record that is to be quarantined; `letter` comes back in `Commit.refused`."""

    def advance(self) -> bool:
        """Close every tick that can close; whether there is something to commit."""

    def commit(self) -> Commit | None:
        """All work since the last commit; asked again before `committed`, it is a fault."""

    def committed(self) -> None:
        """The transaction committed and the store has the changes."""


def new_task(stage: Stage, *, partition: int, store: StateStore) -> Task:
    """A task over a store that holds what was last committed."""
    raise NotImplementedError

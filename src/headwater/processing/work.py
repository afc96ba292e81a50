"""What a task counts, makes and hands over to be committed; `engine` says how a task is driven."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from headwater.ports.record import Header
from headwater.processing.state import Change


class OutputRecord(NamedTuple):
    """A record for the product's topic, partition = the task's. `record` has every field of the schema, platform's too.

    The Kafka timestamp is `recorded_at` in milliseconds. Already in the order to be written. `traceparent` is that of
    the one input record it comes from; what folds or joins comes from many, and has none.
    """

    key: bytes
    record: dict[str, Any]
    recorded_at: int
    traceparent: bytes | None = None


class ExchangeMessage(NamedTuple):
    """A message for the rekey topic, with its partition chosen; a mark has no value and says so in a header.

    `rows` is how many rows it hands over, for the account.
    """

    partition: int
    key: bytes
    value: bytes | None
    timestamp: int
    headers: tuple[Header, ...] = ()
    rows: int = 1


@dataclass(slots=True)
class Said:
    """What is to be written of one output: `records`, and behind them `blocks` (`blocks.OutputBlock`), which are
    records too, as columns.
    """

    records: list[OutputRecord] = field(default_factory=list)
    blocks: list[Any] = field(default_factory=list)

    def add(self, records: Sequence[OutputRecord]) -> None:
        """Say these behind all else: what lies in blocks is said before them, and so by records too."""
        if records and self.blocks:
            self.records += [record for block in self.blocks for record in block.records()]
            self.blocks.clear()
        self.records += records

    def each(self) -> Iterator[OutputRecord]:
        """All of it one by one, in its order."""
        yield from self.records
        for block in self.blocks:
            yield from block.records()


@dataclass(frozen=True, slots=True)
class Commit:
    """What one transaction must carry for a task, all or none.

    `said` has what goes to each output of the product, in the order of `Stage.outputs`, and `messages` go to the rekey
    topic (one of the two is empty). `changes` go to the changelog and, after the commit, to the store. `refused` are
    the letters given to `refuse` that this commit's offsets pass: quarantine them now; earlier would quarantine them
    twice after a crash. `offsets`: by topic, the next offset to read of this task's partition: the first record of the
    open tick. `through`: nothing recorded at or before it will follow from this task; where the output is the product,
    write it as the partition's progress mark, in each output (for rekey topics the marks are among `messages`). None:
    no mark is due. `recalled` are changes for the store alone: they follow from the inputs' records, and a task that
    tells them apart has none of them among `changes`.
    """

    said: Sequence[Said]
    messages: list[ExchangeMessage]
    changes: list[Change]
    refused: list[Any]
    offsets: dict[str, int]
    through: int | None
    recalled: Sequence[Change] = ()


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
    # Those of `folded` that were folded as columns.
    columnar: int = 0

    def wrote(self, kind: str) -> None:
        """A record was made."""
        self.written += 1
        self.corrections += kind != "assert"

    def add(self, counts: Mapping[str, int]) -> None:
        """What became of a tick's records."""
        self.folded += counts.get("folded", 0)
        self.repeats += counts.get("repeats", 0)
        self.superseded += counts.get("superseded", 0)


def add_counts(counts: dict[str, int], more: Mapping[str, int]) -> None:
    """Add to counts by name.

    >>> counts = {"folded": 1}
    >>> add_counts(counts, {"folded": 2, "repeats": 1}); counts
    {'folded': 3, 'repeats': 1}
    """
    for name, number in more.items():
        counts[name] = counts.get(name, 0) + number


class Task(Protocol):
    """One partition of one stage. Any error but `Misfit` out of a method means: drop it.

    `more`: the last `advance` left ticks that can close, since it was to close no more than so many.
    """

    counts: Counts
    more: bool

    def record(
        self, topic: str, offset: int, key: bytes, record: Mapping[str, Any], headers: Sequence[Header] = ()
    ) -> None:
        """Take a decoded record of a product input; raises `Misfit` for what cannot be processed (then `refuse`)."""

    def exchange(self, topic: str, offset: int, key: bytes, value: bytes | None, headers: Sequence[Header]) -> None:
        """Take a message of a rekey input."""

    def mark(self, topic: str, through: int) -> None:
        """A progress mark of a product input, given once the reader's position has reached the mark's offset."""

    def block(self, topic: str, block: Any) -> bool:
        """Take many records of a product input at once (`blocks.Block`); False where none of them was taken."""

    def refuse(self, topic: str, offset: int, letter: Any) -> None:
        """Pass over a record that is to be quarantined; `letter` comes back in `Commit.refused`."""

    def advance(self, most: int = 0) -> bool:
        """Close every tick that can close, or the first `most` of them; whether there is something to commit."""

    def ahead(self) -> Sequence[str]:
        """The inputs, by topic, that are read further than another one, which they wait for."""

    def commit(self) -> Commit | None:
        """All work since the last commit; asked again before `committed`, it is a fault."""

    def committed(self) -> None:
        """The transaction committed and the store has the changes."""

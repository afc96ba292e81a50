"""One partition of one stage, fed from Kafka: messages in by topic, marks held back until they may speak, work out.

A progress mark lies in another topic than the records it speaks of, so that it may be read before them. It is given to
the engine only once the reader stands at the mark's offset. After a restart the last mark given is read again: its own
offset is what is committed for the progress topic, not the one after it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from headwater.errors import Misfit
from headwater.ports.progress import decode_mark
from headwater.ports.record import TRACEPARENT, EndOfPartition, Fetched, Message, TopicPartition
from headwater.ports.serde import RecordReader
from headwater.processing.blocks import Block
from headwater.processing.column_intake import enough
from headwater.processing.columns import reads_columns
from headwater.processing.engine import Commit, Task
from headwater.processing.records import Letter
from headwater.processing.replay import Written
from headwater.processing.state_rocksdb import Position, RocksStore
from headwater.processing.steps import FORM_KEY, Stage, progress_of
from headwater.schemas.unsure import Unsure


@dataclass(slots=True)
class Work:
    """What one partition brings to a transaction. `position` is what its store reflects once that has committed."""

    partition: int
    commit: Commit
    offsets: dict[TopicPartition, int]
    owner: StagePartition
    folded: int = 0  # records that its ticks held
    columnar: int = 0  # those of them that went as columns
    repeats: int = 0  # records that say what is known already
    superseded: int = 0  # records of an event or a fact of which a higher revision is known


@dataclass(slots=True)
class _Marks:
    """The marks of one input: where its reader stands, those ahead of it, and where the last one given lies."""

    position: int
    pending: list[tuple[int, int, int]] = field(default_factory=list)
    given_at: int = -1

    def due(self) -> int | None:
        """The newest mark that may speak now, if there is one."""
        through = None
        while self.pending and self.pending[0][0] <= self.position:
            _, through, self.given_at = self.pending.pop(0)
        return through


class StagePartition:
    """Drives the engine's task of one partition. `positions` are where its topics are read from."""

    def __init__(
        self,
        stage: Stage,
        partition: int,
        *,
        task: Task,
        store: RocksStore | None,
        readers: Mapping[str, RecordReader],
        positions: Mapping[str, int],
        form: str = "",
    ) -> None:
        """`form` is that of its state; another than the stage's own recalls the inputs."""
        self.partition = partition
        self.store = store
        self.task = task
        self.outputs = [Written() for output in stage.outputs if output.kind == "product"]
        self._form = (form or stage.form).encode()
        self._formed = store is not None and store.get(FORM_KEY) is not None
        self._sources: dict[str, int] = {}
        self._history = ""
        self._recalled: dict[str, int] = {}
        self._recalls = stage.recalled_from if form not in ("", stage.form) else ()
        self._told = (0, 0, 0, 0)  # of the account, as last told
        self._readers = readers
        self._columnar = reads_columns(stage)
        self._traced = not stage.ticks  # what folds or joins hands on no trace
        self._takers: dict[str, Callable[[Message], None]] = {}
        self._marks: dict[str, _Marks] = {}
        self._progress: dict[str, str] = {}
        for stage_input in stage.inputs:
            topic = stage_input.topic
            if stage_input.product is None:
                self._takers[topic] = self._exchange
                continue
            self._marks[topic] = _Marks(positions.get(topic, 0))
            self._progress[topic] = progress_of(stage_input)
            self._takers[topic] = self._record_taker(topic, readers[topic])
            self._takers[progress_of(stage_input)] = self._mark_taker(topic)

    def take(self, message: Message) -> None:
        """A message of any of its topics."""
        self._takers[message.topic](message)

    def take_many(self, fetched: Fetched) -> None:
        """Messages that follow each other in one of its topics: at once where they can go as columns."""
        if fetched.topic in self._columnar and self._took(fetched):
            return
        take = self._takers[fetched.topic]
        for message in fetched.messages():
            take(message)

    def _took(self, fetched: Fetched) -> bool:
        """Hand over as blocks; a mark that speaks between two records cuts them, and what a block may not hold goes
        one by one."""
        topic, marks = fetched.topic, self._marks[fetched.topic]
        if not enough(len(fetched)) or (self._traced and fetched.has(TRACEPARENT)):
            return False
        try:
            columns = self._readers[topic].columns(fetched.values)
        except Unsure:
            return False
        whole = Block.of(fetched.offsets, fetched.keys, columns)
        cuts = sorted({bisect_left(fetched.offsets, offset) for offset, _, _ in marks.pending} - {0, len(fetched)})
        messages: Sequence[Message] = ()
        for start, end in pairwise([0, *cuts, len(fetched)]):
            if self.task.block(topic, whole.slice(start, end)):
                marks.position = fetched.offsets[end - 1] + 1
                if marks.pending:
                    self._give(topic, marks)
                continue
            messages = messages or fetched.messages()
            for message in messages[start:end]:
                self._takers[topic](message)
        return True

    def reached(self, end: EndOfPartition) -> None:
        """The reader stands at the end of one of its partitions."""
        marks = self._marks.get(end.topic)
        if marks is not None and end.offset > marks.position:
            marks.position = end.offset
            self._give(end.topic, marks)

    def work(self) -> Work | None:
        """Everything since the last commit; None where nothing is to be committed."""
        commit = self.task.commit()
        if commit is None:
            return None
        if self.store is not None and not self._formed:
            commit.changes.insert(0, (FORM_KEY, self._form))  # found at once by a plan, which reads from the beginning
            self._formed = True
        offsets = {TopicPartition(topic, self.partition): offset for topic, offset in commit.offsets.items()}
        for topic, marks in self._marks.items():
            if marks.given_at >= 0:
                offsets[TopicPartition(self._progress[topic], self.partition)] = marks.given_at
        counts, before = self.task.counts, self._told
        self._told = (counts.folded, counts.columnar, counts.repeats, counts.superseded)
        since = [now - then for now, then in zip(self._told, before, strict=True)]
        return Work(self.partition, commit, offsets, self, *since)

    def committed(self, work: Work, changelog_end: int) -> None:
        """The transaction of this work has committed: only now the store may know."""
        if self.store is not None:
            reached = {place.topic: offset for place, offset in work.offsets.items()}
            self._sources.update(reached)
            # All before what is committed lies in closed ticks, and nothing behind it does.
            self._recalled.update({topic: offset for topic, offset in reached.items() if topic in self._recalls})
            position = Position(changelog_end, self._sources, self._history, recalled=self._recalled)
            self.store.commit([*work.commit.changes, *work.commit.recalled], position)
        self.task.committed()
        for output in self.outputs:
            output.let_go(over_only=True)

    def close(self) -> None:
        """Let go of what it reads besides what it is given."""
        for output in self.outputs:
            output.let_go()

    def stands_at(self, position: Position) -> None:
        """What the restored store reflects."""
        self._sources = dict(position.sources)
        self._history = position.history
        self._recalled = dict(position.recalled)

    def _exchange(self, message: Message) -> None:
        self.task.exchange(message.topic, message.offset, message.key or b"", message.value, message.headers)

    def _record_taker(self, topic: str, reader: RecordReader) -> Callable[[Message], None]:
        read, record, refuse = reader.read, self.task.record, self.task.refuse
        marks = self._marks[topic]

        def take(message: Message) -> None:
            offset = message.offset
            try:
                decoded = read(message.value)
            except Misfit as error:
                refuse(topic, offset, Letter(message, error, "decode", "poison"))
            else:
                try:
                    record(topic, offset, message.key or b"", decoded, message.headers)
                except Misfit as error:
                    refuse(topic, offset, Letter(message, error, "process", "contract"))
            marks.position = offset + 1
            if marks.pending:
                self._give(topic, marks)

        return take

    def _mark_taker(self, topic: str) -> Callable[[Message], None]:
        marks = self._marks[topic]

        def take(message: Message) -> None:
            through, offset = decode_mark(message.value or b"")
            marks.pending.append((offset, through, message.offset))
            self._give(topic, marks)

        return take

    def _give(self, topic: str, marks: _Marks) -> None:
        through = marks.due()
        if through is not None:
            self.task.mark(topic, through)

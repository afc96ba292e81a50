"""The one transaction of a stage: outputs, current, quarantine, changelog, marks and offsets, all or none.

The order is never otherwise: outputs and changelog, flush, marks (they name the offsets that the flush tells), offsets,
commit, and only then the local stores. Whoever gets an error from here drops the sink, the group's source and every
task, and builds new ones from what the broker holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from headwater.ports.progress import encode_mark, mark_key
from headwater.ports.protocol import GroupSource, TransactionalSink
from headwater.ports.record import TRACEPARENT, TopicPartition
from headwater.processing.blocks import OutputBlock
from headwater.processing.records import Letter, RecordWriter
from headwater.processing.replay import Replay, said_key
from headwater.processing.state_changelog import mirror
from headwater.processing.steps import Stage
from headwater.processing.task import Work
from headwater.processing.work import OutputRecord


@dataclass(frozen=True, slots=True)
class Targets:
    """Where a stage writes: `writers` are those of the product's outputs, none where its output is a rekey topic."""

    stage: Stage
    writers: tuple[RecordWriter, ...]
    quarantine: str
    contract_version: str


class Checkpoint:
    """Commits work. One thread uses it. `in_time` raises once the transaction at hand is open for too long."""

    def __init__(
        self,
        targets: Targets,
        sink: TransactionalSink,
        *,
        failpoint: Callable[[str], None],
        in_time: Callable[[], None] = lambda: None,
    ) -> None:
        self._targets = targets
        self._sink = sink
        self._failpoint = failpoint
        self._in_time = in_time
        self._changelog_ends: dict[int, int] = {}

    def stands_at(self, partition: int, changelog_end: int) -> None:
        """Where the changelog of a gained partition ends."""
        self._changelog_ends[partition] = changelog_end

    def commit(self, works: Sequence[Work], source: GroupSource) -> int:
        """One transaction of all works; the number of records written. Any error means: nothing is known, drop all."""
        sink, reached = self._sink, self._failpoint
        reached("stage.before_begin")
        sink.begin()
        written = sum(self._outputs(work) for work in works)
        ends = sink.flush()
        reached("stage.after_outputs")
        self._marks(works, ends)
        offsets = {place: offset for work in works if self._may_pass(work) for place, offset in work.offsets.items()}
        if offsets:
            self.send_offsets(offsets, source)
        reached("stage.after_offsets")
        reached("stage.before_commit")
        self._in_time()  # the broker aborts it at its next look, some seconds on: readers need not wait for that
        sink.commit()
        reached("stage.after_commit")
        for work in works:
            place = TopicPartition(self._targets.stage.changelog, work.partition)
            end = ends.get(place, self._changelog_ends.get(work.partition, 0))
            self._changelog_ends[work.partition] = end
            work.owner.committed(work, end)
            reached("stage.in_store")
        reached("stage.after_store")
        return written

    def _may_pass(self, work: Work) -> bool:
        """Whether progress may be kept: of a stage without state not while its log still says what it makes."""
        return bool(self._targets.stage.changelog) or not any(output.silent for output in work.owner.outputs)

    def send_offsets(self, offsets: Mapping[TopicPartition, int], source: GroupSource) -> None:
        """Progress is part of the transaction."""
        self._sink.send_offsets(offsets, source)

    def _outputs(self, work: Work) -> int:
        commit, partition, send = work.commit, work.partition, self._sink.send
        stage, outputs = self._targets.stage, work.owner.outputs
        written = sum(message.rows for message in commit.messages)
        for writer, output, said in zip(self._targets.writers, outputs, commit.said if outputs else (), strict=True):
            written += self._records(writer, partition, said.records, output.replay)
            for block in said.blocks:
                written += self._block(writer, partition, block, output.replay)
        topic = stage.output.topic
        for message in commit.messages:
            send(
                topic,
                message.key,
                message.value,
                timestamp=message.timestamp,
                partition=message.partition,
                headers=message.headers,
            )
        for writer, output in zip(self._targets.writers, outputs, strict=True):
            if output.replay is not None and stage.changelog:
                commit.changes.append((said_key(writer.output), output.replay.said))
        if commit.changes:
            timestamp = max(0, commit.through or 0) // 1_000
            mirror(self._sink, stage.changelog, partition, commit.changes, timestamp)
        if not any(output.silent for output in outputs):  # else they were set aside before what is said already
            for letter in commit.refused:
                self._quarantine(letter)
        return written

    def _block(self, writer: RecordWriter, partition: int, block: OutputBlock, replay: Replay | None) -> int:
        values = None if writer.current or replay is not None else writer.encode_block(block)
        if values is None:
            return self._records(writer, partition, block.records(), replay)
        self._sink.send_column((writer.topic, partition), block.keys, values, block.timestamps())
        return len(block)

    def _records(
        self, writer: RecordWriter, partition: int, records: Iterable[OutputRecord], replay: Replay | None
    ) -> int:
        """Send what the log does not say already; how many that were."""
        written = 0
        encode, topic, current, send = writer.encode, writer.topic, writer.current, self._sink.send
        for key, record, recorded_at, traceparent in records:
            value = encode(record)
            if replay is not None and replay.covers(key, value):
                continue
            written += 1
            headers = () if traceparent is None else ((TRACEPARENT, traceparent),)
            timestamp = recorded_at // 1_000
            send(topic, key, value, timestamp=timestamp, partition=partition, headers=headers)
            if current:
                current_key = writer.current_key(record)
                send(current, current_key, value, timestamp=timestamp, partition=partition, headers=headers)
        return written

    def _quarantine(self, letter: Letter) -> None:
        message = letter.message
        self._sink.send(
            self._targets.quarantine,
            message.key,
            message.value,
            timestamp=message.timestamp,
            headers=letter.headers(self._targets.contract_version),
        )

    def _marks(self, works: Sequence[Work], ends: Mapping[TopicPartition, int]) -> None:
        """A mark for each partition that has moved on, with or without records, in each output; after the records, in
        their transaction."""
        for work in works:
            through, outputs = work.commit.through, work.owner.outputs
            silent = any(output.silent for output in outputs)  # what it could say was said
            for writer, output in zip(self._targets.writers, outputs, strict=True):
                output.end = ends.get(TopicPartition(writer.topic, work.partition), output.end)
                if through is not None and not silent:
                    self._sink.send(
                        writer.progress,
                        mark_key(work.partition),
                        encode_mark(through, output.end),
                        timestamp=max(0, through) // 1_000,
                        partition=work.partition,
                    )

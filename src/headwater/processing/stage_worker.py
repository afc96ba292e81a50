"""One stage of one worker on a broker: reads, drives its partitions, commits; on any doubt drops all and builds anew.

A worker lives in incarnations. One holds a sink, a group's source, a state store and the partitions it was given, and
ends at the first error: everything is dropped, the next one is built from what the broker holds. Nothing is rewound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater import naming
from headwater.errors import CallerFault, Fault, HeadwaterError
from headwater.hooks import Hooks
from headwater.mesh.products import Mesh
from headwater.ports.protocol import Broker, GroupSource
from headwater.ports.record import EndOfPartition, TopicPartition
from headwater.ports.serde import RecordReader
from headwater.processing.checkpoint import Checkpoint, Targets
from headwater.processing.columns import reads_columns
from headwater.processing.engine import new_task
from headwater.processing.records import RecordWriter
from headwater.processing.state import MemoryStore
from headwater.processing.state_changelog import Restore
from headwater.processing.state_rocksdb import DAMAGED, RocksStates, RocksStore
from headwater.processing.steps import FORM_KEY, Plan, Stage
from headwater.processing.task import StagePartition, topics_of
from headwater.schemas.registry import Registry
from headwater.timeline.clock import Clock

POLL_MESSAGES = 10_000
POLL_SECONDS = 0.1  # bounds how long a stop waits
# Read before a commit, where there is more to read: large enough to pay for a transaction, small enough for memory.
COMMIT_MESSAGES = 10_000
COMMIT_MESSAGES_AS_COLUMNS = 100_000  # each key is touched once a commit, and a record takes a tenth of the memory
REST_OF_COMMIT = 2  # how many times as long as the last commit took the next one waits, unless nothing is being read
REST_MICROSECONDS_MAX = 200_000
BACKOFF_MICROSECONDS = 100_000
BACKOFF_MICROSECONDS_MAX = 5_000_000
DOUBTS_LIMIT = 8  # in a row, without a commit between them, and without the broker being away
FENCED_LIMIT = 5  # within a minute: two workers with one slot would fence each other for ever; a rebalance does it once
FENCED_MICROSECONDS = 60_000_000
# A missing topic, HW-R004, is among them: all were there at the start, and a broker just come back may not know yet.
DOUBTFUL = frozenset({"HW-R003", "HW-R004", "HW-R007", "HW-R009", DAMAGED})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a runner works in. `slot` is the worker's number: it names the writer, the member and the state's folder."""

    broker: Broker
    registry: Registry
    mesh: Mesh
    folder: Path
    clock: Clock
    hooks: Hooks
    slot: int = 0
    failpoint: Callable[[str], None] = lambda name: None
    checkpoint: type[Checkpoint] = Checkpoint


@dataclass(slots=True)
class Account:
    """What a stage has done since the worker started."""

    records: int = 0
    commits: int = 0
    doubts: int = 0


class StageWorker:
    """Runs one stage until it is told to stop."""

    def __init__(self, plan: Plan, stage: Stage, around: Surroundings) -> None:
        self.name = f"{plan.product}.{stage.name}"
        self.account = Account()
        self._plan = plan
        self._stage = stage
        self._around = around
        product = around.mesh.product(plan.product)
        writer = RecordWriter(around.registry, product) if stage.output.kind == "product" else None
        quarantine = naming.quarantine_topic(plan.product, plan.major)
        self._targets = Targets(stage, writer, quarantine, str(product.product.version))
        self._readers = _readers(stage, around)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Until `stopping`; raises what cannot be mended by building anew."""
        doubts, fences = 0, list[int]()
        while not stopping():
            commits = self.account.commits
            try:
                self._live(stopping)
            except HeadwaterError as error:
                doubts = doubts + 1 if commits == self.account.commits else 1
                now = self._around.clock.monotonic()
                fences = [at for at in fences if now - at < FENCED_MICROSECONDS]
                if error.code == "HW-R003":
                    fences.append(now)
                self._judge(error, doubts, len(fences))
                self._around.hooks.announce(
                    "stage.rebuilt", product=str(self._plan.product), stage=self._stage.name, code=error.code
                )
                self._wait(doubts, stopping)

    def _live(self, stopping: Callable[[], bool]) -> None:
        incarnation = _Incarnation(self._plan, self._stage, self._around, self._targets, self._readers, self.account)
        try:
            incarnation.open()
            while not stopping():
                incarnation.step()
            incarnation.finish()
        finally:
            incarnation.drop()

    def _judge(self, error: HeadwaterError, doubts: int, fences: int) -> None:
        self.account.doubts += 1
        if fences > FENCED_LIMIT:
            raise error
        if error.retriable:
            if self.account.commits == 0 and doubts == 1 and error.code == "HW-R001":
                raise error  # away from the start: say so at once, rather than wait in silence
            return
        if error.code not in DOUBTFUL or doubts > DOUBTS_LIMIT:
            raise error

    def _wait(self, doubts: int, stopping: Callable[[], bool]) -> None:
        left = min(BACKOFF_MICROSECONDS << min(doubts - 1, 10), BACKOFF_MICROSECONDS_MAX)
        while left > 0 and not stopping():
            step = min(left, BACKOFF_MICROSECONDS)
            self._around.clock.sleep(step)
            left -= step


class _Incarnation:
    """A sink, a source, a store and the partitions they serve, until the first error. Hears its assignments."""

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        around: Surroundings,
        targets: Targets,
        readers: Mapping[str, RecordReader],
        account: Account,
    ) -> None:
        self._account = account
        self._plan = plan
        self._stage = stage
        self._around = around
        self._targets = targets
        self._readers = readers
        self._owned: dict[int, StagePartition] = {}
        self._unfinished: set[int] = set()
        self._read = 0
        self._rest_until = 0
        self._commit_messages = COMMIT_MESSAGES_AS_COLUMNS if reads_columns(stage) else COMMIT_MESSAGES
        transactional_id = naming.stage_transactional_id(plan.product, plan.major, stage.name, around.slot)
        self._sink = around.broker.sink(transactional_id)
        self._checkpoint = around.checkpoint(targets, self._sink, failpoint=around.failpoint)
        self._states: RocksStates | None = None
        self._source: GroupSource | None = None

    def open(self) -> None:
        """End what a predecessor left open first: the group's offsets are not stable before."""
        around, stage = self._around, self._stage
        self._sink.open()
        if stage.changelog:
            self._states = RocksStates(around.folder / stage.group / f"slot-{around.slot}")
        member = f"{stage.group}-{around.slot}"
        self._source = around.broker.group(stage.group, topics_of(stage), self, member=member)

    def step(self) -> None:
        """Read what is there, and commit where ticks have closed."""
        assert self._source is not None
        clock, timeout = self._around.clock, POLL_SECONDS
        if self._unfinished:
            timeout = min(timeout, max(0, self._rest_until - clock.monotonic()) / 1_000_000)
        found = self._source.fetch(POLL_MESSAGES, timeout)
        if not found and not self._unfinished:
            return
        owned, touched, read = self._owned, self._unfinished, 0
        for item in found:
            owner = owned.get(item.partition)
            if owner is None:
                continue  # of a partition that was taken away while it was on its way
            if type(item) is EndOfPartition:
                owner.reached(item)
            else:
                owner.take_many(item)  # type: ignore[arg-type]
                read += len(item)
            touched.add(item.partition)
        self._read += read
        # Latency first: at once where nothing more is there to read; in large batches where there is. In between what
        # is read comes in small pieces: then the transactions, and not their contents, would be what a broker does.
        if self._read >= self._commit_messages or (read < POLL_MESSAGES and clock.monotonic() >= self._rest_until):
            self._commit()

    def finish(self) -> None:
        """Commit what has been read: it would only be read again."""
        if self._unfinished:
            self._commit()

    def drop(self) -> None:
        """Let go of everything, as it stands."""
        self._owned.clear()
        for part in (self._source, self._sink, self._states):
            if part is not None:
                part.close()

    def gained(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Restore the state of each partition, and say where each of its topics is read from."""
        assert self._source is not None
        stage, broker = self._stage, self._around.broker
        committed = self._source.committed(partitions)
        numbers = sorted({place.partition for place in partitions})
        if len(partitions) != len(numbers) * len(topics_of(stage)):
            raise Fault(
                f"{stage.group}: partitions of its topics were not given together",
                code="HW-P033",
                detail="a stage's topics have equal numbers of partitions, and the range assignor keeps them together",
                hint="headwater plan",
            )
        stores = self._restored(numbers, committed)
        offsets = {**committed, **_unknown(broker, stores, [place for place in partitions if place not in committed])}
        ends = self._output_ends(numbers)
        for number in numbers:
            store = stores.get(number)
            owner = StagePartition(
                stage,
                number,
                task=new_task(stage, partition=number, store=store if store is not None else MemoryStore()),
                store=store,
                readers=self._readers,
                positions={place.topic: offset for place, offset in offsets.items() if place.partition == number},
            )
            owner.output_end = ends.get(number, 0)
            if store is not None and (position := store.position) is not None:
                owner.stands_at(position)
                self._checkpoint.stands_at(number, position.changelog)
            self._owned[number] = owner
        return offsets

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Each step commits what has closed: only open ticks are dropped here, and their records are read again."""
        for place in partitions:
            self._owned.pop(place.partition, None)
            self._unfinished.discard(place.partition)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Somebody else may write these already: an error of the next commit says so; drop their work now."""
        self.revoked(partitions)

    def _commit(self) -> None:
        assert self._source is not None
        self._read = 0
        works = []
        for number in sorted(self._unfinished):
            owner = self._owned[number]
            if owner.task.advance():
                work = owner.work()
                if work is not None:
                    works.append(work)
        self._unfinished.clear()
        if not works:
            return
        clock = self._around.clock
        started = clock.monotonic()
        written = self._checkpoint.commit(works, self._source)
        self._account.commits += 1
        self._account.records += written
        product, stage = str(self._plan.product), self._stage.name
        ended = clock.monotonic()
        self._rest_until = ended + min(REST_OF_COMMIT * (ended - started), REST_MICROSECONDS_MAX)
        announce = self._around.hooks.announce
        announce(
            "stage.committed",
            product=product,
            stage=stage,
            records=written,
            folded=sum(work.folded for work in works),
            columnar=sum(work.columnar for work in works),
            seconds=(ended - started) / 1_000_000,
        )
        for work in works:
            for letter in work.commit.refused:
                announce("stage.quarantined", product=product, stage=stage, code=letter.error.code)

    def _restored(self, numbers: Sequence[int], committed: Mapping[TopicPartition, int]) -> Mapping[int, RocksStore]:
        if self._states is None:
            return {}
        around = self._around
        stores = {number: self._states.task(number) for number in numbers}
        by_number: dict[int, dict[str, int]] = {number: {} for number in numbers}
        for place, offset in committed.items():
            by_number[place.partition][place.topic] = offset
        restore = Restore(around.broker, self._stage.changelog, clock=around.clock, hooks=around.hooks)
        restore.run(stores, by_number, stage=self._stage.name, product=str(self._plan.product))
        for store in stores.values():
            form = store.get(FORM_KEY)
            if form is not None and form != self._stage.form.encode():
                raise CallerFault(
                    f"the state of {self._stage.group} was written by another flow",
                    code="HW-P034",
                    detail="what this flow keeps has another form, and records already published cannot be unsaid",
                    hint="give the product a new major version, or take the change of its flow back",
                )
        return stores

    def _output_ends(self, numbers: Sequence[int]) -> Mapping[int, int]:
        writer = self._targets.writer
        if writer is None:
            return {}
        places = [TopicPartition(writer.topic, number) for number in numbers]
        return {place.partition: end for place, end in self._around.broker.ends(places).items()}


def _unknown(
    broker: Broker, stores: Mapping[int, RocksStore], places: Sequence[TopicPartition]
) -> Mapping[TopicPartition, int]:
    """Where to begin without a committed offset: where the store was, or else at the beginning of the topic."""
    found = dict(broker.starts(places))
    for place in places:
        position = stores[place.partition].position if place.partition in stores else None
        if position is not None and place.topic in position.sources:
            found[place] = position.sources[place.topic]
    return found


def _readers(stage: Stage, around: Surroundings) -> Mapping[str, RecordReader]:
    readers = {}
    for stage_input in stage.inputs:
        if stage_input.product is not None:
            schema = around.mesh.product(stage_input.product).output.schema
            subject = naming.subject(stage_input.topic)
            readers[stage_input.topic] = RecordReader(around.registry, subject=subject, schema=schema)
    return readers

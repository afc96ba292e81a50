"""One life of a stage's worker: a sink, a group's source, a store and the partitions it was given, until an error.

The first error ends it: everything is dropped, and the next one is built from what the broker holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from headwater import naming
from headwater.errors import Fault, HeadwaterError
from headwater.ports.protocol import Broker, GroupSource
from headwater.ports.record import EndOfPartition, Fetched, TopicPartition
from headwater.ports.serde import RecordReader
from headwater.processing.batch import TOO_SLOW, Batch
from headwater.processing.checkpoint import Targets
from headwater.processing.engine import new_task
from headwater.processing.handed_over import HandedOver
from headwater.processing.holding import Holding
from headwater.processing.made_anew import replay_of, replay_without_state
from headwater.processing.returning import returning
from headwater.processing.showing import Partitions, Showing
from headwater.processing.standby import Standby
from headwater.processing.state import MemoryStore
from headwater.processing.state_form import StateForm, require_form
from headwater.processing.state_rocksdb import RocksStates, RocksStore
from headwater.processing.steps import FORM_KEY, Plan, Stage, topics_of
from headwater.processing.surroundings import Account, Surroundings
from headwater.processing.task import StagePartition, Work
from headwater.processing.warming import Warming

POLL_MESSAGES = 10_000
POLL_SECONDS = 0.1  # bounds how long a stop waits
RESTORE_SECONDS = 0.1  # how long state is read back before the partitions that are up to date have their turn
REST_OF_COMMIT = 1  # how many times as long as the last commit took the next one waits, unless nothing is being read
REST_MICROSECONDS_MAX = 200_000


@dataclass(slots=True)
class _Awaiting:
    """A partition whose state is on its way: from where it is read, where it writes, and what came all the same.

    `begins`: the group has committed nothing of one of its inputs, so that this is read from where it begins.
    """

    offsets: Mapping[TopicPartition, int]
    output_ends: tuple[int, ...]
    begins: bool
    early: list[Fetched | EndOfPartition] = field(default_factory=list)


class Incarnation:
    """A sink, a source, a store and the partitions they serve, until the first error. Hears its assignments."""

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        around: Surroundings,
        targets: Targets,
        readers: Mapping[str, RecordReader],
        account: Account,
        batch: Batch,
        paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self._account = account
        self._batch = batch
        self._paused = paused
        self._standing = False  # paused: nothing is read and nothing committed
        self._plan = plan
        self._stage = stage
        self._around = around
        self._targets = targets
        self._readers = readers
        self._owned: dict[int, StagePartition] = {}
        self._awaiting: dict[int, _Awaiting] = {}
        self._unfinished: set[int] = set()
        self._read = 0
        self._rows = 1  # of a message, of late: one of a rekey topic may hold many
        self._rest_until = 0
        self._unclosed = False  # ticks that can close wait for the next transaction
        self._stands: dict[TopicPartition, int] = {}
        self._holding = Holding(stage, around.held_bytes)
        self._showing = Showing(plan, stage, around, account)
        transactional_id = naming.stage_transactional_id(plan.product, plan.major, stage.name, around.slot)
        self._sink = around.broker.sink(transactional_id, timeout_ms=around.transaction_ms)
        self._began = 0  # the transaction at hand
        in_time = self._require_in_time
        self._checkpoint = around.checkpoint(targets, self._sink, failpoint=around.failpoint, in_time=in_time)
        self._states: RocksStates | None = None
        self._standby: Standby | None = None
        self._form = StateForm(stage, around.mesh)
        self._restore = returning(str(plan.product), stage, around, self._form, readers, around.hooks)
        self._source: GroupSource | None = None
        self._warming: Warming | None = None  # until the group is joined
        names = (plan.product, stage)
        self._handed_over = HandedOver(*names, around.broker, clock=around.clock, hooks=around.hooks)

    def open(self) -> None:
        """End what a predecessor left open first: the group's offsets are not stable before."""
        around, stage = self._around, self._stage
        self._sink.open()
        if stage.changelog:
            require_form(self._form, stage, around.broker, clock=around.clock)
            self._states = RocksStates(around.folder / stage.group / f"slot-{around.slot}", clock=around.clock)
            if around.standby:
                product = str(self._plan.product)
                self._standby = Standby(product, stage, self._states, around, self._form, self._readers)
        if self._standby is not None and not self._account.commits and not self._account.doubts:
            self._warming = Warming(
                self._plan, stage, self._standby, around.broker, clock=around.clock, slot=around.slot
            )
        else:
            self._join()

    def _join(self) -> None:
        stage, around = self._stage, self._around
        member = f"{stage.group}-{around.slot}"
        self._source = around.broker.group(stage.group, topics_of(stage), self, member=member)

    def step(self) -> None:
        """Read what is there, and commit where ticks have closed; before it joins the group, copy until it is warm."""
        if self._warming is not None:
            self._show()
            if not self._warming.step():
                return
            self._warming = None
            self._join()
        assert self._source is not None
        clock, timeout = self._around.clock, POLL_SECONDS
        if self._paused() != self._standing:
            self._stand(not self._standing)
        unclosed = self._unclosed and not self._standing
        ask = 1 if unclosed else min(POLL_MESSAGES, max(1, self._batch.limit // self._rows))
        if unclosed:
            timeout = 0.0
        self._show()
        if self._awaiting:
            timeout = 0.0
            for number in self._restore.step(RESTORE_SECONDS):
                self._resume(number)
        elif self._unfinished and not self._standing:
            timeout = min(timeout, max(0, self._rest_until - clock.monotonic()) / 1_000_000)
        found = self._source.fetch(ask, timeout)
        if self._standby is not None and len(found) < POLL_MESSAGES:
            self._standby.step({*self._owned, *self._awaiting})
        if not found and (self._standing or not self._unfinished):
            return
        owned, touched, read, rows = self._owned, self._unfinished, 0, 0
        for item in found:
            owner = owned.get(item.partition)
            if owner is None:
                if item.partition in self._awaiting:
                    self._awaiting[item.partition].early.append(item)
                continue  # or of a partition that was taken away while it was on its way
            rows += _given(owner, item)
            read += 0 if isinstance(item, EndOfPartition) else len(item)
            self._holding.take(item)
            touched.add(item.partition)
        self._read += rows
        if read:
            self._rows = max(1, rows // read)
        # Latency first: at once where nothing more is there to read; in large batches where there is. In between what
        # is read comes in small pieces: then the transactions, and not their contents, would be what a broker does.
        if self._standing:  # what came all the same waits, uncommitted
            return
        full = self._unclosed or self._read >= self._batch.limit
        if full or (read < ask and clock.monotonic() >= self._rest_until):
            self._commit()
        self._holding.balance(self._owned, self._source)

    def finish(self) -> None:
        """Commit what has been read: it would only be read again."""
        if self._unfinished and not self._standing:
            self._commit()

    def drop(self) -> None:
        """Let go of everything, as it stands."""
        for owner in self._owned.values():
            owner.close()
        self._owned.clear()
        self._awaiting.clear()
        self._account.places, self._account.copies = {}, ()
        for part in (self._source, self._sink, self._restore, self._standby, self._states):
            if part is not None:
                part.close()

    def gained(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Say where each topic is read from. What misses state is paused: `step` restores it beside the others.

        The group waits for this call, and puts a member out that takes long over it.
        """
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
        stores, behind = self._begun(numbers, committed)
        unknown = [place for place in partitions if place not in committed]
        offsets = {**committed, **_unknown(stage, broker, stores, unknown)}
        self._stands.update(offsets)
        ends, inputs = self._output_ends(numbers), {stage_input.topic for stage_input in stage.inputs}
        self._source.pause([place for place in partitions if self._standing or place.partition in behind])
        for number in numbers:
            read_from = {place: offset for place, offset in offsets.items() if place.partition == number}
            begins = any(place.partition == number and place.topic in inputs for place in unknown)
            awaiting = _Awaiting(read_from, tuple(end.get(number, 0) for end in ends), begins)
            if number in behind:
                self._awaiting[number] = awaiting
            else:
                self._admit(number, awaiting)
        return offsets

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Each step commits what has closed: only open ticks are dropped here, and their records are read again."""
        for place in partitions:
            owner = self._owned.pop(place.partition, None)
            if owner is not None:
                owner.close()
            self._awaiting.pop(place.partition, None)
            self._stands.pop(place, None)
            self._holding.forget(place)
            self._unfinished.discard(place.partition)
        self._unclosed = self._unclosed and bool(self._unfinished)
        self._restore.forget({place.partition for place in partitions})

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Somebody else may write these already: an error of the next commit says so; drop their work now."""
        self.revoked(partitions)

    def _commit(self) -> None:
        assert self._source is not None
        clock = self._around.clock
        began = clock.monotonic()
        works = self._works()
        if not works:
            return
        started = self._began = clock.monotonic()
        try:
            written = self._checkpoint.commit(works, self._source)
        except HeadwaterError as error:
            raise self._too_slow(error, clock.monotonic() - began, works) or error from error
        ended = clock.monotonic()
        self._batch.took(ended - began)
        self._account.commits += 1
        self._account.records += written
        self._rest_until = ended + min(REST_OF_COMMIT * (ended - started), REST_MICROSECONDS_MAX)
        for work in works:
            self._stands.update(work.offsets)
            self._holding.release(work.offsets)
        self._showing.committed(work.partition for work in works)
        self._tell(works, written, ended - started)
        self._handed_over.step(self._stands)

    def _works(self) -> list[Work]:
        """What the partitions that were touched have for a transaction; those that keep ticks back stay touched."""
        self._read = 0
        works = []
        for number in sorted(self._unfinished):
            owner = self._owned[number]
            if owner.task.advance(self._batch.limit):
                work = owner.work()
                if work is not None:
                    works.append(work)
        self._unfinished = {number for number in self._unfinished if self._owned[number].task.more}
        self._unclosed = bool(self._unfinished)
        return works

    def _require_in_time(self) -> None:
        if self._around.clock.monotonic() - self._began >= self._batch.timeout:
            raise Fault(f"{self._plan.product}: a transaction is open for longer than it may be", code=TOO_SLOW)

    def _too_slow(self, error: HeadwaterError, took: int, works: Sequence[Work]) -> HeadwaterError | None:
        topics = {stage_input.topic for stage_input in self._stage.inputs}
        passed = {
            place: (self._stands.get(place, offset), offset)
            for work in works
            for place, offset in work.offsets.items()
            if place.topic in topics and offset > self._stands.get(place, offset)
        }
        inputs = sum(end - first for first, end in passed.values())
        return self._batch.judge(error, took, inputs, self._plan.product, passed)

    def _tell(self, works: Sequence[Work], written: int, took: int) -> None:
        product, stage, announce = str(self._plan.product), self._stage.name, self._around.hooks.announce
        announce(
            "stage.committed",
            product=product,
            stage=stage,
            records=written,
            folded=sum(work.folded for work in works),
            columnar=sum(work.columnar for work in works),
            repeats=sum(work.repeats for work in works),
            superseded=sum(work.superseded for work in works),
            limit=self._batch.limit,
            seconds=took / 1_000_000,
        )
        for work in works:
            for letter in work.commit.refused:
                announce("stage.quarantined", product=product, stage=stage, code=letter.error.code)

    def _begun(
        self, numbers: Sequence[int], committed: Mapping[TopicPartition, int]
    ) -> tuple[Mapping[int, RocksStore], set[int]]:
        """The stores of these partitions, and which of them must be restored before they are used."""
        if self._states is None:
            return {}, set()
        if self._standby is not None:
            self._standby.leave(numbers)
        stores = {number: self._states.task(number) for number in numbers}
        by_number: dict[int, dict[str, int]] = {number: {} for number in numbers}
        for place, offset in committed.items():
            by_number[place.partition][place.topic] = offset
        return stores, self._restore.begin(stores, by_number)

    def _resume(self, number: int) -> None:
        """State has come: take what lay waiting, and read on."""
        assert self._source is not None
        awaiting = self._awaiting.pop(number)
        owner = self._admit(number, awaiting)
        for item in awaiting.early:
            self._read += _given(owner, item)
            self._holding.take(item)
        self._unfinished.add(number)
        if not self._standing:
            self._source.resume(list(awaiting.offsets))

    def _stand(self, still: bool) -> None:
        """Stop after what is read is committed, or go on. Partitions whose state is on its way stand anyhow."""
        assert self._source is not None
        if still and self._unfinished:
            self._commit()
        self._standing = still
        topics = topics_of(self._stage)
        places = [TopicPartition(topic, number) for number in self._owned for topic in topics]
        if still:
            self._source.pause(places)
        else:
            self._source.resume(places)
            self._holding.paused.clear()  # what is ahead still stops again
        self._showing.at_once()

    def _show(self) -> None:
        if self._showing.due:
            percents, others = self._restore.percents(), self._standby is not None
            partitions = Partitions(self._owned, self._awaiting, percents, self._stands, others)
            self._showing.show(partitions, self._holding, paused=self._standing)

    def _admit(self, number: int, awaiting: _Awaiting) -> StagePartition:
        """Build the task of a partition over its state, which is up to date."""
        stage = self._stage
        store = self._states.task(number) if self._states is not None else None
        form = stage.form
        if store is not None:
            written = store.get(FORM_KEY)
            if written is not None:
                self._form.judge(written)
            form = self._form.of(written, self._around.broker)
        owner = self._owned[number] = StagePartition(
            stage,
            number,
            task=new_task(
                stage,
                partition=number,
                store=store if store is not None else MemoryStore(),
                recalls=form != stage.form,
            ),
            store=store,
            readers=self._readers,
            positions={place.topic: offset for place, offset in awaiting.offsets.items()},
            form=form,
        )
        for writer, output, end in zip(self._targets.writers, owner.outputs, awaiting.output_ends, strict=True):
            place = TopicPartition(writer.topic, number)
            output.end = end
            if store is not None:
                output.replay = replay_of(self._around.broker, stage, writer.output, place, store, end)
            elif awaiting.begins:
                output.replay = replay_without_state(self._around.broker, stage, place, end)
        if store is not None and (position := store.position) is not None:
            owner.stands_at(position)
            self._checkpoint.stands_at(number, position.changelog)
        return owner

    def _output_ends(self, numbers: Sequence[int]) -> list[Mapping[int, int]]:
        """Where each output ends now, by partition."""
        topics = [writer.topic for writer in self._targets.writers]
        found = [self._around.broker.ends([TopicPartition(topic, number) for number in numbers]) for topic in topics]
        return [{place.partition: end for place, end in ends.items()} for ends in found]


def _given(owner: StagePartition, item: Fetched | EndOfPartition) -> int:
    """Hand over what was read; the number of messages in it, or of rows where these hold more."""
    if isinstance(item, EndOfPartition):
        owner.reached(item)
        return 0
    before = owner.task.counts.read
    owner.take_many(item)
    return max(len(item), owner.task.counts.read - before)


def _unknown(
    stage: Stage, broker: Broker, stores: Mapping[int, RocksStore], places: Sequence[TopicPartition]
) -> Mapping[TopicPartition, int]:
    """Where to begin without a committed offset: where the store was, or else at the beginning of the topic."""
    starts = broker.starts(places)
    found = dict(starts)
    handed_over = {stage_input.topic for stage_input in stage.inputs if stage_input.product is None}
    for place in places:
        position = stores[place.partition].position if place.partition in stores else None
        if position is not None and place.topic in position.sources:
            found[place] = position.sources[place.topic]
            if place.topic in handed_over:  # what is deleted of it was committed, and is in the changelog
                found[place] = max(found[place], starts[place])
    return found

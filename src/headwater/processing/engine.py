"""One partition of one stage: records and marks in, closed ticks through the operators, what to commit out. No I/O.

The caller (`runners/memory`, `task` of the kafka runner) drives a task so:

    task = new_task(stage, partition=p, store=store)      # the store restored to what was last committed
    task.record(topic, offset, key, record, headers)      # of a product input: the decoded record
    task.exchange(topic, offset, key, value, headers)     # of a rekey input: the message as it is, marks included
    task.mark(topic, through)                             # of a product input: a mark whose offset has been reached
    task.refuse(topic, offset, letter)                    # what could not be decoded, or `record` raised Misfit for
    task.advance()                                        # closes every tick that every lane has passed
    commit = task.commit()                                # None: nothing to commit yet
    ... one transaction: commit.said, commit.messages, commit.changes, commit.refused, commit.offsets, marks ...
    store.apply(commit.changes); task.committed()         # only after the transaction is known to have committed

Any doubt: drop the task, build a new one over the store as the broker has it, read on from the committed offsets. What
lies in the last closed tick or before when read again is a repeat; the last closed tick is part of `commit.changes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headwater.errors import Fault
from headwater.ports.record import TRACEPARENT, Header
from headwater.processing.chain import Chain
from headwater.processing.lanes import NEVER, Lane, Position, frontier_of
from headwater.processing.operators.changes import ChangesSpec, Intake
from headwater.processing.operators.join_as_of import FactsIntake, FactsSpec
from headwater.processing.operators.join_interval import OthersSpec
from headwater.processing.operators.passing import Passing
from headwater.processing.operators.rekey import MANY, mark_header, read
from headwater.processing.packing import RowForm, pack_integer
from headwater.processing.state import Overlay, StateStore, Table
from headwater.processing.steps import Stage, StageInput
from headwater.processing.work import Commit, Counts, ExchangeMessage, OutputRecord, Said, Task
from headwater.schemas.unsure import Unsure

if TYPE_CHECKING:
    from headwater.processing.blocks import Block, OutputBlock
    from headwater.processing.column_pass import ColumnPass
    from headwater.processing.columns import ColumnRoad

__all__ = ["Commit", "Counts", "ExchangeMessage", "OutputRecord", "Task", "new_task"]


def new_task(stage: Stage, *, partition: int, store: StateStore, recalls: bool = False) -> Task:
    """A task over a store that holds what was last committed; with `recalls` it tells apart what follows from the
    records of one input alone, and need not be in a changelog.
    """
    return StageTask(stage, partition=partition, store=store, recalls=recalls) if stage.ticks else PassTask(stage)


def closed_table(overlay: Overlay) -> Table:
    """Where a task keeps its last closed tick, under no key: what lies in it or before when read again is a repeat."""
    return Table(overlay, "closed", pack_integer, int)


class StageTask:
    """A partition of a stage that ticks."""

    def __init__(self, stage: Stage, *, partition: int, store: StateStore, recalls: bool = False) -> None:
        self.counts = Counts()
        self.more = False
        self._stage = stage
        self._tick = stage.tick
        self._overlay = Overlay(store)
        self._recalled = Overlay(store) if recalls else None
        self._closed_table = closed_table(self._overlay)
        known = self._closed_table.get(b"")
        self._closed: int = NEVER if known is None else known
        # What was closed at the last commit: above it there is something to commit.
        self._committed = self._closed
        self._inputs = {entry.topic: _Input(entry) for entry in stage.inputs}
        self._chain = Chain(stage, self._overlay, partition, self._recalled)
        self._partition = partition
        self._columns: ColumnRoad | None = None
        self._asked_columns = False
        self._positions: dict[str, Position] = {}
        self._said = [Said() for _ in stage.outputs]
        self._messages: list[ExchangeMessage] = []
        self._asked = False

    def record(
        self, topic: str, offset: int, key: bytes, record: Mapping[str, Any], headers: Sequence[Header] = ()
    ) -> None:
        """Take a decoded record of a product input."""
        entry = self._inputs[topic]
        recorded_at = record["recorded_at"]
        tick = recorded_at // self._tick
        if tick > self._closed:
            item = entry.intake(key, record)
            entry.lanes[0].take(offset, tick, (recorded_at, offset), item)
        else:
            self._reread(entry.lanes[0], offset, tick)
        self.counts.read += 1
        self._reached(topic, offset)

    def block(self, topic: str, block: Block) -> bool:
        """Take many records of a product input at once, where this stage has a columnar road that is sure of them."""
        road = self._road()
        if road is None or not road.take(topic, self._inputs[topic].lanes[0], self._closed, block):
            return False
        self.counts.read += len(block.offsets)
        self._reached(topic, block.offsets[-1])
        return True

    def exchange(self, topic: str, offset: int, key: bytes, value: bytes | None, headers: Sequence[Header]) -> None:
        """Take a message of a rekey input."""
        entry = self._inputs[topic]
        if value is not None and value.startswith(MANY):
            self._moved(entry, topic, offset, value)
            return
        arrived = read(entry.form, key, value, headers)
        lane = entry.lanes[arrived.lane]
        if arrived.through is not None:
            lane.mark(offset, (arrived.through + 1) // self._tick - 1)
        else:
            self.counts.read += 1
            if arrived.tick > self._closed:
                place = (arrived.tick, arrived.number)
                lane.take(offset, arrived.tick, place, (key, arrived.before, arrived.after))
            else:
                self._reread(lane, offset, arrived.tick)
        self._reached(topic, offset)

    def mark(self, topic: str, through: int) -> None:
        """A progress mark of a product input."""
        self._inputs[topic].lanes[0].mark(-1, (through + 1) // self._tick - 1)

    def refuse(self, topic: str, offset: int, letter: Any) -> None:
        """Pass over a record that is to be quarantined."""
        self.counts.read += 1
        self.counts.refused += 1
        self._reached(topic, offset)
        self._positions[topic].letters.append((offset, letter))

    def advance(self, most: int = 0) -> bool:
        """Close every tick that every lane has passed, or the first `most` of them."""
        lanes = [lane for entry in self._inputs.values() for lane in entry.lanes]
        frontier = frontier_of(lanes)
        ticks = sorted({tick for lane in lanes for tick in lane.waiting if tick <= frontier})
        self.more = 0 < most < len(ticks)
        if self.more:
            ticks = ticks[:most]
            frontier = ticks[-1]
        if self._columns is not None:
            self._close_many(self._columns, ticks)
        else:
            for tick in ticks:
                self._close(tick)
        if frontier > self._closed:
            self._closed = frontier
        return self._closed > self._committed or any(position.letters for position in self._positions.values())

    def ahead(self) -> Sequence[str]:
        """The inputs that have passed more than another has: what waits of them waits for that one."""
        passed = {topic: frontier_of(entry.lanes) for topic, entry in self._inputs.items()}
        frontier = min(passed.values())
        return [topic for topic, last in passed.items() if last > frontier]

    def commit(self) -> Commit | None:
        """All work since the last commit."""
        if self._asked:
            raise Fault("a commit was asked for while another is open", code="HW-P062")
        offsets = {topic: self._resume(topic) for topic in self._positions}
        refused = [letter for topic, offset in offsets.items() for letter in self._positions[topic].release(offset)]
        moved = self._closed > self._committed
        if not moved and not refused:
            return None
        through = (self._closed + 1) * self._tick - 1 if moved else None
        if through is not None:
            self._closed_table.put(b"", self._closed)
            headers = mark_header(through)
            self._messages.extend(
                ExchangeMessage(moved.partition, moved.key, None, through // 1_000, headers)
                for moved in self._chain.marks()
            )
        self._asked = True
        messages, self._messages = self._messages, []
        said, self._said = self._said, [Said() for _ in self._said]
        changes = self._overlay.changes()
        recalled = () if self._recalled is None else self._recalled.changes()
        return Commit(said, messages, changes, refused, offsets, through, recalled)

    def committed(self) -> None:
        """The transaction committed and the store has the changes."""
        self._asked = False
        self._committed = self._closed
        self._overlay.committed()
        if self._recalled is not None:
            self._recalled.committed()

    def _road(self) -> ColumnRoad | None:
        """The columnar road of this stage, if it has one; looked for where it is first asked for."""
        if not self._asked_columns:
            # Here: who checks, tests or previews a flow is given no columns, and need not wait for numpy and Arrow.
            from headwater.processing.columns import column_road

            self._columns, self._asked_columns = column_road(self._stage, self._chain, self._partition), True
        return self._columns

    def _moved(self, entry: _Input, topic: str, offset: int, value: bytes) -> None:
        """Take a message of many changes; where they cannot wait as columns, as if each had come by itself."""
        from headwater.processing.column_rekey import read_moved

        road = self._road()
        number, rows = read_moved(entry.form.types, value)
        lane = entry.lanes[number]
        self.counts.read += rows.count
        for part in rows.parts():
            first, last = int(rows.numbers[part.start]), int(rows.numbers[part.end - 1])
            if part.tick <= self._closed:
                self._reread(lane, offset, part.tick, part.own().count)
                continue
            items = part.changes() if road is None else [part]
            lane.take(offset, part.tick, (part.tick, first), items[0])
            lane.waiting[part.tick][1].extend(items[1:])
            lane.last = part.tick, last
        self._reached(topic, offset)

    def _close_many(self, columns: ColumnRoad, ticks: Sequence[int]) -> None:
        """Close ticks: as columns where they wait so, row by row where not."""
        lanes = {topic: entry.lanes for topic, entry in self._inputs.items()}
        for closed in columns.fold(lanes, ticks):
            if isinstance(closed, int):
                for topic, lane in ((topic, lane) for topic, some in lanes.items() for lane in some):
                    if closed in lane.waiting:
                        offset, items = lane.waiting[closed]
                        lane.waiting[closed] = (offset, columns.rows(topic, items))
                self._close(closed)
            else:
                ended = closed.ended
                self.counts.add(closed.counts)
                self.counts.folded += closed.records
                self.counts.columnar += closed.records
                self._messages.extend(ended.messages)
                # Of the further outputs there is none where nothing is said.
                for said, one in zip(self._said, (ended, *ended.further), strict=False):
                    _say(said, one.said, self.counts)
                    if one.block is not None:
                        _say_block(said, one.block, self.counts)

    def _close(self, tick: int) -> None:
        end = (tick + 1) * self._tick - 1
        arrivals = [
            (entry.stage_input, [item for lane in entry.lanes for item in lane.waiting.pop(tick, (0, ()))[1]])
            for entry in self._inputs.values()
        ]
        closed = self._chain.close(arrivals, tick, end)
        self._messages.extend(
            ExchangeMessage(moved.partition, moved.key, moved.value, end // 1_000) for moved in closed.messages
        )
        for said, records in zip(self._said, (closed.records, *closed.further), strict=True):
            _say(said, [OutputRecord(key, record, end) for key, record in records], self.counts)
        self.counts.add(closed.counts)

    def _reread(self, lane: Lane, offset: int, tick: int, rows: int = 1) -> None:
        if tick <= lane.passed:
            lane.take(offset, tick, (NEVER, 0), None)  # since this task began the lane had passed it: a fault, raised
        self.counts.reread += rows

    def _reached(self, topic: str, offset: int) -> None:
        position = self._positions.get(topic)
        if position is None:
            self._positions[topic] = Position(offset + 1)
        else:
            position.next_offset = offset + 1

    def _resume(self, topic: str) -> int:
        resumes = [lane.resume(self._closed) for lane in self._inputs[topic].lanes]
        return min([offset for offset in resumes if offset is not None], default=self._positions[topic].next_offset)


class PassTask:
    """A partition of a stage that only maps and filters: no state, no ticks, its input's recorded time and order."""

    def __init__(self, stage: Stage) -> None:
        self.counts = Counts()
        self.more = False
        self._topic = stage.inputs[0].topic
        self._stage = stage
        self._passing = [Passing(output.logic) for output in stage.outputs]
        self._columns: Sequence[ColumnPass] = ()
        self._asked_columns = False
        self._position: Position | None = None
        self._said = [Said() for _ in stage.outputs]
        self._through: int | None = None
        self._last = NEVER
        self._moved = False

    def record(
        self, topic: str, offset: int, key: bytes, record: Mapping[str, Any], headers: Sequence[Header] = ()
    ) -> None:
        """Take a decoded record."""
        every = [passing(record) for passing in self._passing]  # before any is kept: refused by one, refused by all
        recorded_at: int = record["recorded_at"]
        if recorded_at < self._last:
            raise Fault(
                "recorded time went back along a lane", code="HW-P063", detail=f"topic {topic}, offset {offset}"
            )
        self._last = recorded_at
        for made, said in zip(every, self._said, strict=True):
            if made is not None:
                traceparent = _traceparent(headers) if headers else None
                _say(said, (OutputRecord(key, made, recorded_at, traceparent),), self.counts)
        self.counts.folded += 1
        self._reached(offset)

    def block(self, topic: str, block: Block) -> bool:
        """Pass many records at once, where their flow can be computed over columns and is sure of each; they are not
        traced.
        """
        if not self._asked_columns:
            from headwater.processing.columns import column_pass

            self._columns, self._asked_columns = column_pass(self._stage), True
        if not self._columns:
            return False
        try:
            every = [passing(block, self._last) for passing in self._columns]
        except Unsure:
            return False
        self._last = int(block.integers("recorded_at")[-1])
        for made, said in zip(every, self._said, strict=True):
            _say_block(said, made, self.counts)
        records = len(block.offsets)
        self.counts.folded += records
        self.counts.columnar += records
        self._reached(block.offsets[-1], records)
        return True

    def exchange(self, topic: str, offset: int, key: bytes, value: bytes | None, headers: Sequence[Header]) -> None:
        """Never: such a stage has one input, a product."""
        raise Fault("a stage that only maps and filters reads no rekey topic", code="HW-P064")

    def mark(self, topic: str, through: int) -> None:
        """The input's mark is the output's."""
        if self._through is None or through > self._through:
            self._through, self._moved = through, True

    def refuse(self, topic: str, offset: int, letter: Any) -> None:
        """Pass over a record that is to be quarantined."""
        self.counts.refused += 1
        self._reached(offset)
        assert self._position is not None
        self._position.letters.append((offset, letter))

    def ahead(self) -> Sequence[str]:
        """None: nothing waits here."""
        return ()

    def advance(self, most: int = 0) -> bool:
        """Whether anything was read or marked."""
        return self._moved

    def commit(self) -> Commit | None:
        """All work since the last commit."""
        if not self._moved:
            return None
        self._moved = False
        said, self._said = self._said, [Said() for _ in self._said]
        position = self._position
        offsets = {} if position is None else {self._topic: position.next_offset}
        refused = [] if position is None else position.release(position.next_offset)
        return Commit(said, [], [], refused, offsets, self._through)

    def committed(self) -> None:
        """Nothing is kept."""

    def _reached(self, offset: int, records: int = 1) -> None:
        self.counts.read += records
        self._moved = True
        if self._position is None:
            self._position = Position(offset + 1)
        self._position.next_offset = offset + 1


def _say(said: Said, records: Sequence[OutputRecord], counts: Counts) -> None:
    said.add(records)
    for one in records:
        counts.wrote(one.record["kind"])


def _say_block(said: Said, block: OutputBlock, counts: Counts) -> None:
    if len(block):
        said.blocks.append(block)
        counts.written += len(block)
        counts.corrections += block.corrections()


def _traceparent(headers: Sequence[Header]) -> bytes | None:
    for name, content in headers:
        if name == TRACEPARENT:
            return content
    return None


class _Input:
    """A stage's input as a task reads it: its lanes, and how a record becomes what waits for its tick."""

    def __init__(self, stage_input: StageInput) -> None:
        self.stage_input = stage_input
        self.lanes = [Lane(stage_input.topic) for _ in range(stage_input.lanes)]
        logic = stage_input.logic
        self.form: RowForm = logic if isinstance(logic, RowForm) else RowForm(())
        self.intake: Any = intake_of(logic)


def intake_of(logic: Any) -> Any:
    """What makes of a record what waits for its tick; None for inputs that are not products."""
    if isinstance(logic, FactsSpec):
        return FactsIntake(logic)
    changes = logic.changes if isinstance(logic, OthersSpec) else logic
    return Intake(changes) if isinstance(changes, ChangesSpec) else None

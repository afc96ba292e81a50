"""One stage of one worker on a broker: reads, drives its partitions, commits; on any doubt drops all and builds anew.

A worker lives in incarnations. One holds a sink, a group's source, a state store and the partitions it was given, and
ends at the first error: everything is dropped, the next one is built from what the broker holds. Nothing is rewound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headwater import naming
from headwater.errors import HeadwaterError
from headwater.ports.serde import RecordReader
from headwater.processing.batch import TOO_SLOW, Batch
from headwater.processing.checkpoint import Targets
from headwater.processing.columns import takes_columns
from headwater.processing.incarnation import Incarnation
from headwater.processing.records import RecordWriter
from headwater.processing.rivals import Rivals
from headwater.processing.state_rocksdb import DAMAGED
from headwater.processing.steps import Plan, Stage
from headwater.processing.surroundings import Account, Surroundings

# Read before a commit, where there is more to read: large enough to pay for a transaction, small enough for memory.
COMMIT_MESSAGES = 10_000
COMMIT_MESSAGES_AS_COLUMNS = 100_000  # each key is touched once a commit, and a record takes a tenth of the memory
BACKOFF_MICROSECONDS = 100_000
BACKOFF_MICROSECONDS_MAX = 5_000_000
DOUBTS_LIMIT = 8  # in a row, without a commit between them, and without the broker being away
# A missing topic, HW-R004, is among them: all were there at the start, and a broker just come back may not know yet.
DOUBTFUL = frozenset({"HW-R003", "HW-R004", "HW-R007", "HW-R009", DAMAGED})


class StageWorker:
    """Runs one stage until it is told to stop."""

    def __init__(
        self, plan: Plan, stage: Stage, around: Surroundings, *, paused: Callable[[], bool] = lambda: False
    ) -> None:
        """`paused` says whether the product is to stand still."""
        self.name = f"{plan.product}.{stage.name}"
        self.account = Account()
        self._paused = paused
        self._plan = plan
        self._stage = stage
        self._around = around
        product = around.mesh.product(plan.product)
        outputs = product.each if stage.output.kind == "product" else ()
        writers = tuple(RecordWriter(around.registry, output) for output in outputs)
        quarantine = naming.quarantine_topic(plan.product, plan.major)
        self._targets = Targets(stage, writers, quarantine, str(product.product.version))
        self._readers = _readers(stage, around)
        self._rivals = Rivals(plan, stage, around)
        most = COMMIT_MESSAGES_AS_COLUMNS if takes_columns(stage) else COMMIT_MESSAGES
        self._batch = Batch(most, around.transaction_ms * 1_000)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Until `stopping`; raises what cannot be mended by building anew."""
        doubts = 0
        while not stopping():
            commits = self.account.commits
            try:
                self._live(stopping)
            except HeadwaterError as error:
                if error.code == TOO_SLOW:
                    self._smaller(error)
                    continue
                doubts = doubts + 1 if commits == self.account.commits else 1
                self._rivals.note(error, stopping)
                self._judge(error, doubts)
                self._around.hooks.announce(
                    "stage.rebuilt", product=str(self._plan.product), stage=self._stage.name, code=error.code
                )
                self._wait(doubts, stopping)

    def incarnation(self) -> Incarnation:
        """A new life, not opened yet."""
        return Incarnation(
            self._plan,
            self._stage,
            self._around,
            self._targets,
            self._readers,
            self.account,
            self._batch,
            self._paused,
        )

    def _live(self, stopping: Callable[[], bool]) -> None:
        incarnation = self.incarnation()
        try:
            incarnation.open()
            while not stopping():
                incarnation.step()
            incarnation.finish()
        finally:
            incarnation.drop()

    def _smaller(self, error: HeadwaterError) -> None:
        """Known and mended: no doubt that is counted against the product; `Batch` knows where it ends."""
        self.account.doubts += 1
        product, stage = str(self._plan.product), self._stage.name
        limit, reason = self._batch.limit, f"{error.message}; {error.detail}"
        announce = self._around.hooks.announce
        announce("stage.too_slow", product=product, stage=stage, limit=limit, reason=reason, code=error.code)

    def _judge(self, error: HeadwaterError, doubts: int) -> None:
        self.account.doubts += 1
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


def _readers(stage: Stage, around: Surroundings) -> Mapping[str, RecordReader]:
    readers = {}
    for stage_input in stage.inputs:
        if stage_input.product is not None:
            schema = around.mesh.product(stage_input.product).output.schema
            subject = naming.subject(stage_input.topic)
            readers[stage_input.topic] = RecordReader(around.registry, subject=subject, schema=schema)
    return readers

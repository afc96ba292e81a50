"""The `kafka` runner: all stages of all given plans in one process, a thread each; Kafka is the distributed engine.

A thread mostly waits in its client, which lets others run meanwhile; that keeps latency low without a common loop.
Workers with other slots, in this process or on other machines, share the partitions through the stages' groups.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from headwater import naming
from headwater.errors import CallerFault, HeadwaterError
from headwater.mesh.products import Mesh
from headwater.naming import ProductName
from headwater.processing.controls import Controls
from headwater.processing.flow_file import load_plan
from headwater.processing.patience import patiently
from headwater.processing.reports import Reports
from headwater.processing.stage_worker import StageWorker
from headwater.processing.steps import Plan, Stage, topics_of
from headwater.processing.surroundings import Account, Surroundings
from headwater.stopping import Stopping

WAIT_SECONDS = 0.05
LISTEN_SECONDS = 0.2  # how soon a command is heard
NAMES_SHOWN = 5  # of what is missing: a mesh that was never applied lacks everything
STOP_SECONDS = 1.5  # a stop is promised within two


class KafkaRunner:
    """Runs plans until told to stop. Creates nothing: what is missing on the broker or in the registry is refused."""

    def __init__(
        self,
        plans: Sequence[Plan],
        around: Surroundings,
        *,
        around_of: Callable[[Plan, Stage], Surroundings] | None = None,
    ) -> None:
        """`around_of` gives a stage surroundings of its own: another way to its partitions."""
        patiently(lambda: _require_topics(plans, around), around.clock)
        self._clock = around.clock
        self._controls = Controls(plans, around.broker, around.hooks)
        self._workers = [
            (plan.product, StageWorker(plan, stage, own, paused=partial(self._paused, plan.product)))
            for plan in plans
            for stage in plan.stages
            for own in [around_of(plan, stage) if around_of is not None else around]
        ]
        stages = [(plan.product, stage.name) for plan in plans for stage in plan.stages]
        accounts = {place: worker.account for place, (_, worker) in zip(stages, self._workers, strict=True)}
        self._reports = Reports(plans, accounts, around.broker, clock=around.clock, slot=around.slot)
        self._hooks = around.hooks
        self.stopping = Stopping()
        self._error: BaseException | None = None  # of the product that ended last
        self._going_on = {plan.product for plan in plans}
        self._lock = threading.Lock()

    @property
    def accounts(self) -> dict[str, Account]:
        """What each stage has done, by `<product>.<stage>`."""
        return {worker.name: worker.account for _, worker in self._workers}

    def stop(self) -> None:
        """Ask all stages to end after the step they are in. May be called from a signal handler or another thread."""
        self.stopping.set()

    def run(self, *, tick: Callable[[], None] = lambda: None) -> None:
        """Until `stop`, or until no product is left: one of which a stage fails in a way that building anew does not
        mend ends as a whole, is announced as `product.failed`, and the others go on. The last of these errors is
        raised at the end.

        `tick` is called some twenty times a second, for whoever shows progress.
        """
        patiently(self._controls.start, self._clock)
        listener = threading.Thread(target=self._listen, name="control", daemon=True)
        listener.start()
        threads = [
            threading.Thread(target=self._guarded, args=(product, worker), name=worker.name, daemon=True)
            for product, worker in self._workers
        ]
        for thread in threads:
            thread.start()
        while not self.stopping.wait(WAIT_SECONDS) and any(thread.is_alive() for thread in threads):
            tick()
        self.stopping.set()
        # Whoever takes longer is left behind: it waits for a broker, and what it has open its successor aborts.
        left, waited = STOP_SECONDS, [*threads, listener]
        while left > 0 and any(thread.is_alive() for thread in waited):
            next(thread for thread in waited if thread.is_alive()).join(WAIT_SECONDS)
            left -= WAIT_SECONDS
        if self._error is not None:
            raise self._error

    def _paused(self, product: ProductName) -> bool:
        return self._controls.paused(product) is not None

    def _listen(self) -> None:
        """Follow what the products are told, and tell how their partitions stand."""
        try:
            while not self.stopping.wait(LISTEN_SECONDS):
                self._controls.step(0.0)
                self._reports.step()
            self._reports.step(last=True)
        finally:
            self._controls.close()
            self._reports.close()

    def _guarded(self, product: ProductName, worker: StageWorker) -> None:
        try:
            worker.run(lambda: self.stopping.is_set() or product not in self._going_on)
        except BaseException as error:  # whatever it is, the product's other stages end too and the caller is told
            with self._lock:
                told = product not in self._going_on
                if not told:  # what else fails of a product that ends has its cause there
                    self._error = error
                self._going_on.discard(product)
                others = len(self._going_on)
            if not told:
                self._reports.failed[product] = _told(error)[:2]
                self._announce(product, worker.name, error, others)
            if not others:
                self.stopping.set()

    def _announce(self, product: ProductName, stage: str, error: BaseException, others: int) -> None:
        code, reason, hint = _told(error)
        self._hooks.announce(
            "product.failed", product=str(product), stage=stage, code=code, reason=reason, hint=hint, others=others
        )


def _told(error: BaseException) -> tuple[str, str, str]:
    """The code, the reason and the mend of what ended a product."""
    if isinstance(error, HeadwaterError):
        return error.code, error.message, error.hint
    reason = f"a fault of Headwater itself ({type(error).__name__})"
    return "HW-K070", reason, "run it alone with HEADWATER_DEBUG=1 and report what it prints"


def derived_plans(mesh: Mesh, names: Sequence[str]) -> list[Plan]:
    """The plans of the derived products of these names, or of all; raises `CallerFault` HW-P024 for another product."""
    wanted = [mesh.whole(name) for name in names] or [p for p in mesh.in_order() if p.product.inputs]
    for product in wanted:
        if not product.product.inputs:
            raise CallerFault(
                f"{product.name} is source-aligned: it has no flow to run",
                code="HW-P024",
                hint="headwater relay brings its records in",
            )
    plans = [load_plan(mesh, product.name) for product in wanted]
    if not plans:
        raise CallerFault("the mesh has no derived products", code="HW-P025", hint="put one under streams/")
    return plans


def _require_topics(plans: Sequence[Plan], around: Surroundings) -> None:
    wanted = {topic: count for plan in plans for topic, count in _topics(plan, around)}
    found = around.broker.describe(sorted(wanted))
    missing = [topic for topic in sorted(wanted) if topic not in found]
    if missing:
        raise CallerFault(
            f"{len(missing)} topic{'s' if len(missing) > 1 else ''} of these products do not exist",
            code="HW-P020",
            detail=f"missing: {_few(missing)}. A runner creates nothing",
            hint="headwater apply",
        )
    uneven = [topic for topic, count in sorted(wanted.items()) if count and found[topic].partitions != count]
    if uneven:
        raise CallerFault(
            "topics have another number of partitions than the contract says",
            code="HW-P023",
            detail=", ".join(f"{topic}: {found[topic].partitions}, not {wanted[topic]}" for topic in uneven),
            hint="headwater plan shows the difference; partitions change only with a new major",
        )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def _topics(plan: Plan, around: Surroundings) -> list[tuple[str, int]]:
    """Every topic that a plan reads or writes, with its number of partitions; 0 where any will do."""
    topics = [(naming.control_topic(plan.product, plan.major), 1)]
    for stage in plan.stages:
        topics += [(topic, stage.partitions) for topic in topics_of(stage)]
        topics += _written(plan, stage, around)
    return topics


def _written(plan: Plan, stage: Stage, around: Surroundings) -> list[tuple[str, int]]:
    topics = [(output.topic, output.partitions) for output in stage.outputs]
    if stage.changelog:
        topics.append((stage.changelog, stage.partitions))
    topics.append((naming.quarantine_topic(plan.product, plan.major), 0))
    if stage.output.kind == "product":
        for one in around.mesh.product(plan.product).each:
            topics.append((naming.progress_topic(one.name, plan.major), stage.output.partitions))
            if "current" in one.output.output.ports:
                topics.append((naming.current_topic(one.name, plan.major), stage.output.partitions))
    return topics

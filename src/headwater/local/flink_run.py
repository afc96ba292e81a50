"""A product brought up to date by one bounded Flink job: what it reads and writes, what is settled after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater import naming
from headwater.contracts.environment import Environment
from headwater.errors import CallerFault, NotSupported
from headwater.local.flink import job_settings, local_settings, run_job
from headwater.local.flink_gateway import run_there
from headwater.local.flink_record import Clusters, live_prefix, require_no_live_job
from headwater.local.flink_rest import FlinkCluster
from headwater.local.stack import Phases, quiet
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.ports.kafka import KafkaBroker
from headwater.ports.protocol import Broker
from headwater.processing.alone import require_alone, require_none_on_faust
from headwater.processing.flow_file import load_flow
from headwater.processing.graph import stateful
from headwater.processing.reset import reset
from headwater.processing.runners.flink import compile_sql
from headwater.processing.runners.flink_client import java_settings, without_password, without_secrets
from headwater.processing.runners.flink_reach import (
    fence,
    held,
    job_name,
    reach_of,
    require_inputs_whole,
    schemas_of,
    settle,
)
from headwater.processing.runners.flink_tables import Reach, Where
from headwater.processing.runners.kafka import derived_plans
from headwater.schemas.registry import Registry
from headwater.schemas.registry_http import HttpRegistry
from headwater.timeline.clock import Clock, SystemClock
from headwater.timeline.instant import Instant

_IDLE_MICROSECONDS = 500_000


@dataclass(frozen=True, slots=True)
class Done:
    """What a run did: the records that it wrote, and up to when the product is settled."""

    records: int
    through: Instant


class FlinkRun:
    """One product of a mesh on Flink."""

    def __init__(self, mesh: Mesh, product: str, environment: Environment, broker: Broker, registry: Registry) -> None:
        self.product: ResolvedProduct = mesh.whole(product)
        self.mesh = mesh
        self.broker = broker
        self._environment = environment
        self._registry = registry
        self._graph = load_flow(mesh, self.product.name)

    def reach(self) -> Reach | None:
        """What a bounded job reads and writes now; None where there is nothing to do."""
        known = held(self.product, self.broker, self._registry)
        return reach_of(self._graph, self.mesh, self.broker, known, tick=int(self.mesh.file.tick))

    def reach_or_none(self) -> Reach | None:
        """As `reach`, and None too where an input has no marks yet."""
        try:
            return self.reach()
        except CallerFault as fault:
            if fault.code != "HW-P246":
                raise
            return None

    @property
    def job_name(self) -> str:
        """The name of the product's live job, and the prefix of its transactions."""
        return live_prefix(naming.topic(self.product.name, self.product.major))

    def statements(self, reach: Reach | None, *, shown: bool = False) -> list[str]:
        """The job's SQL; without a reach, or with one that is not bounded, it has no end. Secrets are stars where it is
        `shown` to people.
        """
        kafka, url = self._environment.kafka, self._environment.registry_url
        settings = java_settings(kafka, _content)
        if shown:
            settings, url = without_secrets(settings), without_password(url)
        name = job_name(self._graph) if reach is not None and reach.bounded else self.job_name
        where = Where(kafka["bootstrap.servers"], url, name, settings, reach)
        schemas = schemas_of(self._graph, self.mesh, self._registry)
        return compile_sql(self._graph, schemas, where, tick=int(self.mesh.file.tick))

    def live_statements(self, *, written: bool = True, shown: bool = False) -> list[str]:
        """The SQL of a job without end, that leaves out what the product holds now; or, not `written`, of any such.

        Raises `CallerFault` HW-P245 where an input's first records are gone, `NotSupported` HW-P256 of a flow without
        an aggregate.
        """
        if not stateful(self._graph.root):
            raise NotSupported(
                f"{self.product.name} has no aggregate, so no live Flink job",
                code="HW-P256",
                detail="a job that ends between two records of one instant could not tell which it wrote",
                hint=f"headwater run {self.product.name}, or runner flink run, whose jobs write all or nothing",
            )
        require_inputs_whole(self._graph, self.mesh, self.broker)
        held_through = dict.fromkeys(range(self._graph.output.partitions), -1)
        if written:
            held_through = {one: it.through for one, it in held(self.product, self.broker, self._registry).items()}
        return self.statements(Reach(0, {}, held_through), shown=shown)

    def take_over(self, clock: Clock, clusters: Clusters = FlinkCluster) -> None:
        """Make sure that nobody else writes the product: no other runner, and no job that was left behind.

        `headwater run` makes its state anew afterwards and holds all it says against the topic. Raises `CallerFault`
        HW-P172 or HW-P213 while another runner is at work, HW-P252 while a live job is, wherever that was deployed.
        """
        require_no_live_job(self.mesh, [str(self.product.name)], self.broker, clock=clock, clusters=clusters)
        (plan,) = derived_plans(self.mesh, [str(self.product.name)])
        reset(plan, self.broker, clock=clock)
        fence(self._graph, self.broker)

    def require_nobody(self, clock: Clock) -> None:
        """Refuse while another runner is at work: `CallerFault` HW-P213."""
        plans = derived_plans(self.mesh, [str(self.product.name)])
        require_alone(plans, self.broker, clock)
        require_none_on_faust(plans, self.broker, clock)

    def run(
        self,
        reach: Reach,
        data_folder: Path,
        *,
        gateway: str = "",
        phases: Phases = quiet,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Done | None:
        """Run the job to its end and mark what is settled; None where it was told to stop before.

        The job runs in a process of its own, or where a gateway is named by its address, in that gateway's cluster.
        """
        name = str(self.product.name)
        statements = self.statements(reach)
        folder, log = data_folder / "flink" / name, data_folder / "logs" / f"flink-{name}.log"
        with phases(f"{name} on Flink, up to {Instant(reach.through).iso()}"):
            if gateway:
                ended = run_there(
                    gateway, statements, job_settings(), record=folder.parent / f"{name}.session", stopped=stopped
                )
            else:
                settings = {**local_settings(), **job_settings()}
                ended = run_job(statements, settings, folder=folder, log=log, stopped=stopped)
        if not ended:
            return None
        written = settle(self.product, self.broker, self._registry, reach.through)
        return Done(written, Instant(reach.through))


def runs_of(mesh: Mesh, products: Sequence[str], environment: Environment) -> list[FlinkRun]:
    """The derived products of these names, or all, taken over; one that Flink cannot say is refused before any is."""
    clock = SystemClock()
    broker, registry = KafkaBroker(environment.kafka, clock=clock), HttpRegistry(environment.registry_url)
    names = [str(plan.product) for plan in derived_plans(mesh, products)]
    runs = [FlinkRun(mesh, name, environment, broker, registry) for name in names]
    for run in runs:
        run.statements(None)
    for run in runs:
        run.take_over(clock)
    return runs


def keep_up(
    runs: Sequence[FlinkRun],
    data_folder: Path,
    *,
    gateway: str = "",
    stopped: Callable[[], bool],
    tell: Callable[[FlinkRun, Done], None],
) -> None:
    """Run one job after another for these products until told to stop, each as soon as its inputs settle more.

    A job whose inputs have no marks yet is waited for. Each job computes the whole history of its product.
    """
    clock = SystemClock()
    while not stopped():
        idle = True
        for run in runs:
            if stopped():  # to look at many products takes long where the broker is slow
                break
            require_no_live_job(run.mesh, [str(run.product.name)], run.broker, clock=clock)
            reach = run.reach_or_none()
            done = None if reach is None or stopped() else run.run(reach, data_folder, gateway=gateway, stopped=stopped)
            if done is not None:
                idle = False
                tell(run, done)
        if idle:
            clock.sleep(_IDLE_MICROSECONDS)


def _content(path: str) -> str:
    """What a certificate's file holds: the cluster does not see this machine's files."""
    try:
        return Path(path).read_text()
    except OSError as error:
        raise CallerFault(
            f"{path} cannot be read, which the environment's settings of Kafka name",
            code="HW-P260",
            detail=str(error.strerror),
            hint="a job on Flink carries certificates and keys with it; put the file there, or correct its name",
        ) from None

"""From a mesh to the resources it needs: every name and setting that `apply` will write follows from contracts here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from headwater import naming
from headwater.contracts.load import PRODUCT_FILE
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.naming import ProductName
from headwater.outbox.debezium import CAPTURE_TOPIC_SETTINGS
from headwater.outbox.source import OutboxSource, sources_of
from headwater.outbox.validation import validation_of
from headwater.plan.resource import Holds, Resource, RunnerOf, Source, Subject, Table, Topic
from headwater.processing.state_form import StateForm
from headwater.processing.steps import Plan, Stage, internal_topics
from headwater.timeline.instant import Duration

QUARANTINE_RETENTION = Duration.parse("30d")  # reliability: long enough to mend, short enough for what may be personal
# A compacted topic of few keys: small segments, so that the cleaner reaches them and a restart reads little.
_COMPACTED = {"cleanup.policy": "compact", "segment.bytes": "16777216", "segment.ms": "3600000"}
_WRITTEN = {"message.timestamp.type": "CreateTime", "compression.type": "producer"}


@dataclass(frozen=True, slots=True)
class Desired:
    """The resources in the order in which they are made: what a product reads comes before it, outboxes come last."""

    resources: tuple[Resource, ...]
    sources: Mapping[str, OutboxSource]
    tables: Mapping[str, ResolvedProduct] = field(default_factory=dict)
    runners: tuple[RunnerOf, ...] = ()

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The topics among them."""
        return tuple(resource for resource in self.resources if isinstance(resource, Topic))

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The subjects among them."""
        return tuple(resource for resource in self.resources if isinstance(resource, Subject))


def desired(mesh: Mesh, plans: Mapping[ProductName, Plan], only: Collection[ProductName] = ()) -> Desired:
    """What must be there for the products of `only`, or for all; `plans` are those of the derived products."""
    resources: list[Resource] = []
    tables: dict[str, ResolvedProduct] = {}
    for product in mesh.in_order():
        if not only or product.name in only:
            resources += [topic for one in product.each for topic in _topics(one)]
            resources += _internal(mesh, product, plans)
            resources += _subjects(product)
            for one in product.each:
                if "lake" in one.output.output.ports:
                    table = _table(one)
                    resources.append(table)
                    tables[table.name] = one
    sources = {
        source.name: source
        for source in sources_of(mesh)
        if not only or any(product.name in only for product in source.products)
    }
    for source in sources.values():
        if source.lane == "debezium":
            resources.append(_capture(source))
        resources.append(_source(source))
    runners = [_runner(mesh.product(name), plan) for name, plan in plans.items() if not only or name in only]
    return Desired(tuple(resources), sources, tables, tuple(runners))


def _topics(product: ResolvedProduct) -> list[Topic]:
    output = product.output.output
    name, major = product.name, product.major
    retention = "-1" if output.retention is None else str(output.retention // 1000)
    history = {"cleanup.policy": "delete", "retention.ms": retention, "retention.bytes": "-1", **_WRITTEN}
    quarantine = {**history, "retention.ms": str(QUARANTINE_RETENTION // 1000)}
    if output.on_invalid == "park-key":
        quarantine["retention.ms"] = "-1"  # rows that wait for their turn are nowhere else in order
    topics = [
        _topic(product, product.output.topic, history, "records"),
        _topic(product, naming.progress_topic(name, major), {**_COMPACTED, **_WRITTEN}, "progress"),
    ]
    if not name.output:  # one for all outputs: what is set aside is a record of an input
        topics.append(_topic(product, naming.quarantine_topic(name, major), quarantine, "quarantine"))
    if "current" in output.ports:
        current = {"cleanup.policy": "compact", **_WRITTEN}
        topics.append(_topic(product, naming.current_topic(name, major), current, "current"))
    return topics


def _topic(product: ResolvedProduct, name: str, settings: Mapping[str, str], holds: Holds) -> Topic:
    return Topic(name, product.output.output.partitions, settings, holds, str(product.name.whole), _file(product))


def _internal(mesh: Mesh, product: ResolvedProduct, plans: Mapping[ProductName, Plan]) -> list[Topic]:
    plan = plans.get(product.name)
    if plan is None:
        return []
    control = naming.control_topic(product.name, product.major)
    notes = {stage.changelog: _remembered(mesh, stage) for stage in plan.stages}
    return [
        Topic(control, 1, {**_COMPACTED, **_WRITTEN}, "internal", str(product.name), _file(product)),
        *(
            Topic(
                description.name,
                description.partitions,
                dict(description.settings),
                "internal",
                str(product.name),
                _file(product),
                notes.get(description.name, ""),
            )
            for description in internal_topics(plan)
        ),
    ]


def _remembered(mesh: Mesh, stage: Stage) -> str:
    """Of which inputs a stage's changelog does not hold what it remembers, for these hold it themselves."""
    form = StateForm(stage, mesh)
    if not form.recalling or not form.whole:
        return ""
    return f"what is remembered of {', '.join(sorted(stage.recalled_from))} comes back from there"


def _subjects(product: ResolvedProduct) -> list[Subject]:
    return [
        Subject(output.subject, output.schema, str(output.output.compatibility), str(product.name), _file(product))
        for output in product.outputs
    ]


def _table(product: ResolvedProduct) -> Table:
    name = naming.lake_table(product.name, product.major)
    return Table(name, f"{product.output.schema.fingerprint:016x}", str(product.name.whole), _file(product))


def _runner(product: ResolvedProduct, plan: Plan) -> RunnerOf:
    groups = tuple(stage.group for stage in plan.stages)
    return RunnerOf(str(product.name), product.product.runner, product.output.topic, groups, _file(product))


def _capture(source: OutboxSource) -> Topic:
    first = source.products[0]
    settings = {**CAPTURE_TOPIC_SETTINGS, **_WRITTEN}
    return Topic(naming.capture_topic(source.name), 1, settings, "internal", str(first.name), _file(first))


def _source(source: OutboxSource) -> Source:
    names = tuple(str(product.name) for product in source.products)
    checks = "" if source.captured else validation_of(source.table, source.products).digest
    return Source(source.name, source.database, source.table, names, _file(source.products[0]), checks)


def _file(product: ResolvedProduct) -> str:
    return f"{product.product.folder}/{PRODUCT_FILE}"

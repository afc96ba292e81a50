"""What is there: asked of the broker, the registry and the databases, and nothing written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from headwater.contracts.product import Runner
from headwater.outbox.source import source_steps
from headwater.outbox.store import SourceAdmin
from headwater.plan.desired import Desired
from headwater.plan.resource import Source, Subject
from headwater.ports.lake.table import Tables
from headwater.ports.protocol import Broker
from headwater.ports.record import TopicDescription
from headwater.processing.runners.chosen import holder
from headwater.schemas.registry import RegisteredSchema, Registry


@dataclass(frozen=True, slots=True)
class Parts:
    """The running mesh, as far as `apply` may reach it. `sources` are by the source's name.

    `lake` is there where a product has a table in it. `kafka` are the settings of the environment's client, of which
    a runner with another client may not know all.
    """

    broker: Broker
    registry: Registry
    sources: Mapping[str, SourceAdmin]
    lake: Tables | None = None
    kafka: Mapping[str, str] = field(default_factory=dict)

    @property
    def tables(self) -> Tables:
        """The lake's; asked for only where a product is in it."""
        assert self.lake is not None, "the lake was not reached"
        return self.lake


@dataclass(frozen=True, slots=True)
class SubjectState:
    """What the registry holds of a subject: level, versions oldest first, and the wanted schema if it is there."""

    level: str
    history: tuple[RegisteredSchema, ...]
    found: RegisteredSchema | None


@dataclass(frozen=True, slots=True)
class Actual:
    """What is there of what is desired. `missing` are the steps that each outbox source still needs, as sentences,
    `tableless` those of each table of the lake.

    `at_work` are the runners that have products now. `unwanted` are topics that were applied once, are still there, and
    that nothing asks for any more.
    """

    topics: Mapping[str, TopicDescription]
    subjects: Mapping[str, SubjectState]
    missing: Mapping[str, tuple[str, ...]]
    unwanted: tuple[str, ...] = ()
    tableless: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    at_work: Mapping[str, Runner] = field(default_factory=dict)


def read_actual(desired: Desired, parts: Parts, *, once: Collection[str] = ()) -> Actual:
    """Ask all parts; raises `Unreachable` for the first that does not answer, and whatever a source's state forbids.

    `once` are the topics that were applied once.
    """
    wanted = [topic.name for topic in desired.topics]
    there = parts.broker.describe([*wanted, *once])
    topics = {name: there[name] for name in wanted if name in there}
    known = frozenset(parts.registry.subjects())
    subjects = {subject.name: _subject(subject, parts.registry, known) for subject in desired.subjects}
    missing = {
        resource.name: tuple(
            step.text
            for step in source_steps(desired.sources[resource.name], parts.sources[resource.name], parts.broker)
        )
        for resource in desired.resources
        if isinstance(resource, Source)
    }
    tableless = {name: parts.tables.missing(product) for name, product in desired.tables.items()}
    busy = parts.broker.groups() if desired.runners else ()
    held = {one.name: holder(one.topic, one.groups, busy) for one in desired.runners}
    at_work = {name: runner for name, runner in held.items() if runner is not None}
    return Actual(topics, subjects, missing, tuple(sorted(set(there) - set(wanted))), tableless, at_work)


def _subject(subject: Subject, registry: Registry, known: frozenset[str]) -> SubjectState:
    level = registry.level(subject.name)  # a subject may have a level before it has a version
    if subject.name not in known:
        return SubjectState(level, (), None)
    history = tuple(registry.version(subject.name, number) for number in registry.versions(subject.name))
    return SubjectState(level, history, registry.find(subject.name, subject.schema))

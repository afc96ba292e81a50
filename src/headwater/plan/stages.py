"""The difference between what is desired and what is there: ordered stages, refusals, drift. Pure.

`applied` is what the journal remembers of each resource: where the running mesh differs from it, somebody changed it
by hand, and that is named as drift; where only the files differ, the contract changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from headwater.contracts.product import RUNNER_DEFAULT, Runner
from headwater.errors import Finding
from headwater.plan.actual import Actual, SubjectState
from headwater.plan.desired import Desired
from headwater.plan.resource import TOPIC, Resource, RunnerOf, Source, Subject, Table, Topic
from headwater.ports.record import TopicDescription
from headwater.schemas.evolution import Step, judge

Action = Literal["create", "alter", "level", "register", "prepare", "move"]
Reason = Literal["missing", "contract", "drift"]
Applied = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Change:
    """One value that a stage sets. `before` is empty where nothing was set."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One deed: safe to repeat, and done before the next."""

    action: Action
    resource: Resource | RunnerOf
    reason: Reason
    changes: tuple[Change, ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """What the stage is called in the journal."""
        return f"{self.action} {self.resource.id}"


@dataclass(frozen=True, slots=True)
class Difference:
    """What would be done, what cannot be done, and what else is not as it was left."""

    stages: tuple[Stage, ...]
    refusals: tuple[Finding, ...]
    drift: tuple[Finding, ...]
    unchanged: int
    runners: tuple[RunnerOf, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done or refused; drift that is left alone does not count."""
        return not self.stages and not self.refusals


class _Comparison:
    def __init__(self, applied: Applied) -> None:
        self.applied = applied
        self.stages: list[Stage] = []
        self.refusals: list[Finding] = []
        self.drift: list[Finding] = []

    def topic(self, topic: Topic, actual: TopicDescription | None) -> None:
        remembered = self.applied.get(topic.id)
        if actual is None:
            if remembered is not None:
                self._drift("HW-D001", topic, "the topic is gone", "it was applied before, and its records with it")
            changes = (Change("partitions", "", str(topic.partitions)), *_settings(topic.settings, {}))
            self.stages.append(Stage("create", topic, "missing" if remembered is None else "drift", changes))
            return
        if actual.partitions != topic.partitions:
            self._partitions(topic, actual.partitions, remembered)
        changes = _settings(topic.settings, actual.settings)
        if changes:
            reason: Reason = "contract"
            for change in changes:
                if remembered is not None and remembered.get(change.what) not in (None, change.before):
                    reason = "drift"
                    before = change.before or "the broker's default"
                    why = f"{before} stands where {remembered[change.what]} was applied"
                    self._drift("HW-D002", topic, f"{change.what} was changed by hand", why)
            self.stages.append(Stage("alter", topic, reason, changes))
        for name in sorted(set(actual.settings) - set(topic.settings)):
            self._drift(
                "HW-D003", topic, f"{name} is set by hand", "no contract asks for it, and apply leaves it alone"
            )

    def _partitions(self, topic: Topic, actual: int, remembered: Mapping[str, str] | None) -> None:
        message = f"{topic.name} has {actual} partitions, and its contract says {topic.partitions}"
        by_hand = remembered is not None and remembered.get("partitions") == str(topic.partitions)
        if actual < topic.partitions:
            why = "with more partitions the keys would move, and their order would be lost"
        else:
            why = "Kafka never takes partitions away"
        if by_hand:
            why = f"the count was changed by hand after {topic.partitions} were applied: keys have moved since"
        fix = f"write partitions: {actual}, or raise the major version: new topics are made for it"
        self.refusals.append(Finding("HW-D004", "error", topic.file, 0, 0, topic.id, message, why, fix))

    def subject(self, subject: Subject, actual: SubjectState) -> None:
        remembered = self.applied.get(subject.id)
        breaks = [step for step in _breaks(subject, actual) if step.found.severity == "error"]
        if breaks:
            self._incompatible(subject, actual, breaks)
            return
        if actual.level != subject.level:
            reason: Reason = "missing" if not actual.history else "contract"
            if remembered is not None and actual.level and remembered.get("level") not in (None, actual.level):
                reason = "drift"
                why = f"{actual.level} stands where {remembered['level']} was applied"
                self._drift("HW-D005", subject, "the compatibility level was changed by hand", why)
            change = Change("compatibility", actual.level, subject.level)
            self.stages.append(Stage("level", subject, reason, (change,)))
        if actual.found is None:
            gone = remembered is not None and remembered.get("fingerprint") == f"{subject.schema.fingerprint:016x}"
            if gone:
                self._drift("HW-D006", subject, "the schema is gone", "it was applied before, and records carry its id")
            reason = "drift" if gone else "contract" if actual.history else "missing"
            change = Change("version", str(len(actual.history) or ""), str(len(actual.history) + 1))
            self.stages.append(Stage("register", subject, reason, (change,)))
        elif actual.history and actual.history[-1].id != actual.found.id:
            newest = actual.history[-1].version
            why = f"version {newest} was registered by somebody else; records go on with version {actual.found.version}"
            self._drift("HW-D007", subject, "the newest version is not that of the files", why)

    def _incompatible(self, subject: Subject, actual: SubjectState, breaks: list[Step]) -> None:
        for step in breaks:
            label = f"version {actual.history[step.earlier].version}"
            message = f"{subject.name} may not take the new {subject.schema.name} at {subject.level}"
            fix = "mend the schema as the reason says, or raise the major version"
            why = step.sentence(label)
            self.refusals.append(Finding("HW-D008", "error", subject.file, 0, 0, subject.id, message, why, fix))

    def table(self, table: Table, missing: tuple[str, ...]) -> None:
        self._prepare(table, missing, "HW-D018", "the table is not as it was applied")

    def source(self, source: Source, missing: tuple[str, ...]) -> None:
        self._prepare(source, missing, "HW-D009", "parts of the outbox are gone")

    def _prepare(self, part: Table | Source, missing: tuple[str, ...], code: str, drifted: str) -> None:
        if missing:
            remembered = self.applied.get(part.id)
            same = remembered is not None and dict(remembered) == dict(part.applied())
            if same:
                self._drift(code, part, drifted, "; ".join(missing))
            reason: Reason = "missing" if remembered is None else "drift" if same else "contract"
            self.stages.append(Stage("prepare", part, reason, steps=missing))

    def runner(self, wanted: RunnerOf, holder: Runner | None) -> None:
        remembered = self.applied.get(wanted.id)
        before: str = wanted.runner
        if remembered is not None:
            before = remembered["runner"]
        elif TOPIC + wanted.topic in self.applied:  # by a version of Headwater whose contracts named none
            before = RUNNER_DEFAULT
        if before != wanted.runner:
            change = Change("runner", before, wanted.runner)
            steps = move_steps(wanted.name, holder or before, wanted.runner, at_work=holder is not None)
            self.stages.append(Stage("move", wanted, "contract", (change,), steps))
        elif holder not in (None, wanted.runner):
            message = f"{wanted.name} is on {holder}, and its contract names {wanted.runner}"
            why = "it was started there by name, or its move is not done yet"
            fix = "; ".join(move_steps(wanted.name, str(holder), wanted.runner, at_work=True)[:2])
            self.drift.append(Finding("HW-P283", "warning", wanted.file, 0, 0, wanted.id, message, why, fix))

    def unwanted(self, names: tuple[str, ...]) -> None:
        for name in names:
            message, why = f"topic {name}: no product asks for it any more", "apply never deletes what holds records"
            fix = "delete it by hand once nobody reads it, or bring its product back"
            self.drift.append(Finding("HW-D014", "info", "mesh.yaml", 0, 0, name, message, why, fix))

    def _drift(self, code: str, resource: Resource, message: str, why: str) -> None:
        fix = "headwater apply puts back what the files say; else write it into the contract"
        self.drift.append(
            Finding(code, "warning", resource.file, 0, 0, resource.id, f"{resource.id}: {message}", why, fix)
        )


def difference(desired: Desired, actual: Actual, applied: Applied) -> Difference:
    """The stages in the order of the resources, levels before schemas."""
    comparison = _Comparison(applied)
    changed: set[str] = set()
    for resource in desired.resources:
        before = len(comparison.stages) + len(comparison.refusals)
        if isinstance(resource, Topic):
            comparison.topic(resource, actual.topics.get(resource.name))
        elif isinstance(resource, Subject):
            comparison.subject(resource, actual.subjects[resource.name])
        elif isinstance(resource, Table):
            comparison.table(resource, actual.tableless[resource.name])
        else:
            comparison.source(resource, actual.missing[resource.name])
        if len(comparison.stages) + len(comparison.refusals) > before:
            changed.add(resource.id)
    for runner in desired.runners:
        comparison.runner(runner, actual.at_work.get(runner.name))
    comparison.unwanted(actual.unwanted)
    return Difference(
        tuple(comparison.stages),
        tuple(comparison.refusals),
        tuple(comparison.drift),
        unchanged=len(desired.resources) - len(changed),
        runners=desired.runners,
    )


def move_steps(product: str, before: str, after: str, *, at_work: bool) -> tuple[str, ...]:
    """What whoever moves a product does, in order, and what becomes of what it has. Nothing is lost by an order that
    is not kept: a runner refuses to start while another one has the product.
    """
    stop = f"stop headwater run on {before}" + (", which has it now" if at_work else ", where it is at work")
    start = f"start headwater run --runner {after}"
    if after == "flink":
        kept = "its first job computes from the first record on, and writes what the product does not hold yet"
    elif before == "flink":
        kept = "its state is made anew from the inputs, and each record held against the topic before it is said"
    else:
        kept = "offsets, state and changelog go on as they are"
    digest = f"headwater processing digest {product} before and after shows that all that was published is there"
    return stop, start, kept, digest


def _settings(wanted: Mapping[str, str], there: Mapping[str, str]) -> tuple[Change, ...]:
    return tuple(Change(name, there.get(name, ""), value) for name, value in wanted.items() if there.get(name) != value)


def _breaks(subject: Subject, actual: SubjectState) -> list[Step]:
    # Judged by the level of the contract, not by the one the registry still has: that is set before the schema.
    if actual.found is not None:
        return []
    return judge(subject.level, [version.schema for version in actual.history], subject.schema)

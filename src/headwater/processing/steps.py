"""A flow as an ordered plan of stages: what each reads, owns and hands on. Describes only; `engine` does.

A stage is one consumer group, one transactional writer and one state per partition. Stage by stage a product's records
become changes (before, after), are handed to the owner of the next key through a rekey topic, folded or joined there,
and numbered and published by the last stage, which alone writes the product's topic. Task p of a stage reads partition
p of each of its inputs and is the only writer of partition p of a product's topic, and of lane p of every partition of
its rekey topic. Internal names come from the names of operators, never from positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from headwater import naming
from headwater.naming import ProductName
from headwater.ports.record import TopicDescription

Runner = Literal["memory", "kafka"]
REKEY_RETENTION_MS = -1  # kept until the runner deletes what its commits have passed: time alone would lose unread rows
TOMBSTONES_KEPT_MS = 86_400_000  # in a changelog, once compaction has come to them; a store is trusted for half of it

FORM_KEY = b"\0form"  # in a changelog, of its state: before the names of all tables


@dataclass(frozen=True, slots=True)
class StageInput:
    """A topic that a stage reads, partition p by task p.

    `kind`: `changes` and `facts` are product topics (records decoded by the caller, marks beside them in the progress
    topic); `exchange` is a rekey topic of the stage before (bytes go to the task as they are, marks in the lanes).
    `lanes` is the number of writers of one partition: 1 for products, the tasks of the stage before for a rekey topic.
    `fields` are the fields of the record that the stage reads. `product` is None for a rekey topic.
    """

    topic: str
    kind: Literal["changes", "facts", "exchange"]
    lanes: int
    fields: tuple[str, ...]
    product: ProductName | None
    major: int
    logic: Any = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class StageOutput:
    """The topic that a stage writes: the product's own, or a rekey topic that the next stage reads."""

    topic: str
    kind: Literal["product", "exchange"]
    partitions: int
    logic: Any = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. `partitions` is its number of tasks: every input has as many.

    `ticks` is false where a product only maps and filters: such a stage has no state (`changelog` is empty) and keeps
    recorded time, revision and order of its only input; the mark it may write is the input's. `form` changes when what
    the state or the stage's rekey topic holds does: state of another form cannot be read, it is rebuilt. `further` are
    the other outputs of a product that has several: the last stage writes them all, in one transaction. `recalled_from`
    are the topics of which it keeps what follows from their records alone, and `recalled` changes with what it makes of
    those before they are kept.
    """

    name: str
    inputs: tuple[StageInput, ...]
    output: StageOutput
    partitions: int
    tick: int
    ticks: bool
    group: str
    changelog: str
    form: str
    logic: Any = field(repr=False, compare=False)
    further: tuple[StageOutput, ...] = ()
    recalled: str = ""
    recalled_from: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[StageOutput, ...]:
        """All that it writes, the first output first."""
        return (self.output, *self.further)


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages of one derived product, in the order a record meets them; `runners` accept it."""

    product: ProductName
    major: int
    stages: tuple[Stage, ...]
    runners: tuple[Runner, ...]


def progress_of(stage_input: StageInput) -> str:
    """The progress topic beside a product input.

    >>> progress_of(StageInput("a.b.v1", "changes", 1, (), ProductName("a", "b"), 1, None))
    'a.b.v1.progress'
    """
    assert stage_input.product is not None
    return naming.progress_topic(stage_input.product, stage_input.major)


def topics_of(stage: Stage) -> list[str]:
    """Every topic that a stage reads: its inputs, and the progress topics beside those that are products."""
    topics = [stage_input.topic for stage_input in stage.inputs]
    return topics + [progress_of(stage_input) for stage_input in stage.inputs if stage_input.product is not None]


def internal_topics(plan: Plan) -> list[TopicDescription]:
    """The rekey and changelog topics that `apply` must create for a plan, in order of their names."""
    topics = []
    for stage in plan.stages:
        if stage.changelog:
            settings = {
                "cleanup.policy": "compact",
                "min.cleanable.dirty.ratio": "0.1",
                "delete.retention.ms": str(TOMBSTONES_KEPT_MS),
            }
            topics.append(TopicDescription(stage.changelog, stage.partitions, settings))
        if stage.output.kind == "exchange":
            settings = {"cleanup.policy": "delete", "retention.ms": str(REKEY_RETENTION_MS), "retention.bytes": "-1"}
            topics.append(TopicDescription(stage.output.topic, stage.output.partitions, settings))
    return sorted(topics, key=lambda topic: topic.name)

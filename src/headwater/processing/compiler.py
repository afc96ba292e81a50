"""A valid flow to a plan: cut into stages where the key changes, columns that nobody reads left out, steps compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from headwater import naming
from headwater.errors import Finding, InvalidFiles
from headwater.processing.branching import own_rows, published, trunk
from headwater.processing.compile_inputs import branches_of, changes_inputs, lies_by
from headwater.processing.field_types import FieldType
from headwater.processing.graph import (
    HIDDEN,
    Filter,
    Graph,
    Map,
    Step,
    stateful,
    step_name,
)
from headwater.processing.kept_types import kept_findings
from headwater.processing.operators.core import RowStep
from headwater.processing.operators.passing import PassSpec
from headwater.processing.operators.publish import BranchSpec, PublishSpec
from headwater.processing.operators.rekey import RekeySpec
from headwater.processing.operators.rows import carried, compile_rows, needed
from headwater.processing.packing import RowForm
from headwater.processing.recalled_logic import recalled_logic
from headwater.processing.step_rules import Given, times_of, types_of
from headwater.processing.steps import Plan, Stage, StageInput, StageOutput
from headwater.processing.stretches import STEP_RULES, Stretch, stretches
from headwater.processing.validation import relate, validate

# How operators lay out what they keep. Raise it with each change of that: a stage then refuses state of another layout
# in words, where it would otherwise misread it.
STATE_LAYOUT = 3


@dataclass(frozen=True)
class Operation:
    """One operator of a stage, and what is done row by row to what it gives; `picks` where that is to pick columns.

    `rows` are what `step` was compiled from: steps over columns `given`, to those `wanted`, each with its type.
    """

    spec: Any
    step: RowStep | None
    picks: bool = False
    rows: tuple[Map | Filter, ...] = ()
    given: Mapping[str, FieldType] = field(default_factory=dict)
    wanted: Mapping[str, FieldType] = field(default_factory=dict)


@dataclass(frozen=True)
class StageLogic:
    """What a stage that ticks does with changes, in order."""

    operations: tuple[Operation, ...]


def compile_plan(graph: Graph, *, tick: int) -> Plan:
    """The plan of a flow; `tick` in microseconds. Raises `InvalidFiles` with all findings of a flow that cannot run."""
    findings = validate(graph)
    if findings:
        raise InvalidFiles(findings)
    parts = stretches(graph)
    output = graph.output
    stages = _Stages(graph, tick)
    if not stateful(graph.root):
        stages.pass_on(parts[0])
    else:
        stages.tick_through(parts)
    if stages.unkept:
        raise InvalidFiles(list(stages.unkept.values()))
    return Plan(output.product, output.major, tuple(stages.done), ("memory", "kafka"))


class _Stages:
    """Stages in the making: the open one's inputs, operations and the columns its rows are kept by."""

    def __init__(self, graph: Graph, tick: int) -> None:
        self._graph = graph
        self._tick = tick
        self._source = branches_of(graph)[0].port
        self._steps: list[Step | None] = []
        self.done: list[Stage] = []
        self._inputs: list[StageInput] = []
        self._operations: list[Operation] = []
        self._name = ""
        self._forms: list[str] = []
        # By which columns rows lie in which of how many partitions now.
        self._kept_by, self._partitions = lies_by(graph)
        # By names, the columns that something would keep and cannot.
        self.unkept: dict[str, Finding] = {}

    def pass_on(self, part: Stretch) -> None:
        """The only stage of a product that only maps and filters."""
        source = self._source
        outputs = [self._output(one, self._passed(one)) for one in self._graph.outputs]
        fields = tuple(sorted({*part.given, *HIDDEN, *times_of(source)}))
        entry = StageInput(source.topic, "changes", 1, fields, source.product, source.major, outputs[0].logic)
        self._inputs, self._name = [entry], "map"
        self._close(*outputs, ticks=False)

    def _passed(self, graph: Graph) -> PassSpec:
        steps, wanted = own_rows(graph), published(graph)
        given = needed(steps, wanted)
        return PassSpec(
            self._source.shape,
            given,
            compile_rows(steps, given, wanted),
            compile_rows([step for step in steps if isinstance(step, Map)], given, wanted),
            wanted,
            _conversions(graph),
            graph.output.accept_late,
            self._source.shape == "fact" and not self._source.grid,
            steps,
            tuple(self._source.fields[name] for name in given),
            types_of(relate(graph, graph.root), wanted),
        )

    def tick_through(self, parts: Sequence[Stretch]) -> None:
        """The stages of a product that does more than map and filter one input."""
        self._steps = [part.step for part in parts]
        self._read_inputs(parts[0], parts[1].line if len(parts) > 1 else parts[0].line)
        for before, part in pairwise(parts):
            assert part.step is not None
            for step in before.rows:
                self._kept_by = carried(self._kept_by, step)
            home = STEP_RULES[type(part.step)].home
            if home is not None and (needs := home(self._graph, part.step)) != (self._kept_by, self._partitions):
                self._hand_over(before, *needs, part.line)
            self._operate(before, part)
        for step in parts[-1].rows:
            self._kept_by = carried(self._kept_by, step)
        output, graph = self._graph.output, self._graph
        key = relate(graph, parts[-1].last).key if graph.further else output.key
        if (key, output.partitions) != (self._kept_by, self._partitions):
            self._hand_over(parts[-1], key, output.partitions, parts[-1].line)
        if graph.further:
            self._forms.append("outputs: " + " ".join(_table(one) for one in graph.outputs))
            branches = [self._branch(one, parts[-1].wanted) for one in graph.outputs]
            self._close(*branches, ticks=True)
        else:
            self._close(self._output(graph, _publish(graph)), ticks=True)

    def _branch(self, graph: Graph, given: tuple[str, ...]) -> StageOutput:
        """One of several outputs, made of the columns that the trunk gives."""
        steps, wanted = own_rows(graph), published(graph)
        columns = dict(zip(given, types_of(relate(self._graph, trunk(graph)), given), strict=True))
        made = dict(zip(wanted, types_of(relate(graph, graph.root), wanted), strict=True))
        spec = BranchSpec(compile_rows(steps, given, wanted), _publish(graph), steps, columns, made)
        return self._output(graph, spec)

    def _output(self, graph: Graph, logic: Any) -> StageOutput:
        return StageOutput(graph.output.topic, "product", graph.output.partitions, logic)

    def _read_inputs(self, part: Stretch, line: int) -> None:
        for entry, form in changes_inputs(self._graph, part.rows, part.wanted, part.last):
            if entry.logic.kept:
                self._keep(line, zip(part.wanted, entry.logic.types, strict=True))
            self._inputs.append(entry)
            self._forms.append(form)

    def _operate(self, before: Stretch, part: Stretch) -> None:
        step = part.step
        assert step is not None
        given = Given(step_name(self._graph, step), relate(self._graph, before.last), before.wanted, part.given)
        made = STEP_RULES[type(step)].made(self._graph, step, given)
        self._keep(part.line, made.keeps)
        self._inputs.extend(made.inputs)
        self._forms.append(made.form)
        columns = dict(zip(part.given, types_of(relate(self._graph, step), part.given), strict=True))
        wanted = dict(zip(part.wanted, types_of(relate(self._graph, part.last), part.wanted), strict=True))
        self._operations.append(Operation(made.spec, part.compiled(), not part.rows, part.rows, columns, wanted))
        self._name = given.name or self._name

    def _keep(self, line: int, columns: Iterable[tuple[str, FieldType]]) -> None:
        self.unkept = {**kept_findings(self._graph, line, columns), **self.unkept}

    def _hand_over(self, part: Stretch, key: tuple[str, ...], partitions: int, line: int) -> None:
        """End the open stage with a rekey, and begin the next one with what it hands over."""
        types = types_of(relate(self._graph, part.last), part.wanted)
        self._keep(line, zip(part.wanted, types, strict=True))
        output, name = self._graph.output, self._name or "changes"
        topic = naming.rekey_topic(output.product, output.major, name)
        rekey = RekeySpec(part.wanted, types, key, partitions)
        lanes = self._partitions
        self._close(StageOutput(topic, "exchange", partitions, rekey), ticks=True)
        form = RowForm(types)
        self._inputs = [StageInput(topic, "exchange", lanes, (), None, output.major, form)]
        self._forms.append(f"exchange:{part.wanted}:{types}")
        self._kept_by, self._partitions = key, partitions

    def _close(self, output: StageOutput, *further: StageOutput, ticks: bool) -> None:
        name = self._name or ("changes" if output.kind == "exchange" else "publish")
        product, major = self._graph.output.product, self._graph.output.major
        recalled = recalled_logic(self._inputs, [operation.spec for operation in self._operations], self._steps)
        form = hashlib.sha256("\n".join([f"layout {STATE_LAYOUT}", *self._forms]).encode()).hexdigest()[:16]
        self.done.append(
            Stage(
                name=name,
                inputs=tuple(self._inputs),
                output=output,
                partitions=self._partitions,
                tick=self._tick,
                ticks=ticks,
                group=naming.group(product, major, name),
                changelog=naming.changelog_topic(product, major, name) if ticks else "",
                form=form,
                logic=StageLogic(tuple(self._operations)),
                further=further,
                recalled=recalled.text if recalled.topics else "",
                recalled_from=recalled.topics,
            )
        )
        self._inputs, self._operations, self._name, self._forms = [], [], "", []


def _table(graph: Graph) -> str:
    """The table of an output's revisions."""
    output = graph.output.product.output
    return f"publish.{output}" if output else "publish"


def _publish(graph: Graph) -> PublishSpec:
    given = relate(graph, graph.root)
    conversions = _conversions(graph)
    return PublishSpec(
        _table(graph), graph.output.shape, published(graph), conversions, given.pieces, moving=given.moving
    )


def _conversions(graph: Graph) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    given = relate(graph, graph.root).fields
    return tuple(
        (name, float)
        for name, wanted in graph.output.columns().items()
        if wanted.kind == "double" and given[name].kind == "integer"
    )

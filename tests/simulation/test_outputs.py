"""A product with several outputs is as many products with one: the same records, byte for byte, and the same marks."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headwater.errors import Fault
from headwater.naming import topic
from headwater.processing.chain import Chain
from headwater.processing.engine import PassTask, StageTask
from headwater.processing.expressions import col, when
from headwater.processing.flow import Stream
from headwater.processing.graph import Port
from headwater.processing.operators.publish import Branch
from headwater.processing.runners.memory import MemoryRunner
from headwater.processing.work import Said
from headwater.testing.conformance.runner_cases import (
    AGGREGATE,
    DEPARTURES,
    FACT_JOIN,
    JOIN,
    OWN_KEY,
    TICK,
    Case,
    Histories,
)
from headwater.testing.harness import plan_of, product

Flow = Callable[..., Mapping[str, Stream]]


@dataclass(frozen=True)
class Several:
    """A flow with several outputs: from the inputs' streams to the stream of each."""

    name: str
    inputs: tuple[Port, ...]
    outputs: Mapping[str, Port]
    flow: Flow
    histories: st.SearchStrategy[Histories]


def further(port: Port, name: str, **fields: Any) -> Port:
    """Another output of a product, with other fields where they are said."""
    own = port.product.of_output(name)
    made = port if not fields else product("a.b", shape=port.shape, key=fields.pop("key", port.key), fields=fields)
    return replace(made, product=own, topic=topic(own, port.major))


def worst(facts: Stream) -> Stream:
    return facts.filter(col("worst") > 0).map(alarm=when(col("known") > 1).then("loud").otherwise("low"))


WORST = {"origin": "string", "worst": ["null", "long"], "alarm": "string"}


def of_case(case: Case, other: Port, own: Callable[[Stream], Stream]) -> Several:
    """A case with its own output, and another made of it."""

    def flow(*streams: Stream) -> Mapping[str, Stream]:
        made = case.flow(*streams)
        return {"facts": made, "other": own(made)}

    return Several(case.name, case.inputs, {"facts": case.output, "other": other}, flow, case.histories)


def passed(stream: Stream) -> Mapping[str, Stream]:
    return {
        "late": stream.filter(col("delay") > 0),
        "named": stream.filter(col("tailnum").is_not_null()).map(delay=col("delay").coalesce(0) * 2),
        "all": stream,
    }


def joined(case: Case) -> Flow:
    def flow(*streams: Stream) -> Mapping[str, Stream]:
        made = case.flow(*streams)
        return {"windy": made.filter(col("wind") > 0), "calm": made.filter(~(col("wind") > 0).coalesce(False))}

    return flow


MOVED = product(
    "a.b", shape="fact", key=["airport"], fields={"airport": "string", "flights": "long", "worst": ["null", "long"]}
)


def renamed(facts: Stream) -> Stream:
    """An output whose key has another name."""
    return facts.select("flights", "worst", airport=col("origin"))


SEVERAL = [
    of_case(AGGREGATE, further(AGGREGATE.output, "other", **WORST), worst),
    of_case(
        replace(AGGREGATE, name="a key of another name"),
        replace(MOVED, product=AGGREGATE.output.product.of_output("other"), topic="airports.punctuality.other.v1"),
        renamed,
    ),
    of_case(OWN_KEY, further(OWN_KEY.output, "other"), lambda facts: facts.filter(col("flights") > 1)),
    Several(
        "joins to two outputs",
        JOIN.inputs,
        {"windy": JOIN.output, "calm": further(JOIN.output, "calm")},
        joined(JOIN),
        JOIN.histories,
    ),
    of_case(FACT_JOIN, further(FACT_JOIN.output, "other"), lambda facts: facts.filter(col("wind").is_not_null())),
    Several(
        "only maps and filters",
        (DEPARTURES,),
        {name: further(DEPARTURES, name) for name in ("late", "named", "all")},
        passed,
        AGGREGATE.histories,
    ),
]


@dataclass
class Run:
    """How a run is cut and disturbed; nothing of it may be seen in any output."""

    partitions: int
    batch: int
    seed: int
    crashes: bool


RUNS = st.builds(
    Run,
    partitions=st.sampled_from([2, 5]),
    batch=st.sampled_from([1, 7, 500]),
    seed=st.integers(0, 10_000),
    crashes=st.booleans(),
)


def parted(port: Port, partitions: int) -> Port:
    return replace(port, partitions=partitions)


def runner_of(
    several: Several,
    names: Sequence[str],
    histories: Histories,
    run: Run,
    made: Callable[..., MemoryRunner] = MemoryRunner,
) -> MemoryRunner:
    """A run of the outputs of these names: of several as they are, of one as a product with that output alone."""
    chance = random.Random(run.seed)
    outputs = {name: parted(several.outputs[name], run.partitions) for name in names}
    inputs = [parted(port, run.partitions) for port in several.inputs]
    flow: Callable[..., Any] = several.flow
    if len(names) == 1:
        (alone,) = names
        (output,) = outputs.values()
        plan = plan_of(lambda *streams: flow(*streams)[alone], inputs, output, tick=TICK)
    else:
        plan = plan_of(flow, inputs, outputs, tick=TICK)
    runner = made(plan, batch=run.batch, choose=chance.randrange)
    if run.crashes:
        runner.crash = lambda: chance.random() < 0.3
    for port in several.inputs:
        for record in histories[port.topic]:
            runner.write(port.topic, [record[name] for name in port.key], record)
    if run.crashes:
        runner.run()
    for port in several.inputs:
        runner.mark(port.topic, 100_000)
    runner.run()
    return runner


def told(runner: MemoryRunner, topic_name: str) -> list[tuple[list[Any], int | None]]:
    """Each partition of an output: its records in order, to the byte, and the last mark."""
    return [
        (
            [(entry.key, list(entry.record.items())) for entry in entries if entry.record is not None],
            max((entry.through for entry in entries if entry.through is not None), default=None),
        )
        for entries in runner.topics[topic_name]
    ]


def settled(runner: MemoryRunner, topics: Sequence[str]) -> None:
    """A commit is in all outputs or in none: each says what the others do of how far it is settled."""
    marks = [
        [[entry.through for entry in entries if entry.through is not None] for entries in runner.topics[name]]
        for name in topics
    ]
    assert all(one == marks[0] for one in marks)


def same(
    several: Several, histories: Histories, run: Run, made: Callable[..., MemoryRunner] = MemoryRunner
) -> MemoryRunner:
    """The run of all outputs together, made so; raises where one of them is not what it is alone."""
    names = list(several.outputs)
    together = runner_of(several, names, histories, run, made)
    topics = [port.topic for port in several.outputs.values()]
    settled(together, topics)
    for name, port in several.outputs.items():
        alone = runner_of(several, [name], histories, replace(run, crashes=False))
        assert told(together, port.topic) == told(alone, port.topic)
    return together


@pytest.mark.parametrize("several", SEVERAL, ids=[one.name for one in SEVERAL])
def test_each_output_says_what_a_product_with_it_alone_would(several: Several) -> None:
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(several.histories, RUNS)
    def holds(histories: Histories, run: Run) -> None:
        same(several, histories, run)

    holds()


def leave_out_the_other_output(patch: pytest.MonkeyPatch) -> None:
    """As if it were outside the transaction, and lost with a crash between the two."""
    whole, count = StageTask.commit, [0]

    def commit(self: StageTask) -> Any:
        made = whole(self)
        if made is None or not any(one.records for one in made.said[1:]):
            return made
        count[0] += 1
        return replace(made, said=[made.said[0], *(Said() for _ in made.said[1:])]) if count[0] % 2 else made

    patch.setattr(StageTask, "commit", commit)


def number_all_outputs_together(patch: pytest.MonkeyPatch) -> None:
    whole = Branch.__init__

    def start(self: Branch, spec: Any, overlay: Any) -> None:
        whole(self, replace(spec, publish=replace(spec.publish, name="publish")), overlay)

    patch.setattr(Branch, "__init__", start)


def give_all_the_first_filter(patch: pytest.MonkeyPatch) -> None:
    whole = Chain.__init__

    def start(self: Chain, stage: Any, *rest: Any) -> None:
        whole(self, stage, *rest)
        for branch in self.branches[1:]:
            branch._step = stage.output.logic.step

    patch.setattr(Chain, "__init__", start)


def pass_all_by_the_first(patch: pytest.MonkeyPatch) -> None:
    whole = PassTask.__init__

    def start(self: PassTask, stage: Any) -> None:
        whole(self, stage)
        self._passing = [self._passing[0] for _ in self._passing]

    patch.setattr(PassTask, "__init__", start)


MUTANTS = [
    (leave_out_the_other_output, SEVERAL[0]),
    (number_all_outputs_together, SEVERAL[0]),
    (give_all_the_first_filter, SEVERAL[3]),
    (pass_all_by_the_first, SEVERAL[5]),
]


@pytest.mark.parametrize(("break_it", "several"), MUTANTS, ids=[one.__name__ for one, _ in MUTANTS])
def test_a_broken_rule_turns_it_red(
    break_it: Callable[[pytest.MonkeyPatch], None], several: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    @settings(
        max_examples=30,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(several.histories, RUNS)
    def holds(histories: Histories, run: Run) -> None:
        same(several, histories, run)

    break_it(monkeypatch)
    with pytest.raises((AssertionError, Fault)):
        holds()

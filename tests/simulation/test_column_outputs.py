"""Products with several outputs as columns against the row road: to each the same bytes, in the same order, whatever is
cut; and each says what a product with it alone would.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.simulation import test_column_explode, test_column_joins, test_column_pass, test_column_within, test_recall
from tests.simulation.column_runner import ColumnRunner, every_batch
from tests.simulation.column_runner import _schema as schema_of
from tests.simulation.roads import Log, Logs, compared
from tests.simulation.test_column_changes import EVENTS, amended
from tests.simulation.test_column_explode import ORDERS as CARTS
from tests.simulation.test_column_explode import histories as carts
from tests.simulation.test_column_join import FACTS, ORDERS, RIGHT, TICK, facts, plain
from tests.simulation.test_column_joins import moved
from tests.simulation.test_column_pass import BOTH
from tests.simulation.test_outputs import RUNS, SEVERAL, Run, Several, further, same
from tests.simulation.test_recall import LEFT, OTHERS, PAYMENTS, near

from headwater.errors import Fault
from headwater.processing import column_branches, column_changed, column_order, columns, recollection
from headwater.processing.column_branches import ColumnBranches, Numbers
from headwater.processing.column_ends import ColumnPublish, Delta
from headwater.processing.column_intake import Ended
from headwater.processing.column_pass import ColumnPass
from headwater.processing.column_pieces import Pieces
from headwater.processing.columns import reads_columns, takes_columns
from headwater.processing.expressions import col, when
from headwater.processing.flow import Stream, average, count, maximum, total
from headwater.processing.steps import Stage
from headwater.processing.windows import hopping, session, tumbling, whole
from headwater.processing.work import Said
from headwater.testing.harness import plan_of, product

SCHEMAS = {**test_column_joins.ALL, **test_column_explode.SCHEMAS}
GRADE, NUMBER = {"k": "string", "grade": ["null", "string"]}, {"k": "string", "n": "long"}
SUM, PAIR = {"k": "string", "m": "long"}, {"k": "string", "n": "long", "paid": "long"}
PART, SIZE = {"k": "string", "article": "string", "n": "long"}, {"k": "string", "size": ["null", "long"]}


def passed(rows: Stream) -> Mapping[str, Stream]:
    """By filters of each, one of which reads what the others do not."""
    return {
        "made": rows.filter(col("n") > 0).map(m=col("n") - 1).filter(col("m") < 3),
        "all": rows,
        "noted": rows.filter(col("note").is_not_null()).map(m=col("n") * 3),
    }


def graded(rows: Stream, grades: Stream) -> Mapping[str, Stream]:
    """Facts move rows from output to output, and sums that 64 bits may not hold are those of one."""
    made = plain(rows, grades)
    return {
        "good": made.filter(col("grade") == "x"),
        "other": made.filter((col("grade") != "x") | col("grade").is_null()),
        "sums": made.filter(col("n") != 1).map(m=col("n") + col("at").coalesce(0)),
    }


def paired(rows: Stream, payments: Stream) -> Mapping[str, Stream]:
    made = near(rows, payments)
    return {"all": made, "sums": made.filter(col("paid") > -7).map(m=col("n") + col("paid"))}


def parted(orders: Stream) -> Mapping[str, Stream]:
    made = orders.explode("lines")
    return {"parts": made.filter(col("n") != 1), "sizes": made}


def summed(rows: Stream) -> Mapping[str, Stream]:
    """Sums of hours, of which one output says those of some values, and one less than changes."""
    made = rows.filter(col("n") != 1).aggregate(by=["k"], window=tumbling("20us"), events=count(), n=total("n"))
    return {
        "many": made.filter(col("n") > 2).map(m=col("n") * 3).select("k", "m"),
        "all": made.select("k", "n"),
        "full": made.map(m=when(col("events") > 2).then(1).otherwise(0)).select("k", "m"),
    }


def measured(rows: Stream) -> Mapping[str, Stream]:
    """Of cells of which something goes by rows, with all that is said of them."""
    made = rows.aggregate(by=["k"], window=hopping("20us", every="10us"), m=maximum("n"), mean=average("n"))
    return {"most": made.select("k", "m"), "means": made.filter(col("m") > 0).select("k", "mean")}


def states(rows: Stream) -> Mapping[str, Stream]:
    """What a filter leaves out of one output goes from it, and may come back over the same interval."""
    made = rows.filter(col("n") != 1).select("k", "n", "note").latest(by=["k"])
    return {"all": made, "some": made.filter(col("n") > 2), "noted": made.filter(col("note").is_not_null())}


def sessions(rows: Stream) -> Mapping[str, Stream]:
    """Of sessions that grow, merge and part some are left out of one output."""
    made = rows.aggregate(by=["k"], window=session("7us"), events=count(), n=total("n"))
    long = made.filter(col("events") > 1)
    return {"many": long.map(m=col("n") * 3).select("k", "m"), "all": made.select("k", "n")}


def graded_sums(rows: Stream, grades: Stream) -> Mapping[str, Stream]:
    """What a fold behind a join gives."""
    made = plain(rows, grades).aggregate(by=["k"], window=tumbling("20us"), events=count("grade"), n=total("n"))
    return {"all": made.select("k", "n"), "some": made.filter(col("events") > 1).select("k", "n")}


def elements(orders: Stream) -> Mapping[str, Stream]:
    made = orders.explode("lines").aggregate(by=["k"], window=whole(), n=total("n"), m=count())
    return {"sums": made.filter(col("m") > 2).select("k", "n"), "counts": made.select("k", "m")}


def of(flow: Callable[..., Any], inputs: Sequence[Any], lanes: int = 1, shape: Any = "event", **fields: Any) -> Any:
    """The stages of a flow with outputs of these fields, of one partition but for the first input's."""
    first, *rest = [replace(one, partitions=1) for one in inputs]
    (name, own), *others = fields.items()
    port = replace(product("a.b", shape=shape, key=["k"], fields=own), partitions=1)
    outputs = {name: port} | {name: replace(further(port, name, **own), partitions=1) for name, own in others}
    return plan_of(flow, [replace(first, partitions=lanes), *rest], outputs, tick=TICK).stages


TOTAL = {"k": "string", "n": ["null", "long"]}
MOST, MEAN = {"k": "string", "m": ["null", "long"]}, {"k": "string", "mean": ["null", "double"]}
SUMMED = {"many": MOST, "all": TOTAL, "full": SUM}
HELD = {"all": NUMBER, "some": NUMBER, "noted": {"k": "string", "note": ["null", "string"]}}
PASSED = {"made": SUM, "all": NUMBER, "noted": SUM}
JOINED = {"good": GRADE, "other": GRADE, "sums": SUM}
STAGES: dict[str, Stage] = {
    "events passed": of(passed, BOTH[:1], **PASSED)[0],
    "facts passed": of(passed, BOTH[1:], shape="fact", **PASSED)[0],
    "joined": of(graded, [EVENTS, FACTS], **JOINED)[0],
    "joined, never corrected": of(graded, [ORDERS, FACTS], **JOINED)[0],
    "paired": of(paired, [EVENTS, PAYMENTS], all=PAIR, sums=SUM)[0],
    "parts": of(parted, [CARTS], parts=PART, sizes=SIZE)[0],
    "summed": of(summed, [EVENTS], shape="fact", **SUMMED)[0],
    "summed, never corrected": of(summed, [ORDERS], shape="fact", **SUMMED)[0],
    "measured": of(measured, [EVENTS], shape="fact", most=MOST, means=MEAN)[0],
    "measured, never corrected": of(measured, [ORDERS], shape="fact", most=MOST, means=MEAN)[0],
    "states": of(states, [EVENTS], shape="fact", **HELD)[0],
    "states, never corrected": of(states, [ORDERS], shape="fact", **HELD)[0],
    "sessions": of(sessions, [EVENTS], shape="fact", many=MOST, all=TOTAL)[0],
    "sessions, never corrected": of(sessions, [ORDERS], shape="fact", many=MOST, all=TOTAL)[0],
    "joined and summed": of(graded_sums, [EVENTS, FACTS], shape="fact", all=TOTAL, some=TOTAL)[0],
    "parts summed": of(elements, [CARTS], shape="fact", sums=TOTAL, counts=SUM)[0],
}
MOVED: dict[str, Sequence[Stage]] = {
    "joined behind a rekey": of(graded, [EVENTS, FACTS], 3, **JOINED),
    "joined behind a rekey, never corrected": of(graded, [ORDERS, FACTS], 3, **JOINED),
    "parts behind a rekey": of(parted, [CARTS], 3, parts=PART, sizes=SIZE),
    "summed behind a rekey": of(summed, [EVENTS], 3, shape="fact", **SUMMED),
    "summed behind a rekey, never corrected": of(summed, [ORDERS], 3, shape="fact", **SUMMED),
    "states behind a rekey": of(states, [EVENTS], 3, shape="fact", **HELD),
    "sessions behind a rekey": of(sessions, [EVENTS], 3, shape="fact", many=MOST, all=TOTAL),
    "measured behind a rekey": of(measured, [EVENTS], 3, shape="fact", most=MOST, means=MEAN),
}


def alike(name: str, stage: Stage, logs: Logs, seed: int) -> int:
    """How many records went as columns; raises where the two roads differ."""
    with every_batch():
        return compared(stage, logs, test_column_pass.COLUMNS if name.endswith("passed") else SCHEMAS, seed)


def histories(name: str) -> st.SearchStrategy[Logs]:
    if name.endswith("passed"):
        [topic] = [entry.topic for entry in STAGES[name].inputs]
        return st.fixed_dictionaries({topic: test_column_pass.logs(topic)})
    if name.startswith("parts"):
        return st.fixed_dictionaries({CARTS.topic: carts()})
    left = amended().map(test_column_joins.never_corrected) if "never" in name else amended()
    if name == "paired":
        return st.fixed_dictionaries({LEFT: left, OTHERS: amended()})
    return st.fixed_dictionaries({LEFT: left, RIGHT: facts()} if "joined" in name else {LEFT: left})


@pytest.mark.parametrize("name", STAGES)
@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_to_each_output_under_any_cut_and_crash(
    name: str, data: st.DataObject, seed: int
) -> None:
    alike(name, STAGES[name], data.draw(histories(name)), seed)


@pytest.mark.parametrize("name", MOVED)
@settings(max_examples=12, deadline=None)
@given(data=st.data(), seed=st.integers(0, 1 << 30))
def test_what_was_handed_over_is_said_alike(name: str, data: st.DataObject, seed: int) -> None:
    stages, logs = MOVED[name], data.draw(histories(name))
    alike(name, stages[1], handed_over(stages, logs, seed), seed)


def handed_over(stages: Sequence[Stage], logs: Logs, seed: int) -> Logs:
    """What the second stage reads of these."""
    with every_batch():
        found = moved(stages, logs[stages[0].inputs[0].topic], seed, logs.get(RIGHT, ()))
    return {entry.topic: found[entry.topic] for entry in stages[1].inputs}


def in_their_order() -> Log:
    """Events that come each after the one before; now and then the newest goes, and later another has its instant."""
    chance = random.Random(5)
    log, newest = list[tuple[bytes | None, Any]](), dict[str, dict[str, Any]]()
    for number in range(400):
        key, at = f"k{chance.randrange(30)}", number * 3
        said = {"recorded_at": at, "kind": "assert", "revision": 1, "event_id": f"e{number}", "k": key, "ok": True}
        said |= {"occurred_at": at, "n": chance.randrange(5), "note": chance.choice([None, "x", "y"])}
        before = newest.get(key)
        if before is not None and number % 7 == 0:
            if before["kind"] == "assert":
                said = {**before, "recorded_at": at, "kind": "retract", "revision": 2}
            else:
                said["occurred_at"] = before["occurred_at"]
        newest[key] = said
        log.append((key.encode(), said))
    return [*log, (None, 10_000)]


def busy(name: str) -> tuple[Stage, Logs]:
    """A long history of which few rows are corrected or go."""
    if name.endswith("passed"):
        return STAGES[name], test_column_pass.plain(STAGES[name])
    if name in ("parts", "parts summed"):
        return STAGES[name], test_column_explode.busy("parts")
    if name.startswith("parts"):
        return MOVED[name][1], handed_over(MOVED[name], test_column_explode.busy("parts"), 5)
    if name == "paired":
        return STAGES[name], test_column_within.busy("near")
    logs = long_logs(name, ordered=name.startswith(("states", "sessions")))
    return (MOVED[name][1], handed_over(MOVED[name], logs, 5)) if name in MOVED else (STAGES[name], logs)


def long_logs(name: str, *, ordered: bool) -> Logs:
    """Events, and of what is joined facts too, of which some are corrected, or which come in their order."""
    logs = test_column_joins.busy()
    left = in_their_order() if ordered else logs[LEFT]
    left = test_column_joins.never_corrected(left) if "never" in name else left
    return {LEFT: left, RIGHT: logs[RIGHT]} if "joined" in name else {LEFT: left}


@pytest.mark.parametrize("name", [*STAGES, *MOVED])
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    stage, logs = busy(name)
    assert takes_columns(stage)
    assert alike(name, stage, logs, 5) > 250


def test_one_output_that_columns_cannot_make_sends_all_by_rows() -> None:
    def halved(rows: Stream) -> Mapping[str, Stream]:
        return {"all": rows, "half": rows.map(m=(col("n") / 2).coalesce(0.0))}

    half = {"k": "string", "m": "double"}
    assert not reads_columns(of(halved, BOTH[:1], all=NUMBER, half=half)[0])

    def joined(rows: Stream, grades: Stream) -> Mapping[str, Stream]:
        return halved(plain(rows, grades))

    assert not reads_columns(of(joined, [EVENTS, FACTS], all=NUMBER, half=half)[0])
    assert reads_columns(STAGES["joined"])


def test_what_is_remembered_comes_back_from_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recollection, "LEAST_ROWS", 4)
    stage, logs = busy("joined")
    assert stage.recalled_from == tuple(logs)
    with every_batch(4):
        assert test_recall.hold(stage, logs, 7, columnar=True) > 2


@pytest.mark.parametrize("several", SEVERAL, ids=[one.name for one in SEVERAL])
def test_each_output_says_as_columns_what_a_product_with_it_alone_would(several: Several) -> None:
    columnar: Counter[str] = Counter()
    made = partial(ColumnRunner, schemas={port.topic: schema_of(port) for port in several.inputs})

    @settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(several.histories, RUNS)
    def holds(histories: Any, run: Run) -> None:
        with every_batch():
            runner = same(several, histories, run, made)
        assert isinstance(runner, ColumnRunner)
        columnar.update(runner.columnar)

    holds()
    plan = plan_of(several.flow, several.inputs, several.outputs, tick=TICK)
    assert all(columnar[stage.name] for stage in plan.stages if takes_columns(stage))
    assert takes_columns(plan.stages[-1])


# Saboteurs: each breaks what is said of several outputs in one place, and the comparison must see it.


def _says_nothing_to_the_others(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnBranches.__call__
    patch.setattr(ColumnBranches, "__call__", lambda self, delta: whole(self, delta)._replace(further=()))


def _steps_as_the_first(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnBranches.__init__

    def made(self: Any, stage: Stage, *more: Any, **options: Any) -> None:
        whole(self, stage, *more, **options)
        self._branches = [(self._branches[0][0], publish) for _, publish in self._branches]

    patch.setattr(ColumnBranches, "__init__", made)


def _numbers_all_together(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnBranches.__init__

    def made(self: Any, stage: Stage, branches: Any, **options: Any) -> None:
        for branch in branches[1:]:
            branch.publish.revisions = branches[0].publish.revisions
        whole(self, stage, branches, **options)

    patch.setattr(ColumnBranches, "__init__", made)


def _forgets_what_changes_of_the_others(patch: pytest.MonkeyPatch) -> None:
    def said(self: Any, delta: Delta) -> Ended:
        first, *further = [publish(steps(delta)) for steps, publish in self._branches[:1]]
        new = Delta(delta.new, {})
        return first._replace(further=[publish(steps(new)) for steps, publish in self._branches[1:]] or further)

    patch.setattr(ColumnBranches, "__call__", said)


def _believes_what_was_handed_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_branches, "ColumnPublish", lambda *some, promised: ColumnPublish(*some, promised=True))


def _writes_records_before_what_was_said(patch: pytest.MonkeyPatch) -> None:
    def add(self: Said, records: Any) -> None:
        self.records += records

    patch.setattr(Said, "add", add)


def _passes_all_by_the_first(patch: pytest.MonkeyPatch) -> None:
    whole = columns.column_pass
    patch.setattr(columns, "column_pass", lambda stage: whole(stage)[:1] * len(stage.outputs))


def _numbers_each_batch_from_one(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_branches, "known_numbers", lambda table, keys: np.zeros(len(keys), np.int64))


def _forgets_numbers(patch: pytest.MonkeyPatch) -> None:
    whole = Numbers._numbered

    def numbered(self: Any, *some: Any) -> Any:
        puts = self._publish.revisions.put_many
        self._publish.revisions.put_many = lambda keys, values: None
        made = whole(self, *some)
        self._publish.revisions.put_many = puts
        return made

    patch.setattr(Numbers, "_numbered", numbered)


def _takes_no_number_for_nothing_said(patch: pytest.MonkeyPatch) -> None:
    whole = Numbers._numbered

    def numbered(self: Any, keys: Any, fresh: Any, comes: Any) -> Any:
        return whole(self, keys, np.ones(len(fresh), bool), comes)[0], fresh

    patch.setattr(Numbers, "_numbered", numbered)


def _corrects_what_was_never_said(patch: pytest.MonkeyPatch) -> None:
    """What a filter lets through at last is taken for a correction."""
    patch.setattr(column_order, "KINDS", pa.array(["correct", "correct", "retract"]))


def _says_what_stays_the_same(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_changed, "_without_repeats", lambda rows: rows)


def _says_what_goes_by_rows_last(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_branches, "in_order", lambda made, said, moving: Ended(None, [*made.records(), *said]))


def _forgets_that_nothing_holds(patch: pytest.MonkeyPatch) -> None:
    """Of pieces: the number of a retract is kept as that of what holds."""
    whole = Numbers._numbered

    def numbered(self: Any, *some: Any) -> Any:
        table = self._publish.revisions
        puts = table.put_many
        table.put_many = lambda keys, values: puts(keys, [abs(value) for value in values])
        made = whole(self, *some)
        table.put_many = puts
        return made

    patch.setattr(Numbers, "_numbered", numbered)


def _numbers_pieces_as_others(patch: pytest.MonkeyPatch) -> None:
    whole = Numbers.__init__

    def made(self: Any, spec: Any, *more: Any) -> None:
        whole(self, replace(spec, pieces=False), *more)

    patch.setattr(Numbers, "__init__", made)


def _forgets_what_held(patch: pytest.MonkeyPatch) -> None:
    whole = Pieces.changed
    patch.setattr(Pieces, "changed", lambda self, names: whole(self, names).coming())


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("states", _forgets_that_nothing_holds),
        ("states", _numbers_pieces_as_others),
        ("states", _forgets_what_held),
        ("summed", _numbers_each_batch_from_one),
        ("summed", _forgets_numbers),
        ("summed", _takes_no_number_for_nothing_said),
        ("summed", _corrects_what_was_never_said),
        ("summed", _says_what_stays_the_same),
        ("sessions", _numbers_each_batch_from_one),
        ("measured", _says_what_goes_by_rows_last),
        ("joined", _says_nothing_to_the_others),
        ("joined", _steps_as_the_first),
        ("joined", _numbers_all_together),
        ("paired", _forgets_what_changes_of_the_others),
        ("parts behind a rekey", _believes_what_was_handed_over),
        ("events passed", _passes_all_by_the_first),
        ("facts passed", _passes_all_by_the_first),
    ],
)
def test_broken_outputs_are_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: Any) -> None:
    stage, logs = busy(name)
    broken(monkeypatch)
    with pytest.raises((AssertionError, Fault)):
        alike(name, stage, logs, 5)


def _refuses_for_one_alone(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnPass.__call__

    def passes(self: Any, block: Any, last: int) -> Any:
        return whole(self, block if self._accept_late is None else block.slice(0, 1), last)

    patch.setattr(ColumnPass, "__call__", passes)


@pytest.mark.parametrize("broken", [_refuses_for_one_alone, _writes_records_before_what_was_said])
def test_a_record_that_one_output_refuses_is_refused_for_all(monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    """Of these outputs one takes any record however late it comes."""
    [stage] = of(passed, BOTH[:1], **PASSED)
    first, *others = stage.outputs
    stage = replace(stage, further=tuple(replace(one, logic=replace(one.logic, accept_late=70)) for one in others))
    logs = test_column_pass.plain(stage)
    for _, record in logs["a.events.v1"]:
        record["occurred_at"] -= 80 if record["recorded_at"] % 50 == 49 else 0
    assert first.logic.accept_late is None
    assert 100 < alike("events passed", stage, logs, 5) < 300
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        alike("events passed", stage, logs, 5)

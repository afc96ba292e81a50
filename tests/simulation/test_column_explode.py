"""Elements of arrays as columns against the row road: the same histories, cut anyhow, give the same bytes and state."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation import test_recall
from tests.simulation.column_runner import columned, every_batch, kept_alike
from tests.simulation.roads import Driver, Log, Logs, compared
from tests.simulation.test_time_rules import PROFILE, RUNS

from headwater.errors import Fault
from headwater.processing import column_explode, column_state, recollection
from headwater.processing.column_changes import NO_ROWS, NewRows
from headwater.processing.column_ends import Delta, RowSteps
from headwater.processing.column_explode import ColumnExplode
from headwater.processing.column_state import arrow_type
from headwater.processing.columns import reads_columns, takes_columns
from headwater.processing.expressions import col
from headwater.processing.flow import Stream, count, total
from headwater.processing.steps import Plan
from headwater.processing.windows import tumbling
from headwater.testing.conformance.explode_cases import FOLDED, JOINED, SCALARS
from headwater.testing.conformance.runner_cases import Case, Histories, Run, log_of
from headwater.testing.conformance.union_cases import UNITED
from headwater.testing.harness import plan_of, product

TICK = 10
NULLABLE = ["null", "long"]
LINE = {
    "type": "record",
    "name": "Line",
    "fields": [
        {"name": "article", "type": "string"},
        {"name": "size", "type": NULLABLE},
        {"name": "n", "type": "long"},
    ],
}
FIELDS = {
    "k": "string",
    "tags": ["null", {"type": "array", "items": ["null", "string"]}],
    "lines": {"type": "array", "items": LINE},
}
ORDERS = product("a.carts", shape="event", key=["k"], fields=FIELDS)
BILLS = product("a.bills", shape="event", key=["k"], fields=FIELDS)
ONCE = replace(ORDERS, corrections=False)
LEFT, OTHERS = ORDERS.topic, BILLS.topic
SCHEMA = pa.schema(
    [
        (name, arrow_type(type_))
        for name, type_ in ORDERS.fields.items()
        if name not in ("recorded_at", "kind", "revision")
    ]
    + [("recorded_at", pa.int64()), ("kind", pa.string()), ("revision", pa.int64())]
)
SCHEMAS = {LEFT: SCHEMA, OTHERS: SCHEMA}
TAG = product("a.tags", shape="event", key=["k"], fields={"k": "string", "tag": ["null", "string"], "place": "long"})
PART = {"k": "string", "article": "string", "size": NULLABLE, "twice": "long"}
PARTS = product("a.parts", shape="event", key=["k"], fields=PART)
PAIRS = product("a.pairs", shape="event", key=["k"], fields={"k": "string", "tag": ["null", "string"], "n": "long"})
CARRIED = product("a.carried", shape="event", key=["k"], fields={"tag": ["null", "string"], **FIELDS})
SUMS = product("a.sums", shape="fact", key=["k"], fields={"k": "string", "lines": "long", "n": "long"})
LAST = product("a.last", shape="fact", key=["k"], fields={"k": "string", "article": "string", "n": "long"})


def tags(orders: Stream) -> Stream:
    return orders.explode("tags", into="tag", position="place")


def parts(orders: Stream) -> Stream:
    """What is computed of elements, of which some are left out."""
    return orders.explode("lines").filter(col("n") != 1).map(twice=col("n") * 2)


def pairs(orders: Stream) -> Stream:
    """Each element of one array with each of another."""
    return orders.explode("tags", into="tag").explode("lines", take={"n": "n"}).select("k", "tag", "n")


def carried(orders: Stream) -> Stream:
    """Arrays go on beside what is made of one of them."""
    return orders.map(own=col("tags")).explode("own", into="tag")


def sums(orders: Stream) -> Stream:
    chosen = orders.explode("lines").filter(col("n") != 1)
    return chosen.aggregate(by=["k"], window=tumbling("20us"), lines=count(), n=total("n"))


def paired(orders: Stream) -> Stream:
    """Two explodes, each with steps behind it, before what only weighs rows."""
    tagged = orders.explode("tags", into="tag").filter(col("tag") != "a")
    chosen = tagged.explode("lines", take={"n": "n", "size": "size"}).map(n=col("n") * 2 - 1)
    return chosen.aggregate(by=["k"], window=tumbling("20us"), lines=count("size"), n=total("n"))


def united_sums(orders: Stream, bills: Stream) -> Stream:
    return sums(orders.union(bills.filter(col("k") != "b")))


def last(orders: Stream) -> Stream:
    return orders.explode("lines", take={"article": "article", "n": "n"}).select("k", "article", "n").latest(by=["k"])


def united(orders: Stream, bills: Stream) -> Stream:
    return parts(orders.union(bills.filter(col("k") != "b")))


def both(orders: Stream, bills: Stream) -> Stream:
    """Published as they are, arrays too."""
    return orders.union(bills).map(tag=col("k"))


STAGES = {
    "tags": plan_of(tags, [ORDERS], TAG, tick=TICK).stages[0],
    "tags, never corrected": plan_of(tags, [ONCE], TAG, tick=TICK).stages[0],
    "parts": plan_of(parts, [ORDERS], PARTS, tick=TICK).stages[0],
    "pairs": plan_of(pairs, [ORDERS], PAIRS, tick=TICK).stages[0],
    "carried": plan_of(carried, [ORDERS], CARRIED, tick=TICK).stages[0],
    "sums": plan_of(sums, [ORDERS], SUMS, tick=TICK).stages[0],
    "paired": plan_of(paired, [ORDERS], SUMS, tick=TICK).stages[0],
    "united sums": plan_of(united_sums, [ORDERS, BILLS], SUMS, tick=TICK).stages[0],
    "last": plan_of(last, [ORDERS], LAST, tick=TICK).stages[0],
    "united": plan_of(united, [ORDERS, BILLS], PARTS, tick=TICK).stages[0],
    "both": plan_of(both, [ORDERS, BILLS], CARRIED, tick=TICK).stages[0],
    "both, one never corrected": plan_of(both, [ONCE, BILLS], CARRIED, tick=TICK).stages[0],
}
WEIGHED = ("sums", "paired", "united sums")
EVERY_STAGE = pytest.mark.parametrize("name", STAGES)
TEXT = st.sampled_from(["a", "b", "ä", "", 'q"\\'])
NUMBERS = st.integers(-1, 3) | st.sampled_from([(1 << 62) - 1, -(1 << 61)])


@st.composite
def histories(draw: st.DrawFn) -> Log:
    """Events that are corrected, repeated, superseded, taken back and said again, in whichever order."""
    recorded_at, log = draw(st.integers(0, 20)), list[tuple[bytes | None, Any]]()
    names, numbers = (
        st.integers(0, draw(st.sampled_from([3, 60]))),
        NUMBERS if draw(st.booleans()) else st.integers(-1, 3),
    )
    line = st.fixed_dictionaries({"article": TEXT, "size": st.none() | numbers, "n": numbers})
    for _ in range(draw(st.integers(0, 30))):
        recorded_at += draw(st.sampled_from([0, 0, 0, 1, 3, 10, 25]))
        if not draw(st.integers(0, 8)):
            log.append((None, recorded_at // TICK * TICK - 1))
            continue
        key = draw(TEXT)
        log.append((key.encode(), {
            "event_id": f"e{draw(names)}", "occurred_at": draw(st.integers(-30, 30)), "k": key,
            "tags": draw(st.none() | st.lists(st.none() | TEXT, max_size=3)),
            "lines": draw(st.lists(line, max_size=3)), "recorded_at": recorded_at,
            "kind": draw(st.sampled_from(["assert", "assert", "correct", "retract"])),
            "revision": draw(st.integers(1, 3)),
        }))  # fmt: skip
    return [*log, (None, 10_000)]


def once(log: Log) -> Log:
    """The same events, each said once."""
    return [
        (key, said if key is None else {**said, "event_id": f"e{number}", "kind": "assert", "revision": 1})
        for number, (key, said) in enumerate(log)
    ]


@EVERY_STAGE
@settings(max_examples=15, deadline=None)
@given(left=histories(), right=histories(), seed=st.integers(0, 1 << 30))
def test_both_roads_say_the_same_bytes_under_any_cut_and_crash(name: str, left: Log, right: Log, seed: int) -> None:
    stage = STAGES[name]
    logs = {LEFT: once(left) if "never" in name else left, OTHERS: right}
    with every_batch():
        compared(stage, {entry.topic: logs[entry.topic] for entry in stage.inputs}, SCHEMAS, seed)


def busy(name: str) -> Logs:
    """Events of some elements each, of which a few are corrected, shortened or taken back."""
    chance = random.Random(3)
    logs: dict[str, Log] = {}
    for topic in [entry.topic for entry in STAGES[name].inputs]:
        log: list[tuple[bytes | None, Any]] = []
        for number in range(400):
            size = chance.randrange(4) if name != "last" else 1
            said = {
                "event_id": f"e{number}", "occurred_at": number * 2, "k": f"k{chance.randrange(40)}",
                "tags": [chance.choice(["a", None, "b"]) for _ in range(chance.randrange(4))] if number % 7 else None,
                "lines": [{"article": f"{place}", "size": None, "n": number % 5} for place in range(size)],
                "recorded_at": number // 4, "kind": "assert", "revision": 1,
            }  # fmt: skip
            if number > 9 and not number % 19 and "never" not in name:
                before = log[chance.randrange(len(log))][1]
                kind = chance.choice(["correct", "retract"])
                said = {**before, "recorded_at": number // 4, "kind": kind, "revision": before["revision"] + 1}
                said["lines"], said["tags"] = said["lines"][:1], ["z"]
            log.append((said["k"].encode(), said))
        logs[topic] = [*log, (None, 10_000)]
    return logs


@EVERY_STAGE
def test_most_of_a_busy_history_goes_as_columns(name: str) -> None:
    logs = busy(name)
    assert reads_columns(STAGES[name]) == tuple(logs)
    with every_batch():
        assert compared(STAGES[name], logs, SCHEMAS, 5) > 300 * len(logs)


@pytest.mark.parametrize("name", WEIGHED)
def test_elements_of_what_is_corrected_go_as_columns_where_rows_are_only_weighed(name: str) -> None:
    """Half of all that is said corrects, shortens, lengthens or takes back; and a batch may say nothing else."""
    chance = random.Random(9)
    logs = busy(name)
    for topic, log in logs.items():
        first, again = [said for key, said in log if key is not None and said["revision"] == 1], list[Any]()
        for number, said in enumerate(first):
            lines = [*said["lines"][: chance.randrange(4)], *({**one, "n": 7} for one in said["lines"][:1])]
            kind = chance.choice(["correct", "correct", "correct", "retract"])
            more = {"kind": kind, "revision": 2, "recorded_at": 200 + number // 4, "tags": said["tags"] or ["b"]}
            again.append({**said, "lines": lines if number % 3 else said["lines"], **more})
        logs[topic] = [*((said["k"].encode(), said) for said in [*first, *again]), (None, 10_000)]
    with every_batch():
        assert compared(STAGES[name], logs, SCHEMAS, 5) >= sum(len(log) - 1 for log in logs.values())


# Plans of one stage, and of two where the output has other partitions, against what the whole input says.


@dataclass
class Wider(Run):
    """The output has a partition more than the inputs, so that what is said is handed over first."""

    def plan(self, case: Case) -> Plan:
        inputs = [replace(port, partitions=self.partitions) for port in case.inputs]
        return plan_of(case.flow, inputs, replace(case.output, partitions=self.partitions + 1), tick=10)


CASES = (SCALARS, FOLDED, UNITED)
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
SHARES = st.sampled_from([1.0, 1.0, 0.5])


@pytest.mark.parametrize("case", (*CASES, JOINED), ids=lambda case: case.name)
def test_the_log_is_what_the_whole_input_says(case: Case) -> None:
    """Late, corrected, moved, retracted, repeated and superseded; cut anyhow, with crashes; all or some as blocks."""

    @settings(PROFILE, max_examples=20)
    @given(case.histories, RUNS, SHARES, st.booleans())
    def holds(histories: Histories, run: Run, share: float, wider: bool) -> None:
        run = Wider(**asdict(run)) if wider else run
        assert log_of(case, kept_alike(case, histories, run, share)) == case.expected(histories)

    holds()


@pytest.mark.parametrize("name", ["sums", "last"])
def test_versions_with_arrays_come_back_from_the_input_byte_for_byte(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for topic, schema in SCHEMAS.items():
        monkeypatch.setitem(test_recall.SCHEMAS, topic, schema)
    monkeypatch.setattr(recollection, "LEAST_ROWS", 4)
    assert STAGES[name].recalled_from == (LEFT,)

    @settings(max_examples=6, deadline=None)
    @given(log=histories(), seed=st.integers(0, 1 << 30))
    def holds(log: Log, seed: int) -> None:
        test_recall.hold(STAGES[name], {LEFT: log}, seed, columnar=True)

    with every_batch(4):
        holds()
        assert test_recall.hold(STAGES[name], busy(name), 7, columnar=True) > 2


def busy_case(case: Case) -> Histories:
    """Mostly what is new; some of it is corrected, shortened or taken back, at once or later."""
    chance = random.Random(5)
    histories: Histories = {}
    for port in case.inputs:
        log = histories[port.topic] = []
        for number in range(400):
            said = {
                "event_id": f"e{number}", "trip": f"t{number % 40}", "flight": f"f{number % 40}", "number": number % 9,
                "occurred_at": number, "recorded_at": number * 2, "kind": "assert", "revision": 1, "delay": number,
                "tags": [f"{place}" for place in range(chance.randrange(4))], "origin": f"o{number % 7}",
                "legs": [{"origin": "JFK", "minutes": place} for place in range(chance.randrange(4))], "crew": 1,
            }  # fmt: skip
            again = chance.choice(log[-60:]) if number > 9 and not number % 13 else None
            if again is not None and sum(one["event_id"] == again["event_id"] for one in log) == 1:
                said = {
                    **again,
                    "kind": chance.choice(["correct", "retract"]),
                    "recorded_at": number * 2,
                    "revision": 2,
                }
                said |= {"tags": ["z"], "legs": [], "delay": 0} if said["kind"] == "correct" else {}
            log.append(said)
        names = (*port.fields, "recorded_at", "kind", "revision")
        histories[port.topic] = [{name: one[name] for name in names} for one in log]
    return histories


WIDE = Wider(partitions=2, batch=150, seed=3)


@EVERY_CASE
def test_what_is_handed_over_and_published_goes_as_columns(case: Case) -> None:
    histories = busy_case(case)
    with every_batch(4):
        runner = columned(case, histories, WIDE, 1.0)
    assert log_of(case, runner) == case.expected(histories)
    first, last = runner.plan.stages
    assert takes_columns(first) and runner.columnar[first.name] > 300 * len(case.inputs) and runner.many > 5
    assert takes_columns(last) and runner.columnar[last.name] > 300


@pytest.mark.parametrize("name", ["tags, never corrected", "sums", "carried", "both, one never corrected"])
def test_records_that_lie_otherwise_than_those_before_them_go_by_rows(name: str) -> None:
    """Two writers whose schemas name the members of a record in another order."""
    members = [SCHEMA.field("lines").type.value_type.field(place) for place in (2, 0, 1)]
    place = SCHEMA.get_field_index("lines")
    other = SCHEMA.set(place, pa.field("lines", pa.list_(pa.struct(members))))
    logs = busy(name)
    drivers = [Driver(STAGES[name], logs, SCHEMAS, columnar=columnar) for columnar in (True, False)]
    with every_batch():
        for driver in drivers:
            for topic, log in logs.items():
                driver.take(topic, 100)
                driver.schemas = dict.fromkeys(logs, other)
                driver.take(topic, len(log))
            driver.commit()
    assert drivers[0].said == drivers[1].said


@pytest.mark.parametrize("columnar", [True, False])
def test_an_event_that_comes_twice_in_a_tick_against_its_contract_is_a_fault(columnar: bool) -> None:
    log = [entry for entry in once(busy("tags, never corrected")[LEFT]) if entry[0] is not None][:60]
    twice = next(entry for entry in reversed(log) if entry[1]["tags"])
    log = [*log, (twice[0], {**twice[1], "recorded_at": log[-1][1]["recorded_at"]}), (None, 10_000)]
    driver = Driver(STAGES["tags, never corrected"], {LEFT: log}, SCHEMAS, columnar=columnar)
    with every_batch(), pytest.raises(Fault, match="two values"):
        driver.take(LEFT, len(log))
        driver.commit()


# Saboteurs: each breaks columns in one place, and the bytes, the log or the state must show it.


def gives_every_element_the_id_of_its_parent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_explode, "_ids", lambda parents, places: parents)


def takes_elements_from_behind(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnExplode._taken
    patch.setattr(ColumnExplode, "_taken", lambda self, elements, place: whole(self, elements[::-1], place))


def forgets_what_changes(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnExplode.__call__
    patch.setattr(ColumnExplode, "__call__", lambda self, delta: whole(self, Delta(delta.new, {})))


def forgets_what_goes(patch: pytest.MonkeyPatch) -> None:
    whole = ColumnExplode.__call__
    patch.setattr(ColumnExplode, "__call__", lambda self, delta: whole(self, delta._replace(gone=NO_ROWS)))


def lets_go_what_was_left_out(patch: pytest.MonkeyPatch) -> None:
    """Row steps of what comes alone: of what goes a filter lets all pass."""
    whole = RowSteps.__call__

    def broken(self: Any, delta: Delta) -> Delta:
        ticks, keys, columns = delta.gone
        gone = NewRows(ticks, keys, {name: columns[name] for name in self._wanted if columns})
        return whole(self, delta._replace(gone=NO_ROWS))._replace(gone=gone)

    patch.setattr(RowSteps, "__call__", broken)


def leaves_out_one_that_comes_again(patch: pytest.MonkeyPatch) -> None:
    """Where elements go, the first one of those that come is left out."""
    whole = ColumnExplode.__call__

    def broken(self: Any, delta: Delta) -> Delta:
        made = whole(self, delta)
        return made if not len(made.gone) else made._replace(new=made.new.filter(np.arange(len(made.new)) > 0))

    patch.setattr(ColumnExplode, "__call__", broken)


def keeps_the_first_member_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_state, "_members", lambda column: column_state.json_texts(pc.struct_field(column, 0)))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("tags", gives_every_element_the_id_of_its_parent),
        ("tags", takes_elements_from_behind),
        ("sums", takes_elements_from_behind),
        ("parts", forgets_what_changes),
        ("last", forgets_what_changes),
        ("sums", forgets_what_goes),
        ("paired", forgets_what_goes),
        ("sums", lets_go_what_was_left_out),
        ("united sums", leaves_out_one_that_comes_again),
        ("parts", keeps_the_first_member_alone),
    ],
)
def test_a_broken_explode_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: Any) -> None:
    broken(monkeypatch)
    with every_batch(), pytest.raises((AssertionError, Fault, KeyError, ValueError)):
        compared(STAGES[name], busy(name), SCHEMAS, 5)

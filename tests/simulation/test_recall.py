"""What is remembered of inputs, made again from their records: byte for byte what was kept along the way.

A task runs over histories with every kind of disorder, commits at any step, and loses its state at any step, or has an
older one: what its changelog holds comes back, and the rest from its inputs. It must be the state that was lost, and
what is said from there on must be what a task says that loses nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.roads import Driver, Log, Logs, told
from tests.simulation.test_column_changes import EVENTS, amended, late, sums
from tests.simulation.test_column_join import COLUMNS, FACTS, JOINED, ORDERS, SOME, chosen, facts, orders, plain

from headwater.errors import Fault
from headwater.ports.record import Fetched, Message
from headwater.processing import column_intake, column_join, column_latest, column_sessions, column_within, recollection
from headwater.processing.expressions import col
from headwater.processing.flow import Stream, count, count_distinct, maximum, total
from headwater.processing.operators.join_as_of import Join
from headwater.processing.operators.sessions import Sessions
from headwater.processing.recollection import Recollection
from headwater.processing.state import MemoryStore
from headwater.processing.steps import Stage
from headwater.processing.windows import session, tumbling, whole
from headwater.testing.harness import plan_of, product

TICK = 10
LEFT, RIGHT, OTHERS = "a.orders.v1", "a.facts.v1", "a.payments.v1"
PAYMENTS = replace(product("a.payments", shape="event", key=["k"], fields={"k": "string", "n": "long"}))
COUNTS = product("a.counts", shape="fact", key=["k"], fields={"k": "string", "events": "long"})
STATE = product("a.states", shape="fact", key=["k"], fields={"k": "string", "n": "long"})
GRADED = product("a.graded", shape="event", key=["k"], fields={"k": "string", "n": "long", "grade": ["null", "string"]})
PAIRS = product("a.pairs", shape="event", key=["k"], fields={"k": "string", "n": "long", "paid": "long"})
BY_NUMBER = product("a.numbers", shape="fact", key=["n"], fields={"n": "long", "seen": "long"})
SUMS = product("a.sums", shape="fact", key=["k"], fields={"k": "string", "events": "long", "n": "long", "seen": "long"})
SCHEMAS = {**COLUMNS, OTHERS: pa.schema([field for field in COLUMNS[LEFT] if field.name not in ("ok", "note")])}


def near(rows: Stream, payments: Stream) -> Stream:
    return rows.filter(col("n") != 1).join_within(payments, within="5us", on={"k": "k"}, take={"paid": "n"})


def moved(rows: Stream) -> Stream:
    """Handed over by another key: the first stage keeps versions alone."""
    return rows.map(n=col("n") * 2).aggregate(by=["n"], window=whole(), seen=total("n"))


def folded_on(rows: Stream) -> Stream:
    """What a fold gives is handed over: the cells lie in the changelog, those that are gone too."""
    hourly = rows.aggregate(by=["k"], window=tumbling("20us"), name="hourly", n=count())
    return hourly.aggregate(by=["n"], window=whole(), seen=count())


def sessions_on(rows: Stream) -> Stream:
    """The same of sessions, whose rows come back from the input."""
    visits = rows.aggregate(by=["k"], window=session("7us"), name="visits", n=count())
    return visits.aggregate(by=["n"], window=whole(), seen=count())


def sessions(rows: Stream) -> Stream:
    """Versions and rows come back from the input, sessions from the changelog."""
    return rows.aggregate(by=["k"], window=session("7us"), events=count(), n=total("n"), seen=count_distinct("n"))


def summed_sessions(rows: Stream) -> Stream:
    """Of which rows are kept as columns."""
    return rows.aggregate(by=["k"], window=session("7us"), events=count(), n=total("n"), seen=count("ok"))


def alike(rows: Stream) -> Stream:
    """All that is kept of a row is its key and its instant: many are alike."""
    return rows.aggregate(by=["k"], window=session("20us"), events=count())


def measured(rows: Stream) -> Stream:
    """Versions come back from the input, what lies beside the cells from the changelog."""
    return rows.aggregate(by=["k"], window=whole(), events=count(), n=maximum("n"), seen=count_distinct("n"))


def state(rows: Stream) -> Stream:
    return rows.filter(col("n") != 1).select("k", "n").latest(by=["k"])


def behind_state(rows: Stream) -> Stream:
    """Of what is said of `latest` here nothing goes as columns."""
    return state(rows).map(n=col("n") * 2)


def both(rows: Stream, payments: Stream) -> Stream:
    return rows.select("k", "n").union(payments.filter(col("n") != 2), named="of")


def united(rows: Stream, payments: Stream) -> Stream:
    return both(rows, payments).aggregate(by=["k"], window=whole(), events=count(), n=total("n"), seen=count("of"))


def united_sessions(rows: Stream, payments: Stream) -> Stream:
    both_ = both(rows, payments)
    return both_.aggregate(by=["k"], window=session("7us"), events=count(), n=total("n"), seen=count_distinct("of"))


def united_state(rows: Stream, payments: Stream) -> Stream:
    return both(rows, payments).latest(by=["k"]).select("k", "n")


def united_joined(rows: Stream, payments: Stream, grades: Stream) -> Stream:
    joined = both(rows, payments).join_as_of(grades, on={"k": "k"}, take={"grade": "grade"})
    return joined.select("k", "n", "grade")


def of_facts(facts: Stream) -> Stream:
    return facts.filter(col("grade") != "x").aggregate(by=["k"], window=whole(), n=total("at"))


def moved_facts(facts: Stream) -> Stream:
    return facts.map(n=col("at")).aggregate(by=["n"], window=whole(), seen=count())


def stage_of(flow: Any, inputs: Sequence[Any], output: Any) -> Stage:
    return plan_of(flow, inputs, output, tick=TICK).stages[0]


STAGES = {
    "folded": stage_of(sums, [EVENTS], SUMS),
    "windows": stage_of(late, [EVENTS], SUMS),
    "measured": stage_of(measured, [EVENTS], SUMS),
    "sessions": stage_of(sessions, [EVENTS], SUMS),
    "sessions, summed": stage_of(summed_sessions, [EVENTS], SUMS),
    "sessions, never corrected": stage_of(summed_sessions, [ORDERS], SUMS),
    "sessions, alike": stage_of(alike, [EVENTS], COUNTS),
    "state": stage_of(state, [EVENTS], STATE),
    "state, never corrected": stage_of(state, [ORDERS], STATE),
    "state, computed": stage_of(behind_state, [EVENTS], STATE),
    "united": stage_of(united, [EVENTS, PAYMENTS], SUMS),
    "united, sessions": stage_of(united_sessions, [EVENTS, PAYMENTS], SUMS),
    "united, state": stage_of(united_state, [EVENTS, PAYMENTS], STATE),
    "united, joined": stage_of(united_joined, [EVENTS, PAYMENTS, FACTS], GRADED),
    "handed over": stage_of(moved, [EVENTS], BY_NUMBER),
    "folded, handed over": stage_of(folded_on, [EVENTS], BY_NUMBER),
    "sessions, handed over": stage_of(sessions_on, [EVENTS], BY_NUMBER),
    "facts": stage_of(of_facts, [replace(FACTS, grid=True)], STATE),
    "facts, handed over": stage_of(moved_facts, [replace(FACTS, grid=True)], BY_NUMBER),
    "joined": stage_of(plain, [ORDERS, FACTS], JOINED),
    "joined, corrected": stage_of(plain, [EVENTS, FACTS], JOINED),
    "chosen": stage_of(chosen, [EVENTS, FACTS], SOME),
    "paired": stage_of(near, [EVENTS, PAYMENTS], PAIRS),
}


NEVER = ("joined", "sessions, never corrected", "state, never corrected")  # of which no order is corrected


class Losing(Driver):
    """A task whose changelog holds no more than what does not follow from its inputs."""

    def __init__(self, stage: Stage, logs: Logs, *, columnar: bool, recalls: bool = True) -> None:
        super().__init__(stage, logs, SCHEMAS, columnar=columnar)
        self.recalls = recalls
        self.changelog: dict[bytes, bytes | None] = {}
        self.older: tuple[list[tuple[bytes, bytes]], dict[str, int]] = ([], dict(self.positions))
        self.crash()

    def commit(self) -> None:
        if not self.task.advance() or (commit := self.task.commit()) is None:
            return
        self.said.append((told(commit)[0], told(commit)[2:], [message[:3] for message in commit.messages]))
        self.messages += commit.messages
        self.changelog.update(commit.changes)
        self.store.apply([*commit.changes, *commit.recalled])
        assert not {key for key, _ in commit.changes} & {key for key, _ in commit.recalled}
        self.task.committed()
        self.positions.update(commit.offsets)

    def crash(self) -> None:
        self.task = self.new_task(recalls=self.recalls)
        self.read = dict(self.positions)

    def lose(self, chance: random.Random, *, all_of_it: bool) -> None:
        """State is gone, or as it was at some commit before: bring it back."""
        before = entries(self.store)
        held, recalled = ([], dict.fromkeys(self.logs, 0)) if all_of_it else self.older
        self.store = MemoryStore()
        self.store.apply([*held, *self.changelog.items()])
        for topic in self.stage.recalled_from:
            recall(self.stage, topic, self.store, self.logs[topic], recalled[topic], chance)
        assert entries(self.store) == before
        self.crash()


class Records:
    """Reads values that are places in a log."""

    def __init__(self, log: Log, schema: Any) -> None:
        self._log, self._schema = log, schema

    def read(self, value: bytes | None) -> Mapping[str, Any]:
        record: Mapping[str, Any] = self._log[int(value or b"")][1]
        return record

    def columns(self, values: Sequence[bytes | None]) -> Any:
        return pa.RecordBatch.from_pylist([self.read(value) for value in values], self._schema)


def entries(store: MemoryStore) -> list[tuple[bytes, bytes]]:
    return list(store.scan(b"", b"\xff"))


def recall(stage: Stage, topic: str, store: MemoryStore, log: Log, first: int, chance: random.Random) -> None:
    reader: Any = Records(log, SCHEMAS[topic])
    made = Recollection(stage, topic, 0, store, reader)
    left = [] if made.nothing else [place for place in range(first, len(log)) if log[place][0] is not None]
    while left:
        size = chance.randrange(1, 50)
        some, left = left[:size], left[size:]
        beyond = made.take(Fetched.of([Message(topic, 0, at, log[at][0], b"%d" % at, 0) for at in some]))
        if beyond is not None or chance.random() < 0.5:
            store.apply(made.changes())
        if beyond is not None:
            return
    store.apply(made.changes())


def hold(stage: Stage, logs: Logs, seed: int, *, columnar: bool) -> int:
    """Run with and without losses; how often state was lost. Raises where anything differs."""
    chance = random.Random(seed)
    losing, keeping = (Losing(stage, logs, columnar=columnar, recalls=recalls) for recalls in (True, False))
    losses = 0
    while any(losing.read[topic] < len(log) for topic, log in logs.items()):
        topic, size = chance.choice(list(logs)), chance.randrange(1, 30)
        commits, loses, keeps = chance.random() < 0.5, chance.random() < 0.3, chance.random() < 0.2
        for driver in (losing, keeping):
            driver.take(topic, size)
            if commits:
                driver.commit()
        if keeps:
            losing.older = entries(losing.store), dict(losing.positions)
        if loses:
            losing.lose(chance, all_of_it=chance.random() < 0.5)
            keeping.crash()
            losses += 1
        assert losing.said == keeping.said
    for driver in (losing, keeping):
        driver.commit()
    losing.lose(chance, all_of_it=True)
    assert losing.said == keeping.said
    assert entries(losing.store) == entries(keeping.store)
    return losses


def logs_of(stage: Stage, left: Log, right: Log, others: Log) -> Logs:
    given_ = {LEFT: left, RIGHT: right, OTHERS: others}
    return {entry.topic: given_[entry.topic] for entry in stage.inputs}


@pytest.fixture
def columns_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (column_intake, recollection):
        monkeypatch.setattr(module, "LEAST_ROWS", 4)


@pytest.mark.usefixtures("columns_for_few")
@pytest.mark.parametrize("columnar", [True, False], ids=["columns", "rows"])
@pytest.mark.parametrize("name", STAGES)
def test_what_was_lost_comes_back_from_the_inputs_byte_for_byte(name: str, columnar: bool) -> None:
    stage = STAGES[name]
    events = orders() if name in NEVER else amended()

    @settings(max_examples=6, deadline=None)
    @given(left=events, right=facts(), others=amended(), seed=st.integers(0, 1 << 30))
    def holds(left: Log, right: Log, others: Log, seed: int) -> None:
        hold(stage, logs_of(stage, left, right, others), seed, columnar=columnar)

    holds()


def busy(stage: Stage) -> Logs:
    """Events and facts of few keys, with corrections and retractions within their tick and long after."""
    chance = random.Random(5)
    logs: dict[str, list[tuple[bytes | None, Any]]] = {entry.topic: [] for entry in stage.inputs}
    never = any(stage is STAGES[name] for name in NEVER)
    for topic, log in logs.items():
        for number in range(100):
            key, at = f"k{chance.randrange(4)}", number * 3
            said = {"recorded_at": at, "kind": "assert", "revision": 1, "k": key, "n": number, "at": number, "ok": True}
            said |= {"event_id": f"e{number}", "occurred_at": at - chance.randrange(40), "note": None, "grade": key}
            said |= {"valid_from": at - chance.randrange(90), "valid_to": None if number % 2 else at + 1}
            if number > 9 and not number % 4 and not (never and topic == LEFT):
                before = chance.choice([record for _, record in log])
                kind, revision = chance.choice(["correct", "retract"]), before["revision"] + chance.choice([0, 1, 1])
                said = {**before, "recorded_at": at, "n": -number, "kind": kind, "revision": revision}
            log.append((said["k"].encode(), said))
        log.append((None, 10_000))
    return logs


@pytest.mark.usefixtures("columns_for_few")
@pytest.mark.parametrize("name", STAGES)
def test_nothing_of_it_is_in_the_changelog(name: str) -> None:
    stage = STAGES[name]
    logs = busy(stage)
    assert hold(stage, logs, 3, columnar=True) > 0
    recalling, keeping = (Losing(stage, logs, columnar=True, recalls=recalls) for recalls in (True, False))
    for driver in (recalling, keeping):
        for topic, log in logs.items():
            driver.take(topic, len(log))
        driver.commit()
    assert entries(recalling.store) == entries(keeping.store)
    remembered = keeping.changelog.keys() - recalling.changelog.keys()
    tables = {key.split(b"\0")[0].decode().split(".")[-1] for key in remembered}
    assert tables == REMEMBERED[name]
    assert len(remembered) > 50


REMEMBERED = {
    "folded": {"orders"},
    "windows": {"orders"},
    "measured": {"orders"},
    "sessions": {"orders", "rows"},
    "sessions, summed": {"orders", "rows"},
    "sessions, never corrected": {"rows"},
    "sessions, alike": {"orders", "rows"},
    "state": {"orders", "latest", "newest"},
    "state, never corrected": {"latest", "newest"},
    "state, computed": {"orders", "latest", "newest"},
    "united": {"orders", "payments"},
    "united, sessions": {"orders", "payments", "rows"},
    "united, state": {"orders", "payments", "latest", "newest"},
    "united, joined": {"orders", "payments", "rows", "facts", "revisions"},
    "handed over": {"orders"},
    "folded, handed over": {"orders"},
    "sessions, handed over": {"orders", "rows"},
    "facts": {"facts"},
    "facts, handed over": {"facts"},
    "joined": {"rows", "facts", "revisions"},
    "joined, corrected": {"orders", "rows", "facts", "revisions"},
    "chosen": {"orders", "rows", "facts", "revisions"},
    "paired": {"orders", "rows", "others", "versions"},
}


def behind(rows: Stream, grades: Stream) -> Stream:
    """Joined by another key than the rows': of this stage only the facts follow from one input."""
    return rows.join_as_of(grades, on={"note": "k"}, take={"grade": "grade", "at": "at"})


@pytest.mark.usefixtures("columns_for_few")
@pytest.mark.parametrize("columnar", [True, False], ids=["columns", "rows"])
@pytest.mark.parametrize("seed", range(3))
def test_facts_beside_rows_that_were_handed_over_come_back(seed: int, columnar: bool) -> None:
    events, grades, joined = (replace(one, partitions=1) for one in (EVENTS, FACTS, JOINED))
    first, second = plan_of(behind, [events, grades], joined, tick=TICK).stages[:2]
    logs = busy(STAGES["joined, corrected"])
    for number, (key, record) in enumerate(logs[LEFT][:-1]):
        record["note"] = None if number % 7 == 0 else f"k{number % 4}"
        assert key is not None
    feeding = Losing(first, {LEFT: logs[LEFT]}, columnar=columnar)
    chance = random.Random(seed)
    while feeding.read[LEFT] < len(logs[LEFT]):
        feeding.take(LEFT, 9)
        feeding.commit()
    handed: Log = [(b"", one) for one in feeding.messages]
    assert second.recalled_from == (RIGHT,) and len(handed) > 20
    whole_logs = {second.inputs[0].topic: handed, RIGHT: logs[RIGHT]}
    losing, keeping = (Losing(second, whole_logs, columnar=columnar, recalls=which) for which in (True, False))
    while any(losing.read[topic] < len(log) for topic, log in whole_logs.items()):
        topic, size, loses = chance.choice(list(whole_logs)), chance.randrange(1, 30), chance.random() < 0.3
        for driver in (losing, keeping):
            driver.take(topic, size)
            driver.commit()
        if loses:
            losing.lose(chance, all_of_it=chance.random() < 0.5)
            keeping.crash()
        assert losing.said == keeping.said
    losing.lose(chance, all_of_it=True)
    assert entries(losing.store) == entries(keeping.store)
    kept_apart = {key.split(b"\0")[0] for key in keeping.changelog.keys() - losing.changelog.keys()}
    assert len(kept_apart) == 2 and losing.said


# Saboteurs: each brings back one thing too few or too many.


def _forgets_one(patch: pytest.MonkeyPatch) -> None:
    whole = Recollection.changes
    patch.setattr(Recollection, "changes", lambda self: whole(self)[:-1])


def _reads_one_tick_too_far(patch: pytest.MonkeyPatch) -> None:
    whole = Recollection.__init__

    def made(self: Recollection, *arguments: Any) -> None:
        whole(self, *arguments)
        self.closed += 1

    patch.setattr(Recollection, "__init__", made)


def _keeps_the_row_that_goes(patch: pytest.MonkeyPatch) -> None:
    whole = column_join.ColumnJoin.remember
    patch.setattr(column_join.ColumnJoin, "remember", lambda self, delta: whole(self, delta._replace(changes={})))


def _believes_an_older_revision(patch: pytest.MonkeyPatch) -> None:
    whole = Join.remember

    def remember(self: Any, changes: Any, versions: Any) -> None:
        self._news = lambda some: (list(some), {})
        try:
            whole(self, changes, versions)
        finally:
            del self._news

    patch.setattr(Join, "remember", remember)


def _keeps_no_row_as_columns(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_latest.ColumnLatest, "remember", lambda self, new, changes: None)


def _keeps_no_row_of_a_session_as_columns(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_sessions.ColumnSessions, "remember", lambda self, new, changes: None)


def _keeps_no_row_to_pair(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_within.ColumnWithin, "remember", lambda self, left, right: None)


def _takes_no_row_out_of_a_session(patch: pytest.MonkeyPatch) -> None:
    whole = Sessions.remember
    patch.setattr(
        Sessions,
        "remember",
        lambda self, changes, versions: whole(self, [(key, None, now) for key, _, now in changes], versions),
    )


@pytest.mark.usefixtures("columns_for_few")
@pytest.mark.parametrize(
    ("name", "columnar", "broken"),
    [
        ("folded", True, _forgets_one),
        ("joined", True, _forgets_one),
        ("paired", False, _forgets_one),
        ("folded", False, _reads_one_tick_too_far),
        ("joined", True, _reads_one_tick_too_far),
        ("joined, corrected", True, _keeps_the_row_that_goes),
        ("joined", False, _believes_an_older_revision),
        ("state", True, _keeps_no_row_as_columns),
        ("paired", True, _keeps_no_row_to_pair),
        ("sessions", False, _forgets_one),
        ("united, sessions", False, _reads_one_tick_too_far),
        ("united, state", False, _reads_one_tick_too_far),
        ("sessions, summed", True, _keeps_no_row_of_a_session_as_columns),
        ("sessions", False, _takes_no_row_out_of_a_session),
    ],
)
def test_one_thing_too_few_or_too_many_is_seen(
    monkeypatch: pytest.MonkeyPatch, name: str, columnar: bool, broken: Any
) -> None:
    broken(monkeypatch)
    stage = STAGES[name]
    with pytest.raises((AssertionError, Fault)):
        hold(stage, busy(stage), 3, columnar=columnar)

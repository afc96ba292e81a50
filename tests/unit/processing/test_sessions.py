"""Sessions: a worked example, what is refused, and that a tick reads only what is next to what changed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from headwater.errors import CallerFault
from headwater.processing.cells import FoldSpec
from headwater.processing.expressions import lit
from headwater.processing.field_types import FieldType
from headwater.processing.flow import Stream, count, maximum, source, total
from headwater.processing.graph import Graph, Measure
from headwater.processing.operators.core import Change
from headwater.processing.operators.sessions import Sessions, SessionSpec
from headwater.processing.sql_flow import read_sql
from headwater.processing.state import MemoryStore, Overlay
from headwater.processing.validation import lineage, validate
from headwater.processing.windows import session, tumbling
from headwater.testing.harness import Harness, plan_of, product

CLICKS = product("web.clicks", shape="event", key=["click"], fields={"click": "string", "user": "string", "ms": "long"})
VISITS = product("web.visits", shape="fact", key=["user"], fields={"user": "string", "clicks": "long"})
SPANS = product("web.spans", shape="fact", key=["user"], fields={"user": "string", "visits": "long"})


def visits(clicks: Stream) -> Stream:
    return clicks.aggregate(by=["user"], window=session("10us"), clicks=count())


def give(harness: Harness, click: str, occurred_at: int, **more: object) -> None:
    fields = {"event_id": click, "click": click, "user": "ann", "ms": 0, **more}
    harness.at(harness._now + 1_000_000).give(CLICKS, occurred_at=occurred_at, **fields)


def said(harness: Harness) -> list[tuple[Any, ...]]:
    return [(r["valid_from"], r["valid_to"], r["clicks"], r["kind"], r["revision"]) for r in harness.records()]


def test_sessions_merge_part_and_move_and_what_they_were_is_taken_back_first() -> None:
    harness = Harness(visits, inputs=[CLICKS], output=VISITS)
    give(harness, "a", 0)
    give(harness, "c", 18)
    give(harness, "b", 9)
    give(harness, "b", 9, kind="retract", revision=2)
    give(harness, "c", 8, kind="correct", revision=2)
    assert said(harness) == [
        (0, 10, 1, "assert", 1),
        (18, 28, 1, "assert", 1),
        (0, 10, 1, "retract", 2),
        (18, 28, 1, "retract", 2),
        (0, 28, 3, "assert", 1),
        (0, 28, 3, "retract", 2),
        (0, 10, 1, "assert", 3),
        (18, 28, 1, "assert", 3),
        (0, 10, 1, "retract", 4),
        (18, 28, 1, "retract", 4),
        (0, 18, 2, "assert", 1),
    ]


def test_of_two_events_a_whole_gap_apart_each_has_a_session() -> None:
    """Half-open intervals that touch do not overlap: the second session begins where the first one ends."""
    harness = Harness(visits, inputs=[CLICKS], output=VISITS)
    give(harness, "a", 0)
    give(harness, "b", 10)
    give(harness, "c", 29)
    give(harness, "d", 38)
    assert said(harness)[-2:] == [(29, 39, 1, "retract", 2), (29, 48, 2, "assert", 1)]
    assert said(harness)[:2] == [(0, 10, 1, "assert", 1), (10, 20, 1, "assert", 1)]


def test_what_changes_and_changes_back_within_a_tick_says_nothing() -> None:
    harness = Harness(visits, inputs=[CLICKS], output=VISITS)
    give(harness, "a", 0)
    give(harness, "c", 18)
    harness.settle()
    told = said(harness)
    fields = {"event_id": "b", "click": "b", "user": "ann", "ms": 0, "occurred_at": 9}
    harness.at(harness._now + 1_000_000).give(CLICKS, **fields)
    harness.give(CLICKS, **fields, kind="retract", revision=2)
    assert said(harness) == told


def test_a_correction_that_leaves_the_interval_is_one_correction() -> None:
    harness = Harness(
        lambda clicks: clicks.aggregate(by=["user"], window=session("10us"), clicks=total("ms")),
        inputs=[CLICKS],
        output=VISITS,
    )
    give(harness, "a", 0, ms=1)
    give(harness, "b", 9, ms=2)
    give(harness, "b", 9, ms=5, kind="correct", revision=2)
    assert said(harness)[-1] == (0, 19, 6, "correct", 2)


def test_rows_that_are_alike_count_as_often_as_they_are_there() -> None:
    """Also where they go from one session to another."""
    harness = Harness(visits, inputs=[CLICKS], output=VISITS)
    give(harness, "c", 18)
    give(harness, "d", 18)
    give(harness, "a", 0)
    give(harness, "b", 9)
    give(harness, "d", 18, kind="retract", revision=2)
    give(harness, "b", 9, kind="retract", revision=2)
    assert [entry for entry in said(harness) if entry[0] == 0] == [
        (0, 10, 1, "assert", 1),
        (0, 10, 1, "retract", 2),
        (0, 28, 4, "assert", 1),
        (0, 28, 3, "correct", 2),
        (0, 28, 3, "retract", 3),
        (0, 10, 1, "assert", 3),
    ]
    assert said(harness)[-1] == (18, 28, 1, "assert", 4)


def test_a_row_is_found_by_what_it_equals_however_that_is_written() -> None:
    """A correction from 0.0 to -0.0 is none, nor is 1.50 in place of 1.5; what goes later was never told of."""
    heats = product(
        "web.heats",
        shape="event",
        key=["click"],
        fields={
            "click": "string",
            "user": "string",
            "heat": "double",
            "price": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
    )
    hottest = product(
        "web.hottest",
        shape="fact",
        key=["user"],
        fields={"user": "string", "heat": ["null", "double"], "price": ["null", "double"]},
    )
    harness = Harness(
        lambda stream: stream.aggregate(
            by=["user"], window=session("10us"), heat=maximum("heat"), prices=maximum("price")
        ).map(price=lit(0.5)),
        inputs=[heats],
        output=hottest,
    )
    told = [(0.0, "1.50", "assert"), (-0.0, "1.5", "correct"), (-0.0, "1.5", "retract")]
    for revision, (heat, price, kind) in enumerate(told, 1):
        fields = {"event_id": "a", "click": "a", "user": "ann", "occurred_at": 0, "heat": heat}
        harness.at(revision * 1_000_000).give(heats, **fields, price=Decimal(price), kind=kind, revision=revision)
    assert [(record["heat"], record["kind"]) for record in harness.records()] == [(0.0, "assert"), (0.0, "retract")]


class CountingStore(MemoryStore):
    """Counts the entries that scans give out."""

    scanned = 0

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        for entry in super().scan(start, end, reverse=reverse):
            self.scanned += 1
            yield entry


INTEGER, TEXT, INSTANT = FieldType("integer"), FieldType("string"), FieldType("instant")
SPEC = SessionSpec(
    FoldSpec(
        "visits",
        ("occurred_at", "user", "ms"),
        (INSTANT, TEXT, INTEGER),
        ("user",),
        "occurred_at",
        session("10us"),
        (("n", Measure("count")), ("top", maximum("ms"))),
        ("user", "valid_from", "valid_to", "n", "top"),
    )
)


def row(at: int, ms: int = 0) -> tuple[Any, ...]:
    return (at, "ann", ms)


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ([(b"ann", None, row(50_001))], 6),
        ([(b"ann", None, row(-3))], 6),
        ([(b"ann", row(50_000), None)], 8),
        ([(b"ann", None, row(60_010))], 6),
        ([(b"ann", row(50_000), row(50_000, 9))], 8),
    ],
    ids=["more", "a new first", "a session goes", "one more event", "another value"],
)
def test_a_tick_reads_only_what_is_next_to_what_changes(changes: list[Change], most: int) -> None:
    """Of a key with four thousand sessions, and one session of a thousand rows."""
    store = CountingStore()
    overlay = Overlay(store)
    operator = Sessions(SPEC, overlay)
    operator.tick([(b"ann", None, row(at)) for at in range(0, 60_000, 20) if at != 30_000])
    operator.tick([(b"ann", None, row(60_000 + at, at)) for at in range(1_000)])
    store.apply(overlay.changes())
    overlay.committed()
    store.scanned = 0
    assert Sessions(SPEC, Overlay(store)).tick(changes)
    assert store.scanned <= most


def test_a_state_that_is_gone_leaves_nothing_behind() -> None:
    store = MemoryStore()
    overlay = Overlay(store)
    operator = Sessions(SPEC, overlay)
    rows = [row(at, at % 3) for at in (0, 4, 4, 15, 30, 35)]
    operator.tick([(b"ann", None, one) for one in rows])
    operator.tick([(b"ann", None, row(22, 1))])
    store.apply(overlay.changes())
    overlay.committed()
    for one in [row(22, 1), *rows]:
        operator.tick([(b"ann", one, None)])
        store.apply(overlay.changes())
        overlay.committed()
    assert list(store.scan(b"", b"\xff")) == []


def test_facts_have_no_sessions() -> None:
    stream = source(0).aggregate(by=["user"], window=session("10us"), visits=count())
    found = validate(Graph(stream.node, (VISITS,), SPANS))
    assert [(one.code, one.line > 0) for one in found] == [("HW-P073", True)]
    grid = product("web.visits", shape="fact", key=["user"], fields={"user": "string"}, grid=True)
    assert [one.code for one in validate(Graph(stream.node, (grid,), SPANS))] == ["HW-P129"]
    twice = visits(source(0)).aggregate(by=["user"], window=session("9us"), name="again", visits=count())
    assert [one.code for one in validate(Graph(twice.node, (CLICKS,), SPANS))] == ["HW-P129"]


def test_sessions_may_be_folded_over_windows() -> None:
    stream = visits(source(0)).aggregate(by=["user"], window=tumbling("1h"), name="again", visits=count())
    assert validate(Graph(stream.node, (CLICKS,), SPANS)) == []


@pytest.mark.parametrize("gap", ["0s", "later"])
def test_a_gap_is_a_duration_above_zero(gap: str) -> None:
    with pytest.raises(CallerFault) as fault:
        session(gap)
    assert fault.value.code in ("HW-P014", "HW-T002")


def test_a_session_comes_from_the_instants_of_its_events() -> None:
    edges = lineage(Graph(visits(source(0)).node, (CLICKS,), VISITS))
    assert edges["valid_from"] == edges["valid_to"] == {("web.clicks", "occurred_at")}


def test_the_form_of_the_state_has_the_gap() -> None:
    def form(gap: str) -> str:
        def flow(clicks: Stream) -> Stream:
            return clicks.aggregate(by=["user"], window=session(gap), clicks=count())

        return plan_of(flow, [CLICKS], VISITS, tick=10).stages[-1].form

    assert form("10us") != form("11us")
    assert form("1min") == form("60s")


def test_sessions_in_sql() -> None:
    text = "SELECT user, COUNT(*) AS clicks FROM clicks GROUP BY user, SESSION('10us')"
    graph = read_sql(text, [CLICKS], VISITS, "flow.sql")
    harness = Harness(lambda stream: Stream(graph.root), inputs=[CLICKS], output=VISITS)
    give(harness, "a", 0)
    give(harness, "b", 9)
    assert said(harness)[-1] == (0, 19, 2, "assert", 1)

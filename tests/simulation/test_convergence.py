"""Whatever order reports come in, the newest state is what a recomputation over all of them says (T1, T3)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headwater.processing.expressions import col
from headwater.processing.flow import Stream, count, maximum, total
from headwater.processing.windows import tumbling
from headwater.testing.harness import Harness, product

EVENTS = product("a.events", shape="event", key=["k"], fields={"k": "string", "g": "string", "n": "long"})
SUMS = product("a.sums", shape="fact", key=["g"], fields={"g": "string", "events": "long", "n": "long", "top": "long"})
PASSED = product("a.passed", shape="event", key=["k"], fields={"k": "string", "twice": "long"})


def flow(events: Stream) -> Stream:
    return events.aggregate(by=["g"], window=tumbling("10us"), events=count(), n=total("n"), top=maximum("n"))


def reports(chance: random.Random) -> list[dict[str, Any]]:
    """Events with up to four revisions each, some retracted, some repeated."""
    made = []
    for number in range(30):
        last = chance.randrange(1, 5)
        for revision in range(1, last + 1):
            kind = "assert" if revision == 1 else "retract" if chance.random() < 0.2 else "correct"
            record = {
                "event_id": f"e{number}",
                "k": f"k{number % 7}",
                "g": chance.choice("xyz"),
                "n": chance.randrange(9),
            }
            record |= {"kind": kind, "revision": revision, "occurred_at": chance.randrange(40)}
            made += [record] * chance.choice([1, 1, 2])
    return made


def newest(records: list[dict[str, Any]]) -> dict[Any, Any]:
    """The newest value of each key and interval that is not taken back."""
    state = {(record["g"], record["valid_from"]): record for record in sorted(records, key=lambda r: r["revision"])}
    return {
        identity: (record["events"], record["n"], record["top"])
        for identity, record in state.items()
        if record["kind"] != "retract"
    }


def recomputed(given: list[dict[str, Any]]) -> dict[Any, Any]:
    last: dict[str, dict[str, Any]] = {}
    for record in given:
        if record["revision"] > last.get(record["event_id"], {"revision": 0})["revision"]:
            last[record["event_id"]] = record
    groups: dict[Any, list[int]] = {}
    for record in last.values():
        if record["kind"] != "retract":
            groups.setdefault((record["g"], record["occurred_at"] // 10 * 10), []).append(record["n"])
    return {identity: (len(values), sum(values), max(values)) for identity, values in groups.items()}


@pytest.mark.slow
def test_two_hundred_orders_of_arrival_end_in_one_state() -> None:
    given = reports(random.Random(3))
    expected = recomputed(given)
    for seed in range(200):
        chance = random.Random(seed)
        harness = Harness(flow, inputs=[EVENTS], output=SUMS, tick="10us")
        order = list(given)
        chance.shuffle(order)
        now = 0
        for record in order:
            now += chance.choice([0, 0, 3, 12])
            harness.at(now).give(EVENTS, **record)
        assert newest(harness.records()) == expected
        counts = harness.runner.counts("changes")
        assert counts["read"] == len(given) == counts["folded"] + counts["repeats"] + counts["superseded"]


def test_ten_corrections_within_a_millisecond_are_all_accounted_for() -> None:
    """They fall into one tick, which says one thing: the last. None vanishes uncounted."""
    harness = Harness(flow, inputs=[EVENTS], output=SUMS)
    for revision in range(1, 11):
        kind = "assert" if revision == 1 else "correct"
        harness.at(1_000_000 + revision * 90).give(
            EVENTS, event_id="e", k="k", g="x", n=revision, occurred_at=0, revision=revision, kind=kind
        )
    assert [(record["n"], record["kind"], record["revision"]) for record in harness.records()] == [(10, "assert", 1)]
    assert harness.runner.counts("changes")["folded"] == 10


def test_what_only_maps_and_filters_is_exact_at_every_instant() -> None:
    harness = Harness(
        lambda events: events.filter(col("n") > 2).select("k", twice=col("n") * 2), inputs=[EVENTS], output=PASSED
    )
    for at, n, revision in ((10, 1, 1), (20, 5, 2), (31, 2, 3), (32, 8, 4)):
        kind = "assert" if revision == 1 else "correct"
        harness.at(at).give(EVENTS, event_id="e", k="k", g="x", n=n, occurred_at=0, revision=revision, kind=kind)
    assert [(r["recorded_at"], r["kind"], r["revision"], r["twice"]) for r in harness.records()] == [
        (20, "correct", 2, 10),
        (31, "retract", 3, 4),
        (32, "correct", 4, 16),
    ]


def test_a_record_that_no_tick_can_take_is_set_aside_and_the_rest_goes_on() -> None:
    harness = Harness(flow, inputs=[EVENTS], output=SUMS)
    for event, revision in (("good", 1), ("bad", 0), ("fine", 1)):
        harness.at(harness.runner.counts("changes")["read"]).give(
            EVENTS, event_id=event, k="k", g="x", n=1, occurred_at=0, revision=revision
        )
    assert [record["events"] for record in harness.records()] == [2]
    assert [(letter.topic, letter.error.field) for letter in harness.runner.quarantined] == [(EVENTS.topic, "revision")]

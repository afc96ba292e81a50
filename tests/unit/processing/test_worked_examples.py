"""The worked examples of docs/concepts/time.md, line by line."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest

from headwater.processing.flow import Stream, count, total
from headwater.processing.windows import tumbling
from headwater.testing.harness import Harness, product
from headwater.testing.oracles import fact_as_of
from headwater.timeline.instant import Instant
from headwater.timeline.tick import settled_tick_end

DEPARTURES = product(
    "flights.departures",
    shape="event",
    key=["flight_id"],
    fields={"flight_id": "string", "origin": "string", "tailnum": "string", "delay_minutes": "long"},
)
PUNCTUALITY = product(
    "airports.hourly_punctuality",
    shape="fact",
    key=["origin"],
    fields={"origin": "string", "departures": "long", "delay_minutes": "long"},
)
AIRCRAFT = product("fleet.aircraft", shape="fact", key=["tailnum"], fields={"tailnum": "string", "seats": "long"})
FEATURES = product(
    "planning.features",
    shape="event",
    key=["flight_id"],
    fields={"flight_id": "string", "seats": ["null", "long"]},
)


def clock(time: str) -> str:
    """A minute of 2013-01-05."""
    return f"2013-01-05T{time}:00.030Z"


def punctuality(departures: Stream) -> Stream:
    return departures.aggregate(
        by=["origin"], window=tumbling("1h"), departures=count(), delay_minutes=total("delay_minutes")
    )


class Story:
    """The flights of the example, told in order of their recording."""

    def __init__(self) -> None:
        self.harness = Harness(punctuality, inputs=[DEPARTURES], output=PUNCTUALITY)
        self.seen = 0

    def told(
        self, recorded: str, flight: str, occurred: str, delay: int, revision: int, kind: str
    ) -> list[tuple[Any, ...]]:
        """What comes out of one more report: interval, kind, revision, departures, delay, recorded minute."""
        self.harness.at(clock(recorded)).give(
            DEPARTURES,
            event_id=flight,
            flight_id=flight,
            origin="JFK",
            tailnum="P",
            occurred_at=clock(occurred),
            delay_minutes=delay,
            revision=revision,
            kind=kind,
        )
        records = self.harness.records()[self.seen :]
        self.seen += len(records)
        return [
            (
                Instant(record["valid_from"]).iso()[11:13],
                record["kind"],
                record["revision"],
                record["departures"],
                record["delay_minutes"],
                Instant(record["recorded_at"]).iso()[11:26],
            )
            for record in records
        ]


def test_a_late_report_a_corrected_delay_a_moved_time_and_retractions() -> None:
    story = Story()
    assert story.told("14:06", "F1", "14:05", 10, 1, "assert") == [("14", "assert", 1, 1, 10, "14:06:00.099999")]
    assert story.told("14:41", "F2", "14:40", 20, 1, "assert") == [("14", "correct", 2, 2, 30, "14:41:00.099999")]
    assert story.told("17:30", "F3", "14:50", 60, 1, "assert") == [("14", "correct", 3, 3, 90, "17:30:00.099999")]
    assert story.told("18:10", "F2", "14:40", 35, 2, "correct") == [("14", "correct", 4, 3, 105, "18:10:00.099999")]
    assert story.told("18:20", "F1", "15:02", 10, 2, "correct") == [
        ("14", "correct", 5, 2, 95, "18:20:00.099999"),
        ("15", "assert", 1, 1, 10, "18:20:00.099999"),
    ]
    assert story.told("19:00", "F3", "14:50", 60, 2, "retract") == [("14", "correct", 6, 1, 35, "19:00:00.099999")]
    assert story.told("19:30", "F2", "14:40", 35, 3, "retract") == [("14", "retract", 7, 1, 35, "19:30:00.099999")]


@pytest.mark.parametrize(
    ("valid", "answers"),
    [
        ("14:30", [(1, 10), (2, 30), (3, 90), (3, 105), (2, 95), (1, 35), None]),
        ("15:30", [None, None, None, None, (1, 10), (1, 10), (1, 10)]),
    ],
)
def test_as_of_both_axes(valid: str, answers: list[tuple[int, int] | None]) -> None:
    story = Story()
    for report in (
        ("14:06", "F1", "14:05", 10, 1, "assert"),
        ("14:41", "F2", "14:40", 20, 1, "assert"),
        ("17:30", "F3", "14:50", 60, 1, "assert"),
        ("18:10", "F2", "14:40", 35, 2, "correct"),
        ("18:20", "F1", "15:02", 10, 2, "correct"),
        ("19:00", "F3", "14:50", 60, 2, "retract"),
        ("19:30", "F2", "14:40", 35, 3, "retract"),
    ):
        story.told(*report)
    log = story.harness.records()
    for known, answer in zip(("14:10", "15:00", "18:00", "18:15", "18:30", "19:10", "20:00"), answers, strict=True):
        at = settled_tick_end(Instant.parse(clock(known)), 100_000)
        fact = fact_as_of(log, {"origin": "JFK"}, Instant.parse(clock(valid)), at)
        assert (fact and (fact["departures"], fact["delay_minutes"])) == answer


def joined(departures: Stream, aircraft: Stream) -> Stream:
    return departures.join_as_of(aircraft, on={"tailnum": "tailnum"}, take={"seats": "seats"})


def test_a_fact_overridden_in_part_corrects_what_was_joined_under_it_and_nothing_else() -> None:
    harness = Harness(joined, inputs=[DEPARTURES, AIRCRAFT], output=FEATURES)
    harness.at("2013-01-01T08:00:00Z").give(AIRCRAFT, tailnum="P", seats=149, valid_from="2013-01-01T00:00:00Z")
    for flight, day in (("early", "2013-02-05"), ("late", "2013-02-15")):
        harness.at(f"{day}T12:00:00Z").give(
            DEPARTURES,
            event_id=flight,
            flight_id=flight,
            origin="JFK",
            tailnum="P",
            occurred_at=f"{day}T11:00:00Z",
            delay_minutes=0,
        )
    before = harness.records()
    assert [(record["flight_id"], record["seats"], record["revision"]) for record in before] == [
        ("early", 149, 1),
        ("late", 149, 1),
    ]
    harness.at("2013-03-01T09:00:00Z").give(AIRCRAFT, tailnum="P", seats=144, valid_from="2013-02-10T00:00:00Z")
    after = harness.records()[2:]
    assert [(r["flight_id"], r["seats"], r["kind"], r["revision"]) for r in after] == [("late", 144, "correct", 2)]
    assert Instant(after[0]["recorded_at"]).iso() == "2013-03-01T09:00:00.099999Z"


def test_the_seats_of_a_plane_as_of_both_axes() -> None:
    first = {
        "p": "P",
        "valid_from": 1,
        "valid_to": None,
        "recorded_at": 1,
        "revision": 1,
        "kind": "assert",
        "seats": 149,
    }
    second = {**first, "valid_from": 41, "recorded_at": 60, "seats": 144}
    answers = {
        (valid, known): (fact_as_of([first, second], {"p": "P"}, valid, known) or {})["seats"]
        for valid in (20, 51)
        for known in (56, 61)
    }
    assert answers == {(20, 56): 149, (20, 61): 149, (51, 56): 149, (51, 61): 144}


def test_the_example_of_the_page_on_flows_runs() -> None:
    page = Path(__file__).parents[3] / "docs" / "concepts" / "flows.md"
    outcome = doctest.testfile(str(page), module_relative=False)
    assert outcome.attempted and not outcome.failed

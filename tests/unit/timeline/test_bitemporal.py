"""As-of answers against the plain reference, and the worked histories that the literature tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.testing.oracles import events_as_of, fact_as_of
from headwater.testing.strategies import event_histories, fact_histories
from headwater.timeline.bitemporal import Known, KnownEvents, KnownFacts, Timeline

Record = Mapping[str, Any]
KEYS = ("P", "Q")
PROFILE = settings(max_examples=200, derandomize=True, deadline=None)


def known(empty: Known, history: Iterable[Record], recorded_at: int) -> Known:
    for record in history:
        if record["recorded_at"] <= recorded_at:
            empty.take(record)
    return empty


@PROFILE
@given(fact_histories({"seats": st.integers(0, 3)}, key="p", keys=KEYS), st.integers(0, 200))
def test_facts_are_what_the_whole_history_says_at_every_instant(history: list[Record], recorded_at: int) -> None:
    facts = known(KnownFacts(["p"]), history, recorded_at)
    for valid_at in range(-1, 90):
        expected = [fact_as_of(history, {"p": key}, valid_at, recorded_at) for key in KEYS]
        found = {fact["p"]: fact for fact in facts.rows(valid_at)}
        assert [found.get(key) for key in KEYS] == expected


@PROFILE
@given(fact_histories({"seats": st.integers(0, 3)}, key="p", keys=KEYS), st.integers(0, 200))
def test_pieces_say_what_the_instants_in_them_say_and_never_overlap(history: list[Record], recorded_at: int) -> None:
    facts = known(KnownFacts(["p"]), history, recorded_at)
    covered: dict[tuple[str, int], int] = {}
    for piece in facts.rows():
        for valid_at in range(piece["valid_from"], 90 if piece["valid_to"] is None else piece["valid_to"]):
            assert (piece["p"], valid_at) not in covered
            covered[piece["p"], valid_at] = piece["seats"]
    at_instants = {(fact["p"], at): fact["seats"] for at in range(90) for fact in facts.rows(at)}
    assert {place: seats for place, seats in covered.items() if place[1] < 90} == at_instants


@PROFILE
@given(event_histories({"n": st.integers(0, 3)}, key="k"), st.integers(0, 200), st.integers(0, 60))
def test_events_are_those_of_the_highest_revision(history: list[Record], recorded_at: int, valid_at: int) -> None:
    events = known(KnownEvents(), history, recorded_at)
    expected = events_as_of(history, recorded_at)
    assert list(events.rows()) == expected
    assert list(events.rows(valid_at)) == [event for event in expected if event["occurred_at"] <= valid_at]


# Allen's thirteen relations of a later record's interval to that of an earlier one, [10, 20), and what is left of it.
# J. F. Allen, "Maintaining knowledge about temporal intervals", CACM 26 (1983).
RELATIONS = {
    "before": ((0, 5), [(10, 20)]),
    "meets": ((0, 10), [(10, 20)]),
    "overlaps": ((5, 15), [(15, 20)]),
    "starts": ((10, 15), [(15, 20)]),
    "during": ((12, 15), [(10, 12), (15, 20)]),
    "finishes": ((15, 20), [(10, 15)]),
    "equals": ((10, 20), []),
    "started by": ((10, 25), []),
    "contains": ((5, 25), []),
    "finished by": ((5, 20), []),
    "overlapped by": ((15, 25), [(10, 15)]),
    "met by": ((20, 25), [(10, 20)]),
    "after": ((25, 30), [(10, 20)]),
}


@pytest.mark.parametrize("relation", RELATIONS)
def test_what_a_later_record_leaves_of_an_earlier_one(relation: str) -> None:
    later, left = RELATIONS[relation]
    timeline = Timeline()
    timeline.override(10, 20, {"is": "earlier"})
    timeline.override(*later, {"is": "later"})
    pieces = [(start, end, fact["is"]) for start, end, fact in timeline.pieces()]
    assert [(start, end) for start, end, which in pieces if which == "earlier"] == left
    assert [(start, end) for start, end, which in pieces if which == "later"] == [later]


def test_a_restated_figure_is_the_old_one_before_and_the_new_one_after() -> None:
    """A quarter's revenue is reported, then restated: both answers stay true as of their moment."""
    report = {"p": "Q1", "valid_from": 0, "valid_to": 90, "recorded_at": 100, "revision": 1, "kind": "assert", "sum": 7}
    restated = {**report, "recorded_at": 200, "revision": 2, "kind": "correct", "sum": 6}
    for recorded_at, figure in ((150, 7), (199, 7), (200, 6)):
        facts = known(KnownFacts(["p"]), [report, restated], recorded_at)
        assert [fact["sum"] for fact in facts.rows(valid_at=45)] == [figure]


def test_of_corrections_in_one_instant_the_last_speaks() -> None:
    first = {"p": "P", "valid_from": 0, "valid_to": None, "recorded_at": 5, "revision": 1, "kind": "assert", "n": 0}
    history = [{**first, "revision": number, "n": number} for number in range(1, 11)]
    assert [fact["n"] for fact in known(KnownFacts(["p"]), history, 5).rows(3)] == [10]

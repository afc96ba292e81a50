"""What a reader learns of states as of any two times, and the test of that test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulation.hunting import RUNS, Break, assert_turns_red
from tests.simulation.test_time_rules import PROFILE

from headwater.processing.operators import latest
from headwater.processing.operators.core import OPEN
from headwater.processing.operators.latest import Latest
from headwater.processing.operators.publish import Publish
from headwater.testing.conformance.latest_cases import HISTORIES, SIGHTINGS, STATES
from headwater.testing.conformance.runner_cases import TICK, Histories, Run
from headwater.testing.oracles import events_as_of, fact_as_of, state_at


def test_a_reader_as_of_any_times_learns_the_last_event_known_then() -> None:
    """The facts by the rule of override, against the events themselves: no intervals, no pieces."""

    @PROFILE
    @given(HISTORIES, RUNS, st.integers(0, 15), st.integers(0, 15))
    def holds(histories: Histories, run: Run, valid_at: int, ticks: int) -> None:
        end = ticks * TICK + TICK - 1
        published = sorted(run.of(STATES, histories).records(), key=lambda record: record["recorded_at"])
        known = events_as_of(histories[SIGHTINGS.topic], end)
        for plane in ("N1", "N2"):
            fact = fact_as_of(published, {"plane": plane}, valid_at, end)
            event = state_at([event for event in known if event["plane"] == plane], valid_at)
            assert (fact and (fact["airport"], fact["fuel"])) == (event and (event["airport"], event["fuel"]))

    holds()


def say_it_to_the_end(patch: pytest.MonkeyPatch) -> None:
    """As if no event came after."""
    whole = Latest._held
    patch.setattr(Latest, "_held", lambda self, key, instant: whole(self, key, instant)._replace(until=OPEN))


def let_the_last_to_come_speak(patch: pytest.MonkeyPatch) -> None:
    """At one instant the order is by id, whichever was recorded last."""
    patch.setattr(latest, "ordered_text", lambda text: text[::-1] if text < b"event2" else b"")


def leave_a_hole_where_an_event_goes(patch: pytest.MonkeyPatch) -> None:
    whole = Latest.tick
    patch.setattr(
        Latest,
        "tick",
        lambda self, changes: [
            (key, before, after if before is None or after is None or len(changes) == 1 else None)
            for key, before, after in whole(self, changes)
        ],
    )


def number_pieces_as_whole_facts(patch: pytest.MonkeyPatch) -> None:
    whole = Publish.__init__

    def init(self: Publish, *arguments: object) -> None:
        whole(self, *arguments)  # type: ignore[arg-type]
        self._pieces = False

    patch.setattr(Publish, "__init__", init)


@pytest.mark.parametrize(
    "break_it",
    [
        say_it_to_the_end,
        let_the_last_to_come_speak,
        leave_a_hole_where_an_event_goes,
        number_pieces_as_whole_facts,
    ],
)
def test_a_broken_rule_turns_the_log_red(break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    """`test_the_log_is_what_the_whole_input_says` fails for each of these engines."""
    break_it(monkeypatch)
    assert_turns_red(STATES)

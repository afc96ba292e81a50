"""A test of the tests of `explode` and `union`: with one rule broken, the named property turns red."""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulation.hunting import Break, assert_turns_red

from headwater.processing import engine
from headwater.processing.compile_inputs import OfInput
from headwater.processing.operators import explode
from headwater.processing.operators.explode import Explode
from headwater.testing.conformance.explode_cases import FOLDED, JOINED, SCALARS
from headwater.testing.conformance.runner_cases import Case
from headwater.testing.conformance.union_cases import EVENTS, FACTS, UNITED


def leave_the_rest_of_a_shorter_array(patch: pytest.MonkeyPatch) -> None:
    def shortest(before: list[Any], after: list[Any]) -> Any:
        return zip(before, after, strict=False) if before and after else explode_zip(before, after)

    explode_zip = explode.zip_longest
    patch.setattr(explode, "zip_longest", shortest)


def give_every_element_the_id_of_its_parent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(explode, "element_id", lambda parent, position: parent)


def count_positions_from_the_end(patch: pytest.MonkeyPatch) -> None:
    whole = Explode._rows
    patch.setattr(Explode, "_rows", lambda self, row: whole(self, row)[::-1])


def forget_whose_event_it_is(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OfInput, "compile", lambda self, getters: getters["event_id"])


def close_a_tick_by_the_first_input(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "frontier_of", lambda lanes: max(lane.passed for lane in lanes))


@pytest.mark.parametrize(
    ("case", "break_it"),
    [
        (SCALARS, leave_the_rest_of_a_shorter_array),
        (FOLDED, leave_the_rest_of_a_shorter_array),
        (SCALARS, give_every_element_the_id_of_its_parent),
        (JOINED, give_every_element_the_id_of_its_parent),
        (SCALARS, count_positions_from_the_end),
        (UNITED, forget_whose_event_it_is),
        (EVENTS, forget_whose_event_it_is),
        (UNITED, close_a_tick_by_the_first_input),
        (FACTS, close_a_tick_by_the_first_input),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.name,
)
def test_a_broken_rule_turns_the_log_red(case: Case, break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    """`test_the_log_is_what_the_whole_input_says` fails for each of these engines."""
    break_it(monkeypatch)
    assert_turns_red(case)

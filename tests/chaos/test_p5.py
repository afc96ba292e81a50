"""P5, short: a state that is removed, truncated, flipped or set back costs no value; who does not look is found out."""

from __future__ import annotations

import pytest
from tests.chaos import p5
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(400)]
SEED = 20130505


def test_a_state_that_was_hurt_costs_no_value_and_who_does_not_look_is_found_out(running: LocalStack) -> None:
    result, contented = side_by_side(
        lambda: p5.run(trials=4, seed=SEED, stack=running),
        lambda: p5.run(trials=1, seed=SEED, stack=running, saboteur="contented"),
    )
    assert result["passed"], told(result)
    # What is stale is written anew while the work goes on, and the values that came of it stay said.
    assert contented["stale_state"] + contented["wrong"] > 0 and not contented["passed"], told(contented)


def test_who_does_not_remember_all_of_an_input_is_found_out(running: LocalStack) -> None:
    forgetting = p5.run(trials=2, seed=SEED, stack=running, saboteur="forgetting")
    assert forgetting["stale_state"] + forgetting["wrong"] > 0 and not forgetting["passed"], told(forgetting)

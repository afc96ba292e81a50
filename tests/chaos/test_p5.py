"""P5, short: a state that is removed, truncated, flipped or set back costs no value; who does not look is found out."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import p5
from tests.chaos.pairs import found_out, hit, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130505


def test_a_state_that_was_hurt_costs_no_value_and_who_does_not_look_or_remember_is_found_out(
    running: LocalStack,
) -> None:
    def sabotaged(saboteur: str) -> dict[str, Any]:
        return found_out(
            lambda seed: p5.run(trials=1, seed=seed, stack=running, saboteur=saboteur),
            SEED,
            lambda found: found["stale_state"] + found["wrong"],
        )

    result, *broken = side_by_side(
        lambda: hit(lambda seed: p5.run(trials=2, seed=seed, stack=running), SEED),
        lambda: sabotaged("contented"),
        lambda: sabotaged("forgetting"),
    )
    assert result["passed"], told(result)
    for found in broken:
        # What is stale is written anew while the work goes on, and the values that came of it stay said.
        assert found["stale_state"] + found["wrong"] > 0 and not found["passed"], told(found)

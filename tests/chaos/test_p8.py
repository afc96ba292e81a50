"""P8 for runners, short: of two workers of one slot one stops and says why; two that do not give way are found out."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import p8
from tests.chaos.pairs import found_out, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130508


def test_of_two_workers_of_one_slot_one_stops_and_says_why(running: LocalStack) -> None:
    (result,) = side_by_side(lambda: p8.run(trials=1, seed=SEED, stack=running))
    assert result["passed"], told(result)


@pytest.mark.long  # how often they fence each other is the machine's pace too
def test_two_stubborn_ones_are_found_out(running: LocalStack) -> None:
    def sabotaged(seed: int) -> dict[str, Any]:
        return p8.run(trials=1, seed=seed, stack=running, saboteur="stubborn")

    (stubborn,) = side_by_side(
        lambda: found_out(sabotaged, SEED, lambda found: {"one_says_why", "fences_are_few"} <= set(found["against"]))
    )
    assert {"one_says_why", "fences_are_few"} <= set(stubborn["against"]), told(stubborn)

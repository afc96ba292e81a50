"""P8 for runners, short: of two workers of one slot one stops and says why; two that do not give way are found out."""

from __future__ import annotations

import pytest
from tests.chaos import p8
from tests.chaos.pairs import beside
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130508


def test_of_two_workers_of_one_slot_one_stops_and_two_stubborn_ones_are_found_out(running: LocalStack) -> None:
    result, stubborn = beside(
        lambda seed: p8.run(trials=1, seed=seed, stack=running),
        lambda seed: p8.run(trials=1, seed=seed, stack=running, saboteur="stubborn"),
        SEED,
        lambda found: {"one_says_why", "fences_are_few"} <= set(found["against"]),
    )
    assert result["passed"], told(result)
    assert {"one_says_why", "fences_are_few"} <= set(stubborn["against"]), told(stubborn)

"""R11, short: Connect's worker killed once and our relay once; nothing lost, doubled or out of order."""

from __future__ import annotations

import pytest
from tests.chaos import r11
from tests.chaos.pairs import hit, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
KILLS = 2
SEED = 20130101


@pytest.mark.timeout(900)
def test_the_debezium_lane_survives_the_death_of_either_half(running: LocalStack) -> None:
    (result,) = side_by_side(
        lambda: hit(lambda seed: r11.run(trials=KILLS, seed=seed, stack=running, timed=False), SEED)
    )
    assert result["passed"], told(result)

"""T1, short: reports in any order end in one timeline; a runner that closes its hours is found out."""

from __future__ import annotations

import pytest
from tests.chaos import t1
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130101


def test_any_order_of_arrival_ends_in_one_timeline(running: LocalStack) -> None:
    result, closing = side_by_side(
        lambda: t1.run(trials=20, seed=SEED, stack=running),
        lambda: t1.run(trials=5, seed=SEED, stack=running, saboteur="closing"),
    )
    assert result["passed"], told(result)
    assert closing["mismatches"] > 0 and closing["lost"] == 0 and not closing["passed"], told(closing)

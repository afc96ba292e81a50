"""T5, short: a product made again is the same to the byte; one that stamps with its own time is not."""

from __future__ import annotations

import pytest
from tests.chaos import t5
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(400)]
SEED = 20130505


def test_a_product_made_again_is_the_same_to_the_byte(running: LocalStack) -> None:
    result, now = side_by_side(
        lambda: t5.run(trials=1, seed=SEED, stack=running),
        lambda: t5.run(trials=1, seed=SEED, stack=running, saboteur="now"),
    )
    assert result["passed"], told(result)
    assert now["mismatches"] > 0 and not now["passed"], told(now)

"""T5, short: a product made again is the same to the byte; one that stamps with its own time is not."""

from __future__ import annotations

import pytest
from tests.chaos import t5
from tests.chaos.pairs import beside
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130505


def test_a_product_made_again_is_the_same_to_the_byte(running: LocalStack) -> None:
    result, now = beside(
        lambda seed: t5.run(trials=1, seed=seed, stack=running),
        lambda seed: t5.run(trials=1, seed=seed, stack=running, saboteur="now"),
        SEED,
        lambda found: found["mismatches"],
    )
    assert result["passed"], told(result)
    assert now["mismatches"] > 0 and not now["passed"], told(now)

"""T2, short: clocks that are wrong do not make recorded time fall; a relay that trusts its database's does."""

from __future__ import annotations

import pytest
from tests.chaos import t2
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(400)]
SEED = 20130202


def test_wrong_clocks_are_outlived_and_a_relay_that_trusts_them_is_found_out(running: LocalStack) -> None:
    result, trusting = side_by_side(
        lambda: t2.run(trials=6, seed=SEED, stack=running),
        lambda: t2.run(trials=3, seed=SEED, stack=running, saboteur="trusting"),
    )
    assert result["passed"], told(result)
    assert trusting["stamp_breaks"] > 0 and not trusting["passed"], told(trusting)

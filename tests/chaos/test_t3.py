"""T3, short: ten corrections at one moment are all in the history; a relay that keeps only the newest is found out."""

from __future__ import annotations

import pytest
from tests.chaos import t3
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(200)]
SEED = 20130303


@pytest.mark.long
def test_ten_corrections_at_one_moment_are_all_accounted_for(running: LocalStack) -> None:
    result, newest = side_by_side(
        lambda: t3.run(trials=5, seed=SEED, stack=running),
        lambda: t3.run(trials=3, seed=SEED, stack=running, saboteur="newest"),
    )
    assert result["passed"], told(result)
    assert 0 < newest["lost"] < newest["rows"] and not newest["passed"], told(newest)

"""T3, short: ten corrections at one moment are all in the history; a relay that keeps only the newest is found out."""

from __future__ import annotations

import pytest
from tests.chaos import t3
from tests.chaos.pairs import beside
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130303


def test_ten_corrections_at_one_moment_are_all_accounted_for(running: LocalStack) -> None:
    result, newest = beside(
        lambda seed: t3.run(trials=3, seed=seed, stack=running),
        lambda seed: t3.run(trials=2, seed=seed, stack=running, saboteur="newest"),
        SEED,
        lambda found: 0 < found["lost"] < found["rows"],
    )
    assert result["passed"], told(result)
    assert 0 < newest["lost"] < newest["rows"] and not newest["passed"], told(newest)

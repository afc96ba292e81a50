"""H1, short: who follows a feed while runner and server are killed sees each record once; from a loose server, not."""

from __future__ import annotations

import pytest
from tests.chaos import h1
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(400)]
SEED = 20130505


def test_a_feed_has_each_record_once_whoever_is_killed(running: LocalStack) -> None:
    result, loose = side_by_side(
        lambda: h1.run(trials=4, seed=SEED, stack=running),
        lambda: h1.run(trials=4, seed=SEED, stack=running, saboteur="loose"),
    )
    assert result["passed"], told(result)
    assert loose["repeated"] + loose["phantom"] > 0 and not loose["passed"], told(loose)

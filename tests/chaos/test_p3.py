"""P3, short: workers come and go and all is said once; one that does not let go of its partitions is found out."""

from __future__ import annotations

import pytest
from tests.chaos import p3
from tests.chaos.pairs import beside
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130503


def test_workers_come_and_go_and_one_that_does_not_let_go_is_found_out(running: LocalStack) -> None:
    result, clinging = beside(
        lambda seed: p3.run(trials=3, seed=seed, stack=running),
        lambda seed: p3.run(trials=3, seed=seed, stack=running, saboteur="clinging"),
        SEED,
        lambda found: found["duplicates"] + found["lost"],
    )
    assert result["passed"], told(result)
    # Where a rekey stands between, the next stage sees at once that a closed tick is said again, and ends: all is lost.
    assert clinging["duplicates"] + clinging["lost"] > 0 and not clinging["passed"], told(clinging)

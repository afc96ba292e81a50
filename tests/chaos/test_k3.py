"""K3, short: relay and runner are cut off from Kafka and lose nothing; a relay that acknowledges too early does."""

from __future__ import annotations

import pytest
from tests.chaos import k3
from tests.chaos.pairs import beside
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130303


def test_partitions_cost_nothing_and_a_relay_that_acknowledges_too_early_is_found_out(running: LocalStack) -> None:
    result, early = beside(
        lambda seed: k3.run(trials=2, seed=seed, stack=running),
        lambda seed: k3.run(trials=1, seed=seed, stack=running, saboteur="early"),
        SEED,
        lambda found: 0 < found["lost"] < found["rows"],
    )
    assert result["passed"], told(result)
    assert 0 < early["lost"] < early["rows"] and not early["passed"], told(early)

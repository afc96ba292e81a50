"""R7, short: a late end of transaction tears the control and neither the guarded producer nor the relay."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import r7, r7_relay
from tests.chaos.pairs import found_out, hit, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
TRIALS = 4
RELAY_TRIALS = 2
SEED = 20130101


@pytest.mark.timeout(900)
def test_a_late_end_of_transaction_tears_the_control_and_not_the_guarded_producer(running: LocalStack) -> None:
    def hurt(seed: int) -> dict[str, Any]:
        return r7.run(trials=TRIALS, seed=seed, stack=running, relay=False, normal=False)

    (result,) = side_by_side(lambda: hit(hurt, SEED))
    assert result["control_anomalies"] > 0, "without a red control the test proves nothing"
    assert result["passed"], told(result)


@pytest.mark.timeout(900)
def test_the_relay_loses_and_doubles_nothing_by_a_late_commit(running: LocalStack) -> None:
    (result,) = side_by_side(
        lambda: hit(lambda seed: r7_relay.run(trials=RELAY_TRIALS, seed=seed, stack=running), SEED)
    )
    assert result["passed"] and result["rows"] > 0, told(result)


@pytest.mark.timeout(900)
def test_a_relay_that_suspects_nothing_is_found_out(running: LocalStack) -> None:
    def sabotaged(seed: int) -> dict[str, Any]:
        return r7_relay.run(trials=3, seed=seed, stack=running, saboteur=True)

    (result,) = side_by_side(lambda: found_out(sabotaged, SEED, lambda found: found["anomalies"]))
    assert result["anomalies"] > 0, told(result)

"""R7, short: a late end of transaction tears the control and neither the guarded producer nor the relay."""

from __future__ import annotations

import json

import pytest
from tests.chaos import r7, r7_relay
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
TRIALS = 4
RELAY_TRIALS = 2
SEED = 20130101


@pytest.mark.timeout(200)
def test_a_late_end_of_transaction_tears_the_control_and_not_the_guarded_producer(running: LocalStack) -> None:
    result = r7.run(trials=TRIALS, seed=SEED, stack=running, relay=False, normal=False)
    print(json.dumps(result, indent=1))
    assert result["control_anomalies"] > 0, "without a red control the test proves nothing"
    assert result["passed"], told(result)


@pytest.mark.timeout(200)
def test_the_relay_loses_and_doubles_nothing_by_a_late_commit(running: LocalStack) -> None:
    result = r7_relay.run(trials=RELAY_TRIALS, seed=SEED, stack=running)
    print(json.dumps(result, indent=1))
    assert result["passed"] and result["rows"] > 0, told(result)


@pytest.mark.timeout(200)
def test_a_relay_that_suspects_nothing_is_found_out(running: LocalStack) -> None:
    result = r7_relay.run(trials=3, seed=SEED, stack=running, saboteur=True)
    print(json.dumps(result, indent=1))
    assert result["anomalies"] > 0, result

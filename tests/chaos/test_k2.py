"""K2, short: a broker that stands still costs no row; a relay that acknowledges too early loses some."""

from __future__ import annotations

import pytest
from tests.chaos import k2
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130202


def test_a_broker_that_stands_still_costs_no_row_and_no_memory(running: LocalStack) -> None:
    (result,) = side_by_side(lambda: k2.run(trials=1, seed=SEED, stack=running))
    assert result["passed"], told(result)


@pytest.mark.long
def test_a_relay_that_acknowledges_too_early_is_found_out(running: LocalStack) -> None:
    (early,) = side_by_side(lambda: k2.run(trials=1, seed=SEED, stack=running, saboteur="early"))
    assert 0 < early["lost"] < early["rows"] and not early["passed"], told(early)

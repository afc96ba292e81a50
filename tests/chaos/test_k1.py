"""K1, short: brokers of three die under a relay and two workers; a relay that acknowledges too early is found out."""

from __future__ import annotations

import pytest
from tests.chaos import k1
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130110


def test_brokers_of_three_die_and_nothing_is_lost(running: LocalStack) -> None:
    (result,) = side_by_side(lambda: k1.run(trials=1, seed=SEED, stack=running))
    assert result["passed"], told(result)


@pytest.mark.long
def test_a_relay_that_acknowledges_too_early_is_found_out(running: LocalStack) -> None:
    (early,) = side_by_side(lambda: k1.run(trials=3, seed=SEED, stack=running, saboteur="early"))
    # all lost: a relay that does not run at all
    assert 0 < early["lost"] < early["rows"] and not early["passed"], told(early)

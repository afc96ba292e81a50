"""K2, short and light: a broker that stands still for a while costs no row and no memory."""

from __future__ import annotations

import pytest
from tests.chaos import k2
from tests.chaos.pairs import side_by_side

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(200)]
SEED = 20130202


def test_a_broker_that_stands_still_costs_no_row_and_no_memory(running: LocalStack) -> None:
    (result,) = side_by_side(lambda: k2.run(trials=1, seed=SEED, stack=running))
    assert result["passed"], result

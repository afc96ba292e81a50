"""S7, short: a server under attack goes on serving; one that waits and counts without an end is found out."""

from __future__ import annotations

import pytest
from tests.chaos import s7
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
SEED = 20130505


def test_one_address_does_not_wear_a_server_out() -> None:
    result, loose = side_by_side(
        lambda: s7.run(trials=1, seed=SEED), lambda: s7.run(trials=1, seed=SEED, saboteur="loose")
    )
    assert result["passed"], told(result)
    assert loose["faults"] and not loose["passed"], told(loose)

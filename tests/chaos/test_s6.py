"""S6, short: of hostile texts nothing escapes; from a cell without walls something does."""

from __future__ import annotations

import pytest
from tests.chaos import s6
from tests.chaos.verdict import told

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
SEED = 20130505


def test_nothing_escapes() -> None:
    result = s6.run(trials=4, seed=SEED)
    assert result["passed"], told(result)
    assert result["texts"] > 500


def test_a_cell_without_walls_is_found_out() -> None:
    result = s6.run(trials=6, seed=SEED, saboteur="open")
    assert result["escapes"] > 0 and not result["passed"], told(result)

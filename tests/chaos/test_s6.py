"""S6, short: of hostile texts nothing escapes; from a cell without walls something does."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import s6
from tests.chaos.pairs import found_out
from tests.chaos.verdict import told

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
SEED = 20130505


def test_nothing_escapes() -> None:
    result = s6.run(trials=4, seed=SEED, over=15.0)  # on a machine that stands still for a moment
    assert result["passed"], told(result)
    assert result["texts"] > 500


def test_a_cell_without_walls_is_found_out() -> None:
    def sabotaged(seed: int) -> dict[str, Any]:
        return s6.run(trials=6, seed=seed, saboteur="open", seconds=30.0)

    result = found_out(sabotaged, SEED, lambda found: found["escapes"])
    assert result["escapes"] > 0 and not result["passed"], told(result)

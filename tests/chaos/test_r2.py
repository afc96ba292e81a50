"""R2, short: PostgreSQL crashes and sends again what is published; and a relay that trusts its slot is found out."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import r2
from tests.chaos.pairs import found_out, hit, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130102


def test_what_a_crashed_server_sends_again_is_skipped(running: LocalStack) -> None:
    (result,) = side_by_side(lambda: hit(lambda seed: r2.run(trials=2, seed=seed, stack=running), SEED))
    assert result["passed"], told(result)
    assert result["rows_skipped"] > 0


def test_a_relay_that_trusts_its_slot_is_found_out(running: LocalStack) -> None:
    def sabotaged(seed: int) -> dict[str, Any]:
        return r2.run(trials=1, seed=seed, stack=running, saboteur="trusting")

    (result,) = side_by_side(lambda: found_out(sabotaged, SEED, lambda found: found["duplicates"]))
    assert result["duplicates"] > 0 and not result["passed"], told(result)

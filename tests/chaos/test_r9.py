"""R9, short: what is never committed is never seen; and a relay that does not wait for the commit is found out."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import r9
from tests.chaos.pairs import found_out, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130109


def test_no_phantom_is_seen_and_a_relay_that_does_not_wait_is_found_out(running: LocalStack) -> None:
    def sabotaged(seed: int) -> dict[str, Any]:
        return r9.run(trials=4, seed=seed, stack=running, saboteur="streaming")

    result, streaming = side_by_side(
        lambda: r9.run(trials=8, seed=SEED, stack=running),
        lambda: found_out(sabotaged, SEED, lambda found: found["phantom"]),
    )
    assert result["passed"], told(result)
    assert streaming["phantom"] > 0 and not streaming["passed"], told(streaming)

"""T4, short: what is settled stays as it was while processes are killed; a record slipped into it is found out."""

from __future__ import annotations

import pytest
from tests.chaos import t4
from tests.chaos.pairs import beside
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130404


def test_settled_history_stays_and_a_historian_is_found_out(running: LocalStack) -> None:
    result, historian = beside(
        lambda seed: t4.run(trials=1, seed=seed, stack=running),
        lambda seed: t4.run(trials=1, seed=seed, stack=running, saboteur="historian"),
        SEED,
        lambda found: found["digests_changed"],
    )
    assert result["passed"], told(result)
    assert historian["digests_changed"] > 0 and not historian["passed"], told(historian)

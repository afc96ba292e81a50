"""P4, short: state that is restored behind an open transaction is whole; who stops at the last stable offset is not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import p4
from tests.chaos.pairs import beside
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130504


def test_a_restore_behind_an_open_transaction_is_whole_and_one_that_stops_before_it_is_found_out(
    running: LocalStack,
) -> None:
    result, bounded = beside(
        lambda seed: p4.run(trials=1, seed=seed, stack=running),
        lambda seed: p4.run(trials=1, seed=seed, stack=running, saboteur="bounded"),
        SEED,
        lambda found: found["restored_behind_an_open_transaction"] and _harm(found),
    )
    assert result["passed"], told(result)
    assert bounded["restored_behind_an_open_transaction"] > 0 and not bounded["passed"], told(bounded)
    assert _harm(bounded) > 0, told(bounded)


def _harm(found: dict[str, Any]) -> int:
    return sum(found[name] for name in ("stale_state", "wrong", "duplicates", "phantom"))

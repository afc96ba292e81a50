"""P4, short: state that is restored behind an open transaction is whole; who stops at the last stable offset is not."""

from __future__ import annotations

import pytest
from tests.chaos import p4
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(500)]
SEED = 20130504


def test_a_restore_behind_an_open_transaction_is_whole_and_one_that_stops_before_it_is_found_out(
    running: LocalStack,
) -> None:
    result, bounded = side_by_side(
        lambda: p4.run(trials=1, seed=SEED, stack=running),
        lambda: p4.run(trials=1, seed=SEED, stack=running, saboteur="bounded"),
    )
    assert result["passed"], told(result)
    assert bounded["restored_behind_an_open_transaction"] > 0 and not bounded["passed"], told(bounded)
    assert bounded["stale_state"] + bounded["wrong"] + bounded["duplicates"] + bounded["phantom"] > 0, bounded

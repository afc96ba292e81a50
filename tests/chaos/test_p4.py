"""P4, short: state that is restored behind an open transaction is whole; who stops at the last stable offset is not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import p4
from tests.chaos.pairs import found_out, hit, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130504


def test_a_restore_behind_an_open_transaction_is_whole(running: LocalStack) -> None:
    (result,) = side_by_side(lambda: hit(lambda seed: p4.run(trials=1, seed=seed, stack=running), SEED))
    assert result["passed"], told(result)


@pytest.mark.long
def test_one_that_stops_before_it_is_found_out(running: LocalStack) -> None:
    def sabotaged(seed: int) -> dict[str, Any]:
        return p4.run(trials=1, seed=seed, stack=running, saboteur="bounded")

    def red(found: dict[str, Any]) -> bool:
        return bool(found["restored_behind_an_open_transaction"] and _harm(found))

    (bounded,) = side_by_side(lambda: found_out(sabotaged, SEED, red))
    assert bounded["restored_behind_an_open_transaction"] > 0 and not bounded["passed"], told(bounded)
    assert _harm(bounded) > 0, told(bounded)


def _harm(found: dict[str, Any]) -> int:
    return sum(found[name] for name in ("stale_state", "wrong", "duplicates", "phantom"))

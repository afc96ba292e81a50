"""R1, short: twenty kills and nothing lost, doubled or out of order; and the same checkers find two saboteurs out."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import r1
from tests.chaos.pairs import found_out, hit, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
KILLS = 20
SABOTEUR_KILLS = 6
LOOSE_KILLS = 20
SEED = 20130101


@pytest.mark.timeout(900)
def test_twenty_kills_lose_double_and_disorder_nothing(running: LocalStack) -> None:
    (result,) = side_by_side(
        lambda: hit(lambda seed: r1.run(trials=KILLS, seed=seed, stack=running, timed=False), SEED)
    )
    assert result["passed"], told(result)


@pytest.mark.timeout(900)
def test_a_relay_that_acknowledges_before_it_commits_is_found_out(running: LocalStack) -> None:
    def sabotaged(seed: int) -> dict[str, Any]:
        return r1.run(trials=SABOTEUR_KILLS, seed=seed, stack=running, saboteur="early")

    (early,) = side_by_side(lambda: found_out(sabotaged, SEED, lambda found: found["lost"]))
    # all lost: a relay that does not run at all
    assert 0 < early["lost"] < early["rows"] and not early["passed"], told(early)


@pytest.mark.long  # which kills fall between its two commits is chance: four were seen to miss
@pytest.mark.timeout(900)
def test_a_relay_that_commits_its_position_apart_is_found_out(running: LocalStack) -> None:
    (loose,) = side_by_side(lambda: r1.run(trials=LOOSE_KILLS, seed=SEED, stack=running, saboteur="loose"))
    assert 0 < loose["lost"] < loose["rows"] and not loose["passed"], told(loose)

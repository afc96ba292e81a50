"""P7 for runners, short: a commit whose answer is eaten is there once; who asks its own disk only says it again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos import p7
from tests.chaos.pairs import found_out, hit, side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130507


def test_a_commit_whose_answer_is_eaten_is_there_once(running: LocalStack) -> None:
    (result,) = side_by_side(lambda: hit(lambda seed: p7.run(trials=2, seed=seed, stack=running), SEED))
    assert result["passed"], told(result)


@pytest.mark.long
def test_who_does_not_ask_kafka_is_found_out(running: LocalStack) -> None:
    def sabotaged(seed: int) -> dict[str, Any]:
        return p7.run(trials=2, seed=seed, stack=running, saboteur="own")

    (own,) = side_by_side(lambda: found_out(sabotaged, SEED, lambda found: found["duplicates"]))
    assert own["duplicates"] > 0 and not own["passed"], told(own)

"""P7 for runners, short: a commit whose answer is eaten is there once; who asks its own disk only says it again."""

from __future__ import annotations

import pytest
from tests.chaos import p7
from tests.chaos.pairs import side_by_side
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(400)]
SEED = 20130507


def test_a_commit_whose_answer_is_eaten_is_there_once_and_who_does_not_ask_kafka_is_found_out(
    running: LocalStack,
) -> None:
    result, own = side_by_side(
        lambda: p7.run(trials=4, seed=SEED, stack=running),
        lambda: p7.run(trials=3, seed=SEED, stack=running, saboteur="own"),
    )
    assert result["passed"], told(result)
    assert own["duplicates"] > 0 and not own["passed"], told(own)

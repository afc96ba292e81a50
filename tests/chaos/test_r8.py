"""R8, short: a quiet outbox holds back little beside a noisy neighbour; an alarm; and a mute relay that is found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.chaos import r8
from tests.chaos.stacks import own_stack
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130108


@pytest.fixture(scope="module")
def alone() -> Iterator[LocalStack]:
    """A stack of our own: a small `max_slot_wal_keep_size` would lose the slots of others."""
    with own_stack() as local:
        yield local


def test_a_quiet_outbox_holds_back_little_and_a_stuck_relay_raises_the_alarm(alone: LocalStack) -> None:
    result = r8.run(trials=1, seed=SEED, stack=alone, seconds=40.0, checkpoints=True, timed=False)
    assert result["passed"], told(result)


@pytest.mark.long
def test_a_relay_that_acknowledges_nothing_while_idle_is_found_out(alone: LocalStack) -> None:
    result = r8.run(trials=1, seed=SEED, stack=alone, seconds=50.0, checkpoints=True, saboteur="mute")
    assert "retained_bounded" in result["against"] and not result["passed"], told(result)

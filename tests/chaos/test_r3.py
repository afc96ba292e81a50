"""R3, short: each way to hurt a slot once, repairs killed on the way; and a relay that believes its slot is found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.chaos import r3
from tests.chaos.stacks import own_stack
from tests.chaos.verdict import told

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130103


@pytest.fixture(scope="module")
def alone() -> Iterator[LocalStack]:
    """A stack of our own: a small `max_slot_wal_keep_size` would lose the slots of others."""
    with own_stack() as local:
        yield local


def test_slots_dropped_made_anew_advanced_and_lost_lose_and_double_nothing(alone: LocalStack) -> None:
    result = r3.run(trials=4, seed=SEED, stack=alone)
    assert result["passed"], told(result)
    assert result["rows_filled"] > 0


@pytest.mark.long
def test_a_relay_that_believes_its_slot_loses_rows_silently_and_is_found(alone: LocalStack) -> None:
    result = r3.run(trials=1, seed=SEED, stack=alone, saboteur="believing")
    assert result["went_on_silently"] == 1 and result["lost"] > 0 and not result["passed"], told(result)

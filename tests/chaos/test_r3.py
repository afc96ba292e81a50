"""R3, short: each way to hurt a slot once, a repair killed on the way; and a relay that trusts its slot is found."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.chaos import r1, r3

from headwater.local.stack import LocalStack

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
SEED = 20130101


@pytest.fixture(scope="module")
def running() -> Iterator[LocalStack]:
    """A stack of our own: a small `max_slot_wal_keep_size` would hurt the slots of others."""
    with r1.own_stack() as local:
        yield local


@pytest.mark.timeout(300)
def test_slots_dropped_made_anew_advanced_and_lost_lose_and_double_nothing(running: LocalStack) -> None:
    result = r3.run(trials=4, seed=SEED, stack=running)
    print(json.dumps(result, indent=1))
    assert result["passed"], result


@pytest.mark.timeout(200)
def test_a_relay_that_trusts_its_slot_loses_rows_silently_and_is_found_out(running: LocalStack) -> None:
    result = r3.run(trials=1, seed=SEED, stack=running, saboteur=True, variants=("made anew",))
    print(json.dumps(result, indent=1))
    assert result["went_on_silently"] == 1 and result["lost"] > 0 and not result["passed"], result

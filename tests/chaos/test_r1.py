"""R1, short: twenty kills and nothing lost, doubled or out of order; and the same checkers find a saboteur out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos import r1

from headwater.local.launch import start_stack
from headwater.local.stack import LocalStack
from headwater.settings import LocalPorts

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
KILLS = 20
SABOTEUR_KILLS = 6
SEED = 20130101


@pytest.fixture(scope="module")
def running() -> Iterator[LocalStack]:
    """One stack for both runs: that of HEADWATER_TEST_STACK, or one of our own."""
    named = os.environ.get("HEADWATER_TEST_STACK", "")
    if named:
        kept = json.loads(Path(named).read_text())
        local = LocalStack(Path(kept["data_folder"]), LocalPorts(kept["port_base"]))
        start_stack(local)
        yield local
        return
    with r1.own_stack() as local:
        yield local


@pytest.mark.timeout(400)
def test_twenty_kills_lose_double_and_disorder_nothing(running: LocalStack) -> None:
    result = r1.run(trials=KILLS, seed=SEED, stack=running)
    print(json.dumps(result, indent=1))
    assert result["passed"], result


@pytest.mark.timeout(300)
def test_a_relay_that_acknowledges_before_the_commit_is_found_out(running: LocalStack) -> None:
    result = r1.run(trials=SABOTEUR_KILLS, seed=SEED, stack=running, saboteur=True)
    print(json.dumps(result, indent=1))
    assert result["lost"] > 0 and not result["passed"], result

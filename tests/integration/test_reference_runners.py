"""The reference mesh's products by every runner, killed half-way, on real flights: what each publishes is equal to the
plain recomputation of the data set, and to what the others publish, to the byte.

`make conformance RUNNER=flink` names the runner that is tried, on all products; else those are that `make test` has
time for, on one.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from tests.integration.reference_flights import DERIVED, JOINED, ReferenceFlights
from tests.integration.test_runners import on_trial

from headwater.local.launch import start_stack
from headwater.ports.kafka import KafkaBroker
from headwater.ports.memory import MemoryBroker
from headwater.processing.digest import digest_of, require_kept
from headwater.schemas.registry_http import HttpRegistry
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.conformance.runner_memory import MemoryOnTrial
from headwater.testing.conformance.runner_processes import RunnerProcess
from headwater.testing.conformance.runner_trial import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

NAMED = os.environ.get("HEADWATER_RUNNER", "")
ROWS = 2_000
BATCHES = (200, 500)  # of the memory runner: one record at a time is for the suite of operators
MOVES = ("kafka", "faust", "kafka", "flink", "kafka", "flink", "faust")
SECONDS = 180.0
HOURLY = DERIVED[0]
PRODUCTS = DERIVED if NAMED else (HOURLY,)
# By name those that `make conformance` was not given are left out, and of `make test` what takes too long there.
RUNNERS = [NAMED] if NAMED else ["memory", "kafka", "faust", pytest.param("flink", marks=pytest.mark.long)]
MOVING = [] if NAMED == "memory" else [MOVES]


def flights(stack: Stack, folder: Path, products: Sequence[str]) -> ReferenceFlights:
    broker, registry = KafkaBroker({"bootstrap.servers": stack.kafka}), HttpRegistry(stack.registry_url)
    nonce = f"r{uuid.uuid4().hex[:8]}"
    return ReferenceFlights.made(
        folder, broker, registry, nonce=nonce, rows=ROWS, products=products, environment=stack.environment()
    )


@lru_cache
def digests_in_memory() -> dict[str, str]:
    """Of the products as the memory runner makes them in one life, from all of the reports at once."""
    with TemporaryDirectory() as folder:
        made = ReferenceFlights.made(
            Path(folder), MemoryBroker(), MemoryRegistry(), nonce="m", rows=ROWS, products=PRODUCTS
        )
        made.feed(0, 1)
        MemoryOnTrial(batches=BATCHES).start(made, [made.product(name).name for name in PRODUCTS])
        return {name: made.digest(name) for name in PRODUCTS}


@pytest.mark.slow
@pytest.mark.timeout(1_200 if NAMED else 300)  # all products, twice; on Flink a job for each
@pytest.mark.parametrize("name", RUNNERS)
def test_a_runner_that_is_killed_says_of_real_flights_what_the_recomputation_says(
    stack: Stack, tmp_path: Path, name: str
) -> None:
    made = flights(stack, tmp_path, PRODUCTS)
    runner = MemoryOnTrial(seed=1, batches=BATCHES) if name == "memory" else on_trial(name, stack)
    told = {product: runner.refusal(made, made.product(product).name) for product in PRODUCTS}
    assert {product for product, why in told.items() if why} == ({JOINED} & {*PRODUCTS} if name == "flink" else set())
    if JOINED in told and name == "flink":
        place = f"streams/planning{made.nonce}/delay_features/flow.py:12:1"
        assert f"{place} the flink runner does not take join_as_of" in told[JOINED]
    taken = [product for product in PRODUCTS if not told[product]]
    products = [made.product(product).name for product in taken]
    made.feed(0, 0.5)
    running = runner.start(made, products)
    try:
        wait_for(running, lambda: any(made.begun(product) for product in taken), seconds=SECONDS)
    finally:
        running.kill()
    through = made.feed(0.5, 1)
    running = runner.start(made, products)
    try:
        settled = lambda: all(made.settled(product) > through - 200_000 for product in taken)  # noqa: E731
        wait_for(running, settled, seconds=SECONDS)
    finally:
        running.stop()
    assert made.kinds("flights.departures") == {"assert", "correct", "retract"}
    for product in taken:
        assert made.differences(product) == [], product
        assert made.kinds(product) >= {"assert", "correct"}
        assert made.digest(product) == digests_in_memory()[product], product
        print(f"{name}: {product}: {len(made.messages(product))} records, {made.digest(product)}")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1_200)  # seven runners in turn
@pytest.mark.parametrize("moves", MOVING, ids="-".join)
def test_a_live_product_is_handed_from_runner_to_runner(stack: Stack, tmp_path: Path, moves: tuple[str, ...]) -> None:
    """By one word of its contract. Each drains and is stopped, and the next goes on: what was published before stays to
    the byte, and what comes of it in the end is what one runner alone makes.
    """
    start_stack(stack.local, extra=("flink",))
    made = flights(stack, tmp_path, [HOURLY])
    product = made.product(HOURLY)
    topic = product.output.topic
    for number, name in enumerate(moves):
        before = digest_of(made.broker, topic)
        made.names_runner(HOURLY, name)
        running = RunnerProcess(made, ["run", "--gateway", stack.local.flink_url, str(product.name)])
        try:
            through = made.feed(number / len(moves), (number + 1) / len(moves))
            settled = lambda: made.settled(HOURLY) > through - 200_000  # noqa: E731, B023
            wait_for(running, settled, seconds=SECONDS)
        finally:
            running.stop()
        require_kept(made.broker, topic, before)
        count = sum(one.records for one in digest_of(made.broker, topic))
        assert count > sum(one.records for one in before), f"{name} has said nothing"
    assert made.differences(HOURLY) == []
    assert made.digest(HOURLY) == digests_in_memory()[HOURLY]

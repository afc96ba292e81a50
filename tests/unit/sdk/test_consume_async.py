"""The consumer beside an event loop, over fakes: the loop goes on, and whoever cancels waits for what is open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.ports.test_consuming import World

from headwater.ports.consuming import ConsumeOptions, Consumer, Effects, Update
from headwater.ports.inbox_memory import MemoryInbox
from headwater.sdk.consume import beside_the_loop
from headwater.testing.source_products import order_events
from headwater.timeline.clock import SystemClock

COUNT = 30


def world() -> World:
    made = World(order_events(partitions=1))
    for number in range(COUNT):
        made.write(
            {
                "event_id": f"e{number}", "customer": "c", "number": number, "note": None, "occurred_at": number,
                "recorded_at": number, "kind": "assert", "revision": 1,
            }
        )  # fmt: skip
    return made


def consumer(made: World, handle: Callable[[Update], None], *, until_end: bool = False) -> Consumer:
    def told(update: Update, effects: list[object]) -> None:
        effects.append(update)
        handle(update)

    return Consumer(
        "board", made.product, made.broker, made.registry,
        Effects(lambda: MemoryInbox(made.home, ("board", made.product.output.topic)), told),
        clock=SystemClock(), options=ConsumeOptions(until_end=until_end),
    )  # fmt: skip


def numbers(made: World) -> list[int]:
    return [update.record["number"] for update in made.updates()]


def test_the_loop_goes_on_while_a_handler_waits() -> None:
    made, asked, answered = world(), threading.Event(), threading.Event()

    def handle(update: Update) -> None:
        asked.set()
        assert answered.wait(20)

    async def main() -> None:
        working = asyncio.create_task(beside_the_loop(consumer(made, handle, until_end=True).run))
        while not asked.is_set():
            await asyncio.sleep(0.001)
        answered.set()  # which nobody could, if the loop stood still
        await working

    asyncio.run(main())
    assert numbers(made) == list(range(COUNT))


@pytest.mark.parametrize("asks", [1, 3])
def test_who_cancels_waits_for_the_open_transaction_and_the_next_goes_on_behind_it(asks: int) -> None:
    made, begun, go_on = world(), threading.Event(), threading.Event()

    def handle(update: Update) -> None:
        begun.set()
        assert go_on.wait(20)

    async def main() -> None:
        working = asyncio.create_task(beside_the_loop(consumer(made, handle).run))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        for _ in range(asks):
            working.cancel()
            done, _ = await asyncio.wait([working], timeout=0.05)
            assert not done, "its transaction is still open"
        assert numbers(made) == []
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert numbers(made), "what was open is committed before the cancelled one ends"

    asyncio.run(main())
    before = len(numbers(made))
    made.write(
        {
            "event_id": "late", "customer": "c", "number": COUNT, "note": None, "occurred_at": 0, "recorded_at": COUNT,
            "kind": "assert", "revision": 1,
        }
    )  # fmt: skip
    asyncio.run(beside_the_loop(consumer(made, lambda update: None, until_end=True).run))
    assert numbers(made) == list(range(COUNT + 1)) and before <= COUNT


class Doubt(Exception):
    """What a handler raises."""


@pytest.mark.parametrize("cancelled", [False, True])
def test_what_a_handler_raises_comes_out_and_nothing_is_written(cancelled: bool) -> None:
    made, begun, go_on = world(), threading.Event(), threading.Event()

    def handle(update: Update) -> None:
        begun.set()
        assert go_on.wait(20)
        raise Doubt

    async def main() -> None:
        working: asyncio.Task[Any] = asyncio.create_task(beside_the_loop(consumer(made, handle).run))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        if cancelled:
            working.cancel()
            await asyncio.sleep(0.01)
        go_on.set()
        with pytest.raises(Doubt):
            await working

    asyncio.run(main())
    assert numbers(made) == []
    asyncio.run(beside_the_loop(consumer(made, lambda update: None, until_end=True).run))
    assert numbers(made) == list(range(COUNT))

"""`headwater.consume`: a product's updates, each taken in exactly once with what it causes in a PostgreSQL database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Event
from typing import Any, Literal, TypedDict, Unpack

from headwater.hooks import Hooks
from headwater.mesh.load import load_mesh
from headwater.ports.consuming import ConsumeOptions, Consumer, Effects, Handle
from headwater.ports.kafka import KafkaBroker
from headwater.schemas.registry_http import HttpRegistry
from headwater.sdk.inbox_postgres import PostgresInbox
from headwater.settings import environment_of, load_settings
from headwater.timeline.clock import SystemClock

_log = logging.getLogger("headwater.consume")


class Choices(TypedDict, total=False):
    """What a consumer may be told besides, each with the default of `ConsumeOptions`."""

    start: Literal["beginning", "end"]
    until_end: bool
    unreadable: Literal["stop", "skip"]
    remember: Literal["all", "retained"]


def consume(
    product: str,
    handle: Handle,
    *,
    consumer: str,
    database: str,
    stopping: Callable[[], bool] = lambda: False,
    **choices: Unpack[Choices],
) -> None:
    """Call `handle(update, connection)` for each update of a product, in its order, exactly once.

    `connection` is a psycopg connection to `database` inside a transaction, which also holds how far `consumer` has
    read: what `handle` writes through it is committed with that, or not at all. It must not commit. Corrections come
    as updates with `before` and `after`; repeats of a revision never come. Of several processes with one `consumer`
    name one reads, the others stand by.

        def show(update, connection):
            if update.after is None:
                connection.execute("DELETE FROM board WHERE hour = %s", [update.before["valid_from"]])
            else:
                connection.execute(
                    "INSERT INTO board VALUES (%s, %s) ON CONFLICT (hour) DO UPDATE SET flights = excluded.flights",
                    [update.after["valid_from"], update.after["departures"]],
                )

        headwater.consume("airports.hourly_punctuality", show, consumer="board", database="postgresql://localhost/board")

    `start` (`beginning`, or `end`) counts for a consumer that has never read. `until_end=True` returns where nothing
    more is committed, `stopping` is asked between transactions. `unreadable="skip"` passes over values that cannot be
    decoded, in place of stopping there. `remember="retained"` keeps a version only as long as its record is in the
    topic, so that the inbox does not grow for ever; a correction that comes later still is told with `before` None.
    Waits where broker, registry or database are away, which it logs as `headwater.consume`. Raises what `handle`
    raises, `CallerFault` HW-K081 to HW-K084 where going on would lose updates, and what `headwater.open` raises.
    """
    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    resolved = mesh.product(product)
    environment = environment_of(settings, mesh.file)
    clock = SystemClock()
    broker = KafkaBroker(environment.kafka, clock=clock)
    topic = resolved.output.topic
    options = ConsumeOptions(**choices)
    try:
        Consumer(
            consumer,
            resolved,
            broker,
            HttpRegistry(environment.registry_url),
            Effects(lambda: PostgresInbox(database, consumer=consumer, topic=topic), handle),
            clock=clock,
            hooks=Hooks([_tell]),
            options=options,
        ).run(stopping)
    finally:
        broker.close()


async def consume_async(
    product: str,
    handle: Handle,
    *,
    consumer: str,
    database: str,
    **choices: Unpack[Choices],
) -> None:
    """As `consume`, beside an event loop: until it is cancelled, which waits for the transaction that is open.

        consumer = asyncio.create_task(headwater.consume_async("flights.departures", show, consumer="board", …))
        ...
        consumer.cancel()

    `handle` is an ordinary function. It runs in a thread of its own, where it may wait for the database without holding
    up the loop; what it needs of the loop it asks for by `asyncio.run_coroutine_threadsafe`.
    """
    await beside_the_loop(
        lambda stopping: consume(product, handle, consumer=consumer, database=database, stopping=stopping, **choices)
    )


async def beside_the_loop(run: Callable[[Callable[[], bool]], None]) -> None:
    """Call `run(stopping)` in a thread of its own. Where this is cancelled, `stopping` says so, and its end is awaited.

    What `run` raises is raised here, also after that: whoever cancels hears of it.
    """
    ending = Event()
    working = asyncio.ensure_future(asyncio.to_thread(run, ending.is_set))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        ending.set()
        while not working.done():
            with suppress(asyncio.CancelledError):  # asked once more: the transaction is still open
                await asyncio.wait([working])
        if not working.cancelled() and working.exception() is not None:
            raise working.exception() from None  # type: ignore[misc]
        raise


def _tell(happening: str, fields: dict[str, Any]) -> None:
    if happening == "consumer.waiting":
        _log.warning("%s: %s; trying again [%s]", fields["consumer"], fields["reason"], fields["code"])
    elif happening == "consumer.forgot":
        _log.info("%s: forgot %d versions that retention has removed", fields["consumer"], fields["versions"])
    elif fields.get("unreadable"):
        _log.warning("%s: passed over %d values that cannot be decoded", fields["consumer"], fields["unreadable"])

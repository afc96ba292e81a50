"""The Faust application of airports.hourly_punctuality, major 1: yours to extend.

Written by `headwater runner faust eject`.

The agents below hand over to the product's stages, which read, compute and commit by themselves: leave them as they
are. What you add runs beside them, with Faust's own guarantee: at least once.

Run it: headwater run airports.hourly_punctuality --runner faust --app examples/faust_app.py
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import faust

from headwater.sdk.on_faust import products_on_faust

products = products_on_faust("airports.hourly_punctuality")
app = faust.App(**products.settings())
products.join(app)


@app.agent(products.topic(app, "flights.departures.v1"), concurrency=1)
async def flights_departures_v1(stream: faust.Stream) -> None:
    """Read by stage 'changes'."""
    await products.take(stream)


@app.agent(products.topic(app, "flights.departures.v1.progress"), concurrency=1)
async def flights_departures_v1_progress(stream: faust.Stream) -> None:
    """Read by stage 'changes'."""
    await products.take(stream)


@app.agent(products.topic(app, "airports.hourly_punctuality.v1.changes.rekey"), concurrency=1)
async def airports_hourly_punctuality_v1_changes_rekey(stream: faust.Stream) -> None:
    """Read by stage 'aggregate'."""
    await products.take(stream)


# Agents, timers and web views of our own: how often each airport's figures have changed since this worker started.

changes: Counter[str] = Counter()


@app.agent(app.topic("airports.hourly_punctuality.v1", value_type=bytes, value_serializer="raw"))
async def count_changes(stream: faust.Stream) -> None:
    """Each record of the product is a change of one airport's hour."""
    async for event in stream.events():
        changes[(event.message.key or b"").decode()] += 1


@app.timer(interval=60.0)
async def tell_changes() -> None:
    """A line a minute on the worker's log."""
    app.log.warning("changes by airport: %s", dict(changes))


@app.page("/changes/")
async def changes_view(view: Any, request: Any) -> Any:
    """The same as JSON: headwater run ... --web-port 6066, then http://127.0.0.1:6066/changes/."""
    return view.json(dict(changes))

"""Workload W2a on Faust: count and sum of orders per customer, from Avro to Avro, a table in memory, changelog on.

Runs in an environment of its own; nothing of Headwater is there. BENCH_SETTINGS names a JSON file with the settings.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import fastavro
import faust

FRAME_BYTES = 5
SETTINGS: dict[str, Any] = json.loads(Path(os.environ["BENCH_SETTINGS"]).read_text())
ORDER = fastavro.parse_schema(SETTINGS["order_schema"])
TOTAL = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Total",
        "fields": [
            {"name": "customer", "type": "string"},
            *({"name": name, "type": "long"} for name in ("orders", "amount_cents", "recorded_at")),
        ],
    }
)

app = faust.App(**SETTINGS["application"])
orders = app.topic(SETTINGS["input"], key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
totals = app.topic(SETTINGS["output"], key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
table = app.Table("totals", default=lambda: [0, 0], partitions=SETTINGS["partitions"])


@app.agent(orders)
async def fold(stream: faust.Stream[bytes]) -> None:
    """One output for each order."""
    async for key, value in stream.items():
        order = fastavro.schemaless_reader(io.BytesIO(value[FRAME_BYTES:]), ORDER, None)
        customer = order["customer"]
        number, amount_cents = table[customer]
        number, amount_cents = number + 1, amount_cents + order["amount_cents"]
        table[customer] = [number, amount_cents]
        body = io.BytesIO()
        body.write(bytes(FRAME_BYTES))
        total = {
            "customer": customer,
            "orders": number,
            "amount_cents": amount_cents,
            "recorded_at": int(order["recorded_at"].timestamp() * 1_000_000),
        }
        fastavro.schemaless_writer(body, TOTAL, total)
        await totals.send(key=key, value=body.getvalue())


if __name__ == "__main__":
    app.main()

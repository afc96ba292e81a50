"""Workload W2a on Quix Streams: count and sum of orders per customer, Avro to Avro, state in RocksDB, changelog on.

Runs in an environment of its own; nothing of Headwater is there. One argument: a JSON file with the settings.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import fastavro
from quixstreams import Application, State

FRAME_BYTES = 5
SETTINGS: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
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


def fold(value: bytes, state: State) -> bytes:
    """One output for each order."""
    order = fastavro.schemaless_reader(io.BytesIO(value[FRAME_BYTES:]), ORDER, None)
    orders, amount_cents = state.get("total", (0, 0))
    orders, amount_cents = orders + 1, amount_cents + order["amount_cents"]
    state.set("total", (orders, amount_cents))
    body = io.BytesIO()
    body.write(bytes(FRAME_BYTES))
    total = {
        "customer": order["customer"],
        "orders": orders,
        "amount_cents": amount_cents,
        "recorded_at": int(order["recorded_at"].timestamp() * 1_000_000),
    }
    fastavro.schemaless_writer(body, TOTAL, total)
    return body.getvalue()


def main() -> None:
    """Until SIGTERM."""
    app = Application(loglevel="WARNING", **SETTINGS["application"])
    orders = app.topic(SETTINGS["input"], key_deserializer="bytes", value_deserializer="bytes")
    totals = app.topic(SETTINGS["output"], key_serializer="bytes", value_serializer="bytes")
    app.dataframe(orders).apply(fold, stateful=True).to_topic(totals)
    app.run()


if __name__ == "__main__":
    main()

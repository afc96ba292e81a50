"""A small mesh of one product that captures a service's own table, written to a folder: an example, and for tests."""

from __future__ import annotations

from pathlib import Path

from headwater.testing.small_mesh import INSTANT, KIND, write

PRODUCT = "connectors/shop/orders/product.yaml"
MAPPING = "connectors/shop/orders/mapping.py"
SCHEMA = "schemas/avro/shop/orders/Order.avsc"

FILES = {
    "mesh.yaml": "name: shop\ndatabases: [shopdb]\nenvironments:\n  local: {stack: local}\n",
    PRODUCT: """product: shop.orders
version: 1.0.0
type: source-aligned
owner: {team: shop, contact: shop@example.org}
purpose: Each order, as the shop's own table has it.
capture: {database: shopdb, table: public.customer_order}
outputs:
  - {name: events, schema: Order, key: [order_id], ports: [topic, current]}
""",
    MAPPING: '''"""An order is one event, corrected with each change of its row, and taken back where the row goes."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from headwater import Change, Record


def mapping(change: Change) -> Iterator[Record]:
    before, after = change.before, change.after
    if before is not None and after is not None and before["id"] != after["id"]:
        yield Record(payload(before, "move"), event_id=f"order-{before['id']}", kind="retract")
        yield Record(payload(after, "move"), event_id=f"order-{after['id']}", kind="assert")
    else:
        yield Record(payload(change.row, change.op), event_id=f"order-{change.row['id']}")


def payload(row: Mapping[str, Any], op: str) -> dict[str, Any]:
    return {
        "order_id": str(row["id"]),
        "state": row["state"],
        "total": row["total"],
        "note": row["note"],
        "op": op,
        "occurred_at": row["ordered_at"],
    }


AT = datetime(2026, 1, 1, tzinfo=UTC)
ROW = {"id": 7, "state": "open", "total": Decimal("12.50"), "note": None, "ordered_at": AT}
SAMPLES = [
    Change("insert", None, ROW, datetime(2026, 1, 1, tzinfo=UTC)),
    Change("update", ROW, {**ROW, "state": "paid"}, datetime(2026, 1, 2, tzinfo=UTC)),
    Change("update", ROW, {**ROW, "id": 8}, datetime(2026, 1, 2, tzinfo=UTC)),
    Change("delete", ROW, None, datetime(2026, 1, 3, tzinfo=UTC)),
]
''',
    SCHEMA: f"""{{
  "type": "record", "name": "Order", "namespace": "shop.orders",
  "fields": [
    {{"name": "event_id", "type": "string"}},
    {{"name": "order_id", "type": "string"}},
    {{"name": "state", "type": "string"}},
    {{"name": "total", "type": {{"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}}}},
    {{"name": "note", "type": ["null", "string"], "default": null}},
    {{"name": "op", "type": "string"}},
    {{"name": "occurred_at", "type": {INSTANT}}},
    {{"name": "recorded_at", "type": {INSTANT}}},
    {{"name": "kind", "type": {KIND}}},
    {{"name": "revision", "type": "long"}}
  ]
}}
""",
}


def write_captured_mesh(folder: Path, *, domain: str = "shop", database: str = "shopdb") -> Path:
    """Write the files, and return the folder; another domain and database for a stack that others use too."""
    for name, text in FILES.items():
        text = text.replace("shop.orders", f"{domain}.orders").replace("shopdb", database)
        write(folder, name.replace("/shop/", f"/{domain}/"), text)
    return folder

"""The source that R1 hurts: one product, its mesh folder, and a service in plain SQL with a ledger beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

_INSTANT = '{"type": "long", "logicalType": "timestamp-micros"}'
_KIND = '{"type": "enum", "name": "headwater.Kind", "symbols": ["assert", "correct", "retract"]}'

_SCHEMA = f"""{{"type": "record", "name": "Order", "namespace": "chaos.PRODUCT", "fields": [
  {{"name": "event_id", "type": "string"}},
  {{"name": "customer", "type": "string"}},
  {{"name": "number", "type": "long"}},
  {{"name": "occurred_at", "type": {_INSTANT}}},
  {{"name": "recorded_at", "type": {_INSTANT}}},
  {{"name": "kind", "type": {_KIND}}},
  {{"name": "revision", "type": "long"}}]}}
"""

_CONTRACT = """product: chaos.PRODUCT
version: 1.0.0
type: source-aligned
owner: {team: chaos, contact: chaos@example.org}
purpose: What R1 kills the relay over.
outbox: {database: DATABASE, table: public.outbox}
outputs:
  - name: events
    schema: Order
    key: [customer]
    retention: forever
"""

# The key's version is taken under the customer's row lock, so that it rises in commit order; row, ledger and outbox are
# one transaction. A version that is rolled back is given again: versions have no gap.
_SERVICE = """
CREATE TABLE customer (name text PRIMARY KEY, version bigint NOT NULL DEFAULT 0);
CREATE TABLE ledger (id uuid, customer text, version bigint, xid xid8);
CREATE FUNCTION place_orders(names text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE one text; taken bigint; row_id uuid;
BEGIN
  FOREACH one IN ARRAY names LOOP
    INSERT INTO customer AS c VALUES (one, 1) ON CONFLICT (name) DO UPDATE SET version = c.version + 1
      RETURNING version INTO taken;
    row_id := gen_random_uuid();
    INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, key_version)
      VALUES (row_id, 'chaos.PRODUCT', one, 'chaos.PRODUCT.Order',
              jsonb_build_object('customer', one, 'number', taken, 'occurred_at', 1), taken);
    INSERT INTO ledger VALUES (row_id, one, taken, pg_current_xact_id());
  END LOOP;
END $$;
"""


def schema(product: str) -> str:
    """The schema of the product `chaos.<product>`."""
    return _SCHEMA.replace("PRODUCT", product)


def write_mesh(folder: Path, product: str, database: str) -> None:
    """The mesh's files."""
    files = {
        "mesh.yaml": f"name: {product}\ndatabases: [{database}]\nenvironments:\n  local: {{stack: local}}\n",
        f"connectors/chaos/{product}/product.yaml": _CONTRACT.replace("PRODUCT", product).replace("DATABASE", database),
        f"schemas/avro/chaos/{product}/Order.avsc": schema(product),
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def make_service(dsn: str, product: str) -> None:
    """The service's own tables, once `apply` has made the outbox."""
    with psycopg.connect(dsn) as connection:
        connection.execute(_SERVICE.replace("PRODUCT", product))


def ledger(dsn: str) -> list[tuple[str, str, int, str]]:
    """What was committed: row id, customer, version, transaction."""
    with psycopg.connect(dsn) as connection:
        rows: list[Any] = connection.execute("SELECT id::text, customer, version, xid::text FROM ledger").fetchall()
    return rows


def slot_lsn(dsn: str, slot: str) -> int:
    """What the relay has acknowledged."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = %s", [slot]
        ).fetchone()
    return int(row[0]) if row else 0

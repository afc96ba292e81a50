"""The service that chaos is made around: two products in one outbox, in plain SQL, and a ledger of every commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from tests.chaos.checkers import Entry

PRODUCTS = ("orders", "refunds")
PARTITIONS = 4
INSTANT = '{"type": "long", "logicalType": "timestamp-micros"}'
KIND = '{"type": "enum", "name": "headwater.Kind", "symbols": ["assert", "correct", "retract"]}'

_SCHEMA = f"""{{"type": "record", "name": "Order", "namespace": "PRODUCT", "fields": [
  {{"name": "event_id", "type": "string"}},
  {{"name": "customer", "type": "string"}},
  {{"name": "number", "type": "long"}},
  {{"name": "occurred_at", "type": {INSTANT}}},
  {{"name": "recorded_at", "type": {INSTANT}}},
  {{"name": "kind", "type": {KIND}}},
  {{"name": "revision", "type": "long"}}]}}
"""

_CONTRACT = """product: PRODUCT
version: 1.0.0
type: source-aligned
owner: {team: chaos, contact: chaos@example.org}
purpose: What the relay is killed over.
outbox: {database: DATABASE, table: public.outbox, lane: LANE, validate: relay}
outputs:
  - name: events
    schema: Order
    key: [customer]
    retention: forever
"""

# The key's version is taken under the customer's row lock, so that it rises in commit order; row, ledger and outbox are
# one transaction. A version that is rolled back is given again: versions have no gap. Each 25th of a key corrects the
# event before it; after each 40th comes a row that lacks a field: it takes no version, and quarantine is its place. The
# sequence counts attempts, for it alone is not rolled back.
_SERVICE = """
CREATE SEQUENCE attempted;
CREATE TABLE aside_table (id bigint, note text);
CREATE TABLE customer (product text, name text, version bigint NOT NULL, event_id text, PRIMARY KEY (product, name));
CREATE TABLE ledger (id uuid, product text, customer text, version bigint, xid xid8, event_id text, kind text,
  revision bigint, outcome text);
CREATE FUNCTION place_orders(names text[], into_product text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE one text; taken bigint; row_id uuid; before text; event text; corrects boolean;
BEGIN
  FOREACH one IN ARRAY names LOOP
    PERFORM nextval('attempted');
    row_id := gen_random_uuid();
    INSERT INTO customer AS c VALUES (into_product, one, 1, row_id::text) ON CONFLICT (product, name)
      DO UPDATE SET version = c.version + 1 RETURNING c.version, c.event_id INTO taken, before;
    corrects := taken % 25 = 0;
    event := CASE WHEN corrects THEN before ELSE row_id::text END;
    UPDATE customer SET event_id = event WHERE product = into_product AND name = one;
    INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, key_version, event_id, kind, revision)
      VALUES (row_id, into_product, one, into_product || '.Order',
              jsonb_build_object('customer', one, 'number', taken, 'occurred_at', 1), taken, event,
              CASE WHEN corrects THEN 'correct' ELSE 'assert' END, CASE WHEN corrects THEN 2 ELSE 1 END);
    INSERT INTO ledger VALUES (row_id, into_product, one, taken, pg_current_xact_id(), event,
      CASE WHEN corrects THEN 'correct' ELSE 'assert' END, CASE WHEN corrects THEN 2 ELSE 1 END, 'published');
    IF taken % 40 = 0 THEN
      row_id := gen_random_uuid();
      INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload)
        VALUES (row_id, into_product, one, into_product || '.Order', jsonb_build_object('customer', one));
      INSERT INTO ledger VALUES (row_id, into_product, one, 0, pg_current_xact_id(), '', '', 0, 'quarantined');
    END IF;
  END LOOP;
END $$;
"""


def names(mark: str) -> list[str]:
    """The products, told from those of other runs by a mark."""
    return [f"chaos.{name}_{mark}" for name in PRODUCTS]


def schema(product: str) -> str:
    """The schema of a product."""
    return _SCHEMA.replace("PRODUCT", product)


def write_mesh(folder: Path, products: list[str], database: str, lane: str = "native") -> None:
    """The mesh's files."""
    files = {"mesh.yaml": f"name: {database}\ndatabases: [{database}]\nenvironments:\n  local: {{stack: local}}\n"}
    for product in products:
        path = product.replace(".", "/")
        contract = _CONTRACT.replace("PRODUCT", product).replace("DATABASE", database).replace("LANE", lane)
        files[f"connectors/{path}/product.yaml"] = contract
        files[f"schemas/avro/{path}/Order.avsc"] = schema(product)
    for name, text in files.items():
        path_there = folder / name
        path_there.parent.mkdir(parents=True, exist_ok=True)
        path_there.write_text(text)


def make_service(dsn: str) -> None:
    """The service's own tables, once `apply` has made the outbox."""
    with psycopg.connect(dsn) as connection:
        connection.execute(_SERVICE)


def ledger(dsn: str) -> list[Entry]:
    """What was committed."""
    query = (
        "SELECT id::text, product || '.v1', customer, version, xid::text, event_id, kind, revision, outcome FROM ledger"
    )
    with psycopg.connect(dsn) as connection:
        rows: list[Any] = connection.execute(query).fetchall()
    return [Entry(*row) for row in rows]


def attempted(dsn: str) -> int:
    """How many rows were ever tried; those that are not in the ledger were rolled back or never committed."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT last_value FROM attempted").fetchone()
    return int(row[0]) if row else 0

"""The outbox table as DDL: columns of the Debezium outbox convention and three more, and what the database refuses.

Append-only and light: the primary key is the one index of rows, so that an insert costs little; that over `created_at`
holds one entry for many pages, and lets the relay ask cheaply what waits. The publication sends inserts
only, which is why the table needs no replica identity. One partition holds a day, so that old rows go by dropping a
table; rows of a day that has none go to the partition `rest`, so that no insert ever fails for want of one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from headwater import naming
from headwater.errors import CallerFault

PAYLOAD_BYTES_LIMIT = 900_000  # a record must fit the broker's default of a million bytes with everything around it
PRODUCTS_CONSTRAINT = "outbox_products"
DAYS_AHEAD = 7  # a relay that is away for a week finds its partitions made


def create_table(table: str) -> str:
    """The table, `schema.table`, and its partition for days without one; nothing happens where they exist.

    A plain INSERT from any language is all that a service needs:

    >>> "CREATE TABLE IF NOT EXISTS public.outbox" in create_table("public.outbox")
    True
    """
    return f"""CREATE TABLE IF NOT EXISTS {quoted(table)} (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  aggregatetype varchar(255) NOT NULL,
  aggregateid varchar(255) NOT NULL,
  type varchar(255) NOT NULL,
  payload jsonb,
  kind varchar(7) NOT NULL DEFAULT 'assert',
  revision bigint NOT NULL DEFAULT 1,
  event_id varchar(36),
  payload_avro bytea,
  key_version bigint,
  traceparent varchar(55),
  replay_of uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, created_at),
  CONSTRAINT outbox_kind CHECK (kind IN ('assert', 'correct', 'retract')),
  CONSTRAINT outbox_revision CHECK (revision >= 1),
  CONSTRAINT outbox_one_payload CHECK (num_nonnulls(payload, payload_avro) = 1),
  CONSTRAINT outbox_payload_object CHECK (jsonb_typeof(payload) = 'object'),
  CONSTRAINT outbox_payload_size CHECK (
    pg_column_size(payload) < {PAYLOAD_BYTES_LIMIT} AND octet_length(payload_avro) < {PAYLOAD_BYTES_LIMIT})
) PARTITION BY RANGE (created_at);
CREATE INDEX IF NOT EXISTS {quoted(table).rpartition(".")[2]}_created_at ON {quoted(table)}
  USING BRIN (created_at) WITH (autosummarize = on);
CREATE TABLE IF NOT EXISTS {naming.outbox_partition(quoted(table), "rest")} PARTITION OF {quoted(table)} DEFAULT"""


def create_partition(table: str, day: str) -> tuple[str, str]:
    """Two statements that make the partition of a day (UTC). Attached, not created in place: that blocks no writer.

    >>> create_partition("public.outbox", "2026-11-28")[0]
    'CREATE TABLE IF NOT EXISTS public.outbox_20261128 (LIKE public.outbox INCLUDING ALL)'
    """
    target, partition = quoted(table), naming.outbox_partition(quoted(table), day)
    return (
        f"CREATE TABLE IF NOT EXISTS {partition} (LIKE {target} INCLUDING ALL)",
        f"ALTER TABLE {target} ATTACH PARTITION {partition} "
        f"FOR VALUES FROM ('{day} 00:00:00+00') TO ('{day} 00:00:00+00'::timestamptz + interval '24 hours')",
    )


def allow_products(table: str, products: Sequence[str]) -> tuple[str, str]:
    """Two statements: the table takes rows of these products and of no others."""
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in sorted(products))
    target = quoted(table)
    return (
        f"ALTER TABLE {target} DROP CONSTRAINT IF EXISTS {PRODUCTS_CONSTRAINT}",
        f"ALTER TABLE {target} ADD CONSTRAINT {PRODUCTS_CONSTRAINT} CHECK (aggregatetype IN ({names})) NOT VALID",
    )


def products_in(definition: str) -> list[str]:
    """The products that the constraint's definition names, as the server prints it.

    >>> products_in("CHECK (((aggregatetype)::text = 'fleet.aircraft'::text)) NOT VALID")
    ['fleet.aircraft']
    """
    return re.findall(r"'([a-z0-9_]+\.[a-z0-9_]+)'", definition)


def create_publication(table: str, publication: str) -> str:
    """The publication of the table's inserts; rows come under the table's name, whichever partition holds them."""
    return (
        f'CREATE PUBLICATION "{publication}" FOR TABLE {quoted(table)} '
        "WITH (publish = 'insert', publish_via_partition_root = true)"
    )


def insert(table: str) -> str:
    """The INSERT of `emit`, with the parameters of `OutboxEvent.values`; JSON text becomes jsonb in the database.

    >>> insert("public.outbox").count("%s")
    12
    """
    return (
        f"INSERT INTO {quoted(table)} (id, aggregatetype, aggregateid, type, payload, kind, revision, event_id, "
        "payload_avro, key_version, traceparent, replay_of) "
        "VALUES (%s, %s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s, %s, %s)"
    )


def quoted(table: str) -> str:
    """A table's name as SQL takes it.

    >>> quoted("public.outbox"), quoted("outbox")
    ('public.outbox', 'public.outbox')
    """
    schema, _, name = table.rpartition(".")
    schema = schema or "public"
    for part in (schema, name):
        if not part.replace("_", "a").isalnum() or not part.isascii() or part != part.lower() or part[0].isdigit():
            raise CallerFault(
                f"'{table}' is not a table's name",
                code="HW-O040",
                detail="an outbox table is <schema>.<table>, of small letters, digits and underscores",
                hint="for example public.outbox",
            )
    return f"{schema}.{name}"

"""The database's own half of emitting, as SQL: a function that writes rows once, and typed ones for each product.

`headwater.emit` calls the first; services in other languages call those of their products, or INSERT by themselves.
"""

from __future__ import annotations

from headwater import naming
from headwater.mesh.products import ResolvedProduct
from headwater.outbox.check_sql import key_expression
from headwater.outbox.event import COLUMNS
from headwater.outbox.routine import Routine

_TYPES = {
    "id": "uuid",
    "payload": "jsonb",
    "revision": "bigint",
    "payload_avro": "bytea",
    "key_version": "bigint",
    "replay_of": "uuid",
}
# What must be the same where a row is emitted again. A second attempt has a trace of its own, and a later key_version.
_CONTENTS = ("aggregatetype", "aggregateid", "type", "payload", "payload_avro", "kind", "revision", "event_id")


def emit_routine(table: str) -> Routine:
    """The function that writes rows, given as an array of objects by the names of the columns; `table` is qualified.

    It answers, for each row, `new`, `known` (the same row is there: nothing to do) or `other` (it is there with other
    contents: nothing at all was written). A lock for each id makes a second emitter wait for the first one's end: the
    table is partitioned by day, so that no index alone could tell that a row is there.

    >>> "pg_advisory_xact_lock" in emit_routine("public.outbox").body
    True
    """
    columns = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in COLUMNS)
    same = " AND ".join(f"o.{name} IS NOT DISTINCT FROM a.{name}" for name in _CONTENTS)
    body = f"""
#variable_conflict use_column
BEGIN
  -- A statement of its own, so that the next one sees what was committed while this one waited; in order, against
  -- deadlocks.
  PERFORM pg_advisory_xact_lock(one.number) FROM (
    SELECT DISTINCT ('x' || left(replace(r.id::text, '-', ''), 16))::bit(64)::bigint AS number
    FROM jsonb_to_recordset(given) AS r(id uuid) ORDER BY 1) one;
  RETURN QUERY
  WITH asked AS MATERIALIZED (
    SELECT DISTINCT ON (r.id) r.* FROM ROWS FROM (jsonb_to_recordset(given) AS ({columns}))
      WITH ORDINALITY AS r({", ".join(COLUMNS)}, place) ORDER BY r.id, r.place),
  known AS MATERIALIZED (
    -- By the index for each row, never by reading the table: hence the limit, and the setting below.
    SELECT a.id, o.same FROM asked a CROSS JOIN LATERAL (
      SELECT {same} AS same FROM {table} o WHERE o.id = a.id ORDER BY same LIMIT 1) o),
  written AS (
    INSERT INTO {table} ({", ".join(COLUMNS)})
    SELECT {", ".join("a." + name for name in COLUMNS)} FROM asked a
    WHERE NOT EXISTS (SELECT FROM known k WHERE NOT k.same) AND NOT EXISTS (SELECT FROM known k WHERE k.id = a.id)
    ORDER BY a.place)
  SELECT a.id, CASE WHEN k.id IS NULL THEN 'new' WHEN k.same THEN 'known' ELSE 'other' END
  FROM asked a LEFT JOIN known k ON k.id = a.id;
END"""
    return Routine(
        naming.emit_function(table),
        "given jsonb",
        "TABLE (id uuid, outcome text)",
        body,
        volatility="VOLATILE",
        settings="SET enable_seqscan = off",
    )


def product_routines(table: str, product: ResolvedProduct) -> list[Routine]:
    """The two functions by which SQL emits a product: as a row of the table, and as a logical message.

    They fill in the product, the schema and the key. The first writes each identity and revision once, returns the
    row's id, and raises where it stands there with other contents. The second checks by itself: no trigger sees a
    message.

    >>> from headwater.testing.source_products import order_events
    >>> [routine.name for routine in product_routines("public.outbox", order_events())]
    ['public.headwater_emit_orders_placed', 'public.headwater_message_orders_placed']
    """
    event = product.output.shape == "event"
    said = "event_id text DEFAULT NULL, " if event else ""
    parameters = (
        f"payload jsonb, {said}kind text DEFAULT 'assert', revision bigint DEFAULT 1, "
        "key_version bigint DEFAULT NULL, traceparent text DEFAULT NULL"
    )
    emit = f"""{_document(table, product)}
  SELECT e.outcome INTO STRICT outcome FROM {naming.emit_function(table)}(jsonb_build_array(document)) e;
  IF outcome = 'other' THEN
    RAISE EXCEPTION '{product.name}: revision % of this {product.output.shape} was emitted before, with other contents',
      revision USING ERRCODE = 'unique_violation', HINT = 'emit the change with the next revision';
  END IF;
  RETURN row_id;
END"""
    message = f"""{_document(table, product)}
  {_check(table, product) if event else ""}
  PERFORM pg_logical_emit_message(true, '{naming.message_prefix(table)}', document::text);
  RETURN row_id;
END"""
    names = [naming.product_function(table, product.name, verb) for verb in ("emit", "message")]
    return [
        Routine(name, parameters, "uuid", body, volatility="VOLATILE")
        for name, body in zip(names, (emit, message), strict=True)
    ]


def _document(table: str, product: ResolvedProduct) -> str:
    """The beginning of both: the row's id, as `emission.identified` makes it, and the row as a document."""
    event = product.output.shape == "event"
    # A fact's identity is read from its payload, which must be right for that.
    first = _NEW_EVENT.format(product=product.name) if event else _check(table, product)
    identity = (
        "event_id"
        if event
        else f"key || chr(10) || {_microseconds('valid_from')} || chr(10) || {_microseconds('valid_to')}"
    )
    event_id = "'event_id', event_id, " if event else ""
    return f"""
#variable_conflict use_variable
DECLARE
  key text := {key_expression(product)};
  name text;
  hash bytea;
  row_id uuid := gen_random_uuid();
  outcome text;
  wrong text;
  document jsonb;
BEGIN
  {first}
  name := '{product.name}' || chr(10) || {identity} || chr(10) || revision;
  IF name IS NOT NULL THEN
    hash := substr(sha256(convert_to(name, 'UTF8')), 1, 16);
    hash := set_byte(hash, 6, get_byte(hash, 6) & 15 | 128);
    row_id := encode(set_byte(hash, 8, get_byte(hash, 8) & 63 | 128), 'hex')::uuid;
  END IF;
  document := jsonb_strip_nulls(jsonb_build_object('id', row_id, 'aggregatetype', '{product.name}', 'aggregateid', key,
    'type', '{product.output.schema.name}', 'kind', kind, 'revision', revision, {event_id}'key_version', key_version,
    'traceparent', traceparent)) || jsonb_build_object('payload', payload);"""


_NEW_EVENT = """IF event_id IS NULL AND kind <> 'assert' THEN
    RAISE EXCEPTION '{product}: a % says no event_id', kind USING ERRCODE = 'check_violation',
      HINT = 'keep the event''s id in your own row, and pass it each time';
  END IF;"""


def _check(table: str, product: ResolvedProduct) -> str:
    return f"""wrong := {naming.check_function(table, product.name)}(
    '{product.output.schema.name}', key, kind, revision, payload, NULL);
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION '{product.name}: %', wrong USING ERRCODE = 'check_violation';
  END IF;"""


def _microseconds(field: str) -> str:
    """An instant of the payload as whole microseconds, in text; empty where it is null or left out."""
    value = f"(payload -> '{field}')"
    text = f"regexp_replace({value} #>> '{{}}', '([.][0-9]{{6}})[0-9]+', '\\1')"
    return (
        f"CASE jsonb_typeof({value}) WHEN 'number' THEN {value}::text "
        f"WHEN 'string' THEN (extract(epoch FROM {text}::timestamptz)::numeric * 1000000)::bigint::text ELSE '' END"
    )

"""An outbox row as a record of a quarantine topic, whole, and back, so that it can be published later as it was."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.errors import Misfit
from headwater.mesh.products import ResolvedProduct
from headwater.naming import quarantine_topic
from headwater.outbox.pgoutput import Row
from headwater.ports.quarantine import Origin, QuarantineClass, quarantine_headers
from headwater.ports.record import Header, Outgoing

VALUE_BYTES_LIMIT = 950_000  # below the million bytes that a broker's record may have by default, headers included
_COLUMNS = {"aggregatetype": 1, "type": 3, "kind": 5, "revision": 6, "event_id": 7}
_OUTBOX = "outbox."
_TOO_LARGE = "quarantine.value.bytes"


def row_headers(row: Row) -> list[Header]:
    """The headers that a row's record has, published or not."""
    headers: list[Header] = [("id", row[0] or b"")]
    if row[9] is not None:
        headers.append(("key_version", row[9]))
    if row[10] is not None:
        headers.append(("traceparent", row[10]))
    if row[11] is not None:
        headers.append(("replay.id", row[11]))
    return headers


def set_aside(
    row: Row,
    product: ResolvedProduct,
    misfit: Misfit,
    kind: QuarantineClass,
    origin: Origin,
    more: Sequence[Header] = (),
) -> Outgoing:
    """The record that keeps a row in a product's quarantine, with the reason; `more` are headers added last."""
    version = str(product.product.version)
    headers = row_headers(row) + quarantine_headers(origin, misfit, stage="relay", kind=kind, contract_version=version)
    for name, place in _COLUMNS.items():
        value = row[place]
        if value is not None:
            headers.append((_OUTBOX + name, value))
    payload = row[4] if row[4] is not None else row[8]
    if payload is not None and len(payload) > VALUE_BYTES_LIMIT:
        headers.append((_TOO_LARGE, str(len(payload)).encode()))  # it is in the table, by its id
        payload = None
    topic = quarantine_topic(product.name, product.major)
    return topic, -1, row[2] or b"", payload, origin.timestamp, [*headers, *more]


def row_of(key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> Row:
    """The row that `set_aside` kept; without a payload where it was too large to be kept.

    >>> headers = [("id", b"7"), ("outbox.aggregatetype", b"a.b"), ("outbox.type", b"a.b.C"), ("outbox.revision", b"1")]
    >>> row_of(b"k", b'{"x":1}', headers)[:7]
    (b'7', b'a.b', b'k', b'a.b.C', b'{"x":1}', None, b'1')
    """
    named = dict(headers)
    column = {name: named.get(_OUTBOX + name) for name in _COLUMNS}
    # bytea is printed as `\x` and digits, and no JSON object begins so.
    avro = value is not None and value.startswith(b"\\x")
    return (
        named.get("id"),
        column["aggregatetype"],
        key,
        column["type"],
        None if avro else value,
        column["kind"],
        column["revision"],
        column["event_id"],
        value if avro else None,
        named.get("key_version"),
        named.get("traceparent"),
        named.get("replay.id"),
    )

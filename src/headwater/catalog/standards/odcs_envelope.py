"""The fields that every record of a mesh has, added where an imported contract lacks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headwater.catalog.standards.odcs_own import JsonObject
from headwater.schemas.annotations import KIND_NAME, KINDS

_INSTANT: Final = {"type": "long", "logicalType": "timestamp-micros"}
_ADDED: Final[dict[str, JsonObject]] = {
    "event_id": {"type": "string", "doc": "Identity of the event, the same in each correction of it."},
    "occurred_at": {"type": _INSTANT, "doc": "Valid time: when it happened, UTC, microseconds."},
    "valid_from": {"type": _INSTANT, "doc": "Valid time: from when it holds, UTC, microseconds."},
    "valid_to": {"type": ["null", _INSTANT], "default": None, "doc": "Valid time: until when it holds; null is open."},
    "recorded_at": {"type": _INSTANT, "doc": "When the mesh first knew, UTC, microseconds."},
    "kind": {
        "type": {"type": "enum", "name": KIND_NAME, "symbols": list(KINDS)},
        "doc": "What the record does to what was known: assert it, correct it, take it back.",
    },
    "revision": {"type": "long", "doc": "1 for the first report, higher for each change of it."},
}
EVENT: Final = ("event_id", "occurred_at", "recorded_at", "kind", "revision")
NEVER_NULL: Final = ("event_id", "occurred_at", "valid_from", "recorded_at", "kind", "revision")
FACT: Final = ("valid_from", "valid_to", "recorded_at", "kind", "revision")


def with_envelope(fields: Sequence[JsonObject]) -> tuple[list[JsonObject], tuple[str, ...]]:
    """The fields with those that are missing at the end, and the names of these. With `valid_from` it is a fact.

    >>> with_envelope([{"name": "valid_from", "type": "string"}])[1]
    ('valid_to', 'recorded_at', 'kind', 'revision')
    """
    present = {field["name"] for field in fields}
    wanted = FACT if "valid_from" in present and "event_id" not in present else EVENT
    added = tuple(name for name in wanted if name not in present)
    return [*fields, *({"name": name, **_ADDED[name]} for name in added)], added

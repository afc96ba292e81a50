"""What the platform reads out of a schema: the shape of its records, the platform's own fields, marks on fields.

The rules are those of `docs/concepts/schemas.md`: each record says when it was true, when it was recorded, whether it
asserts, corrects or retracts, and its revision.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, Literal

from headwater.errors import Finding
from headwater.schemas.avro import Schema, without
from headwater.schemas.types import AvroType, Enum, Field, Primitive, Record, Union

PLATFORM_FIELDS: Final = ("event_id", "recorded_at", "kind", "revision")  # the relay fills them in
KINDS: Final = ("assert", "correct", "retract")
KIND_NAME: Final = "headwater.Kind"
Shape = Literal["event", "fact"]


def shape_of(schema: Schema) -> Shape:
    """Whether records are events (they have an `event_id`) or facts (they hold for an interval).

    >>> from headwater.schemas.avro import parse
    >>> shape_of(parse('{"type": "record", "name": "R", "fields": [{"name": "event_id", "type": "string"}]}'))
    'event'
    """
    return "event" if any(field.name == "event_id" for field in schema.fields) else "fact"


@lru_cache(maxsize=1024)
def payload_schema(schema: Schema) -> Schema:
    """What a service writes into its outbox: the schema without the platform's fields."""
    return without(schema, PLATFORM_FIELDS)


def tags(field: Field) -> tuple[str, ...]:
    """The marks on a field, such as `PII`: the Avro attribute `confluent:tags`."""
    marks = field.attributes.get("confluent:tags", ())
    return tuple(mark for mark in marks if isinstance(mark, str)) if isinstance(marks, list | tuple) else ()


def envelope_findings(schema: Schema, file: str) -> list[Finding]:
    """What is not as the platform needs it in the schema of an output: fields missing, or of another type."""
    if not isinstance(schema.type, Record):
        return [
            Finding(
                "HW-S050", "error", file, 1, 1, "", f"a product's records are no {schema.name}",
                "times and keys are fields", "make it a record",
            )
        ]  # fmt: skip
    return list(_envelope(schema, file))


def _envelope(schema: Schema, file: str) -> Iterator[Finding]:
    fields = {field.name: field for field in schema.fields}
    event = "event_id" in fields
    wanted = ("event_id", "occurred_at") if event else ("valid_from", "valid_to")
    for name in (*wanted, "recorded_at", "kind", "revision"):
        field = fields.get(name)
        if field is None:
            yield Finding(
                "HW-S051", "error", file, 1, 1, "", f"the field '{name}' is missing",
                "events have event_id and occurred_at, facts valid_from and valid_to; "
                "both have recorded_at, kind and revision",
                f'add {{"name": "{name}", "type": {_AS_WRITTEN[name]}}}',
            )  # fmt: skip
        elif not _fits(name, field):
            index = schema.fields.index(field)
            yield Finding(
                "HW-S052", "error", file, 0, 0, f".fields[{index}].{name}.type",
                f"the field '{name}' is of another type",
                "the relay, the engine and every reader rely on it", f'write "type": {_AS_WRITTEN[name]}',
            )  # fmt: skip
    for name in ("valid_from", "valid_to") if event else ("occurred_at",):
        if name in fields:
            index = schema.fields.index(fields[name])
            yield Finding(
                "HW-S053", "error", file, 0, 0, f".fields[{index}].{name}",
                f"'{name}' in {'an event' if event else 'a fact'}",
                "an event happens at an instant, a fact holds for an interval; a record is one of the two",
                "rename it, or remove 'event_id'" if event else "rename it, or add 'event_id'",
            )  # fmt: skip


_INSTANT = '{"type": "long", "logicalType": "timestamp-micros"}'
_AS_WRITTEN: Final = {
    "event_id": '"string"',
    "occurred_at": _INSTANT,
    "valid_from": _INSTANT,
    "valid_to": f'["null", {_INSTANT}], "default": null',
    "recorded_at": _INSTANT,
    "kind": '{"type": "enum", "name": "headwater.Kind", "symbols": ["assert", "correct", "retract"]}',
    "revision": '"long"',
}


def platform_type(name: str) -> Any:
    """The Avro type, as JSON, of a field that every record has: `recorded_at`, `kind` or `revision`.

    >>> platform_type("revision"), platform_type("kind")["name"]
    ('long', 'headwater.Kind')
    """
    return json.loads(_AS_WRITTEN[name])


def _fits(name: str, field: Field) -> bool:
    kind = field.type
    if name == "event_id":
        return isinstance(kind, Primitive) and kind.kind == "string" and kind.logical is None
    if name == "kind":
        return isinstance(kind, Enum) and kind.name == KIND_NAME and kind.symbols == KINDS
    if name == "revision":
        return isinstance(kind, Primitive) and kind.kind == "long" and kind.logical is None
    if name == "valid_to":
        return (
            isinstance(kind, Union)
            and len(kind.branches) == 2
            and kind.branches[0].kind == "null"
            and _instant(kind.branches[1])
            and field.default is None
        )
    return _instant(kind)


def _instant(kind: AvroType) -> bool:
    return isinstance(kind, Primitive) and kind.logical is not None and kind.logical.name == "timestamp-micros"

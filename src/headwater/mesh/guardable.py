"""Schemas that no guard can make safe for every reader are refused before anything is written with them.

Headwater's own decoder bounds depth and counts; the stock decoders of other readers do not: five kilobytes of nested
values end a process that uses fastavro or a plain Java reader. What cannot be guarded there must not be published.
"""

from __future__ import annotations

from collections.abc import Iterator

from headwater.errors import Finding
from headwater.mesh.envelope import SchemaFile
from headwater.schemas.types import Array, AvroType, Map, Record, Union

FIELDS_LIMIT = 500  # of one product's record, nested ones included


def guard_findings(read: SchemaFile) -> list[Finding]:
    """What makes records of this schema dangerous to readers that use a stock decoder."""
    findings = []
    walked = list(_walk(read.schema.type, "", ()))
    loop = next(((path, part) for path, part, above in walked if part in above), None)
    if loop is not None:
        path, record = loop
        findings.append(
            read.finding(
                "HW-C070",
                path,
                f"the record {record.name} contains itself",
                why="a few kilobytes of nested values end the process of a reader that decodes with a stock library",
                fix="give the parts records of their own, linked by a key",
            )
        )
    fields = sum(len(part.fields) for _, part, above in walked if part not in above)
    if fields > FIELDS_LIMIT:
        findings.append(
            read.finding(
                "HW-C071",
                ".fields",
                f"the schema has {fields} fields, nested ones included",
                why=f"at most {FIELDS_LIMIT} can be held, shown and followed by those who read it",
                fix="split it into products that share a key",
            )
        )
    return findings


def _walk(part: AvroType, path: str, above: tuple[Record, ...]) -> Iterator[tuple[str, Record, tuple[Record, ...]]]:
    """Every record with its path and the records around it; one that contains itself is not entered again."""
    if isinstance(part, Record):
        yield path or ".fields", part, above
        if part not in above:
            for index, field in enumerate(part.fields):
                yield from _walk(field.type, f"{path}.fields[{index}].{field.name}.type", (*above, part))
    elif isinstance(part, Union):
        for branch in part.branches:
            yield from _walk(branch, path, above)
    elif isinstance(part, Array):
        yield from _walk(part.items, path, above)
    elif isinstance(part, Map):
        yield from _walk(part.values, path, above)

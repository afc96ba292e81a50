"""Records of a product from the few fields that an example gives; the platform's own are filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headwater.contracts.examples import Example, Row
from headwater.contracts.load import Contract
from headwater.contracts.shape import nearest
from headwater.errors import InvalidFiles, Misfit
from headwater.mesh.products import ResolvedProduct
from headwater.ports.keys import key_text
from headwater.processing.graph import EVENT_TIMES, FACT_TIMES, HIDDEN, Port
from headwater.schemas.avro import Schema, without
from headwater.schemas.payload import from_json

File = Contract[tuple[Example, ...]]


@dataclass(frozen=True, slots=True)
class Given:
    """A record of an input. `path` is its place in the file, `note` what was made of it for another order."""

    port: Port
    record: Mapping[str, Any]
    path: str
    note: str = ""

    @property
    def identity(self) -> tuple[Any, ...]:
        """What is the same in each revision of it."""
        names = ("event_id",) if self.port.shape == "event" else (*self.port.key, *FACT_TIMES)
        return (str(self.port.product), *(self.record[name] for name in names))

    def changed(self, note: str = "", **fields: Any) -> Given:
        """The same with other values."""
        return replace(self, record={**self.record, **fields}, note=note or self.note)


@dataclass(frozen=True, slots=True)
class Side:
    """A product whose records an example gives or expects. `read` are the fields that may not be left out."""

    product: ResolvedProduct
    port: Port
    read: frozenset[str]

    @property
    def schema(self) -> Schema:
        """Of its records."""
        return self.product.output.schema


def given_records(file: File, example: Example, sides: Mapping[str, Side], *, tick: int) -> list[Given]:
    """All records of an example in the order in which they are recorded; raises `InvalidFiles`.

    Left out, `revision` is the next one of the same event or fact, `kind` follows from it, `event_id` is the key, and a
    record is recorded when it is true, but at least a tick after the one before it.
    """
    made: list[Given] = []
    for name, rows in example.given.items():
        side = sides.get(name)
        if side is None:
            path, near = f"{example.path}.given.{name}", nearest(name, tuple(sides))
            why, fix = f"the inputs are {', '.join(sides)}", f"write {near}" if near else "give records of an input"
            raise InvalidFiles([file.finding("HW-P142", path, f"{name} is no input of the flow", why=why, fix=fix)])
        made += _of_input(file, side, rows, tick)
    return sorted(made, key=lambda given: given.record["recorded_at"])


def converted(file: File, side: Side, row: Row, *, defaults: bool = False) -> dict[str, Any]:
    """The fields that a row names, as records hold them; raises `InvalidFiles` where one does not fit the schema.

    With `defaults`, those too that the schema has a default for.
    """
    known = tuple(field.name for field in side.schema.fields)
    for name in row.fields:
        if name not in known:
            near = nearest(name, known)
            why, fix = "its fields are " + ", ".join(known), f"write {near}" if near else "remove it"
            message = f"{side.port.product} has no field '{name[:40]}'"
            raise InvalidFiles([file.finding("HW-P143", f"{row.path}.{name}", message, why=why, fix=fix)])
    left_out = [one.name for one in side.schema.fields if one.name not in row.fields]
    if defaults:
        left_out = [name for name in left_out if not side.schema.field(name).optional]
    partial = without(side.schema, left_out)
    try:
        record: dict[str, Any] = from_json(partial, dict(row.fields))
    except Misfit as misfit:
        path = f"{row.path}.{misfit.field}" if misfit.field else row.path
        raise InvalidFiles(
            [file.finding("HW-P144", path, misfit.message, why=misfit.detail, fix=misfit.hint)]
        ) from None
    return record


def _of_input(file: File, side: Side, rows: tuple[Row, ...], tick: int) -> list[Given]:
    made: list[Given] = []
    revisions: dict[tuple[Any, ...], int] = {}
    instant = "occurred_at" if side.port.shape == "event" else "valid_from"
    for row in rows:
        record = converted(file, side, row, defaults=True)
        _complete(file, side, row, record)
        given = Given(side.port, record, row.path)
        revision = record.setdefault("revision", revisions.get(given.identity, 0) + 1)
        record.setdefault("kind", "assert" if revision == 1 else "correct")
        revisions[given.identity] = max(revision, revisions.get(given.identity, 0))
        before = made[-1].record["recorded_at"] if made else None
        record.setdefault("recorded_at", record[instant] if before is None else max(record[instant], before + tick))
        if before is not None and record["recorded_at"] < before:
            why, fix = "recorded time never goes back", "put the records in the order in which they become known"
            message = "the record is recorded before the one above it"
            raise InvalidFiles([file.finding("HW-P146", f"{row.path}.recorded_at", message, why=why, fix=fix)])
        made.append(given)
    return made


def _complete(file: File, side: Side, row: Row, record: dict[str, Any]) -> None:
    """Fill in what may be left out: the platform's fields, defaults, nulls, and what the flow does not read."""
    times = EVENT_TIMES if side.port.shape == "event" else FACT_TIMES
    needed = {*side.read, *side.port.key, *times} - {"event_id", "valid_to"}
    for name, type_ in side.port.fields.items():
        if name in record or name in HIDDEN or name == "event_id":
            continue
        if name in needed and not type_.nullable:
            why, fix = "the flow reads it", f"add {name}: ..."
            message = f"the record has no '{name}'"
            raise InvalidFiles([file.finding("HW-P145", row.path, message, why=why, fix=fix)])
        record[name] = None
    if side.port.shape == "event" and "event_id" not in record:
        record["event_id"] = key_text([record[name] for name in side.port.key])

"""What a reader sees of a product: the one place that every port asks. Rules come with governance; until then, deny.

A view leaves out fields and whole records. It works on records as they are read, before they are folded into columns,
pages or feeds, so that no form of an answer has more than another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from headwater.mesh.products import ResolvedProduct
from headwater.schemas.annotations import tags
from headwater.schemas.avro import Schema, without
from headwater.schemas.types import Array, AvroType, Field, Map, Record, Union
from headwater.timeline.bitemporal import Record as Seen

PERSONAL = "PII"  # the mark on a field (`confluent:tags`)
OPEN_CLASSES = ("public", "internal")


@dataclass(frozen=True, slots=True)
class View:
    """What of a product's records somebody may see.

    >>> View(hidden=frozenset(["name"])).record({"id": 1, "name": "Ada"})
    {'id': 1}
    """

    hidden: frozenset[str] = frozenset()
    keeps: Callable[[Seen], bool] | None = None

    def record(self, record: Seen) -> Seen | None:
        """What is left of a record; None where it is not for this reader."""
        if self.keeps is not None and not self.keeps(record):
            return None
        if not self.hidden:
            return record
        return {name: value for name, value in record.items() if name not in self.hidden}

    def rows(self, records: Iterable[Seen]) -> tuple[Seen, ...]:
        """What is left of many."""
        if not self.hidden and self.keeps is None:
            return tuple(records)
        return tuple(seen for record in records if (seen := self.record(record)) is not None)

    def schema(self, schema: Schema) -> Schema:
        """The schema of what is left."""
        return without(schema, self.hidden) if self.hidden else schema


WHOLE = View()
"""Of a reader who holds credentials of the topic itself: leaving something out would hide nothing from it."""


class Access(Protocol):
    """Who sees what. `principal` is who asks, empty where nobody has said."""

    def view(self, principal: str, product: ResolvedProduct) -> View | None:
        """What of a product is for this reader; None: nothing, and it is not told that there is something."""


class DenyClassified:
    """Without rules: what is classed above `internal` is for nobody, and fields marked as personal are left out.

    A product whose key is personal is for nobody either: each answer would have to name it.
    """

    def view(self, principal: str, product: ResolvedProduct) -> View | None:
        """The same for everybody."""
        output = product.output
        if output.output.access.get("classification", "internal") not in OPEN_CLASSES:
            return None
        hidden = frozenset(field.name for field in output.schema.fields if _personal(field, set()))
        return None if hidden & set(output.output.key) else View(hidden)


def _personal(field: Field, seen: set[str]) -> bool:
    return PERSONAL in tags(field) or _holds_personal(field.type, seen)


def _holds_personal(avro_type: AvroType, seen: set[str]) -> bool:
    match avro_type:
        case Record():
            if avro_type.name in seen:
                return False
            seen.add(avro_type.name)
            return any(_personal(field, seen) for field in avro_type.fields)
        case Array():
            return _holds_personal(avro_type.items, seen)
        case Map():
            return _holds_personal(avro_type.values, seen)
        case Union():
            return any(_holds_personal(branch, seen) for branch in avro_type.branches)
        case _:
            return False

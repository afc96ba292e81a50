"""The ids of events in a union: each begins with the product that the event comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headwater.processing.expressions import Expression, Getter
from headwater.processing.field_types import STRING, FieldType


@dataclass(frozen=True, slots=True, eq=False)
class OfInput(Expression):
    """An event's id with the product's name before it: no two inputs give the same, since names have no slash."""

    product: str

    def type(self, fields: Mapping[str, FieldType]) -> FieldType:
        """Text."""
        return STRING

    def compile(self, getters: Mapping[str, Getter]) -> Getter:
        """The id as this input gives it, named."""
        own, prefix = getters["event_id"], f"{self.product}/"
        return lambda row: prefix + own(row)

    def reads(self) -> frozenset[str]:
        """The id."""
        return frozenset(["event_id"])

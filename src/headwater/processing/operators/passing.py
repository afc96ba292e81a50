"""What a product that only maps and filters publishes: each record at once, with its recorded time, kind and revision.

What fails the filter above revision 1 leaves as a retract, known or not; at revision 1 nothing of it was published, and
it is left out. Unless it is a fact that may override others: then it leaves as a retract too, or what it overrides
would still speak for its interval. A retract always passes. No state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import Misfit
from headwater.processing.field_types import FieldType
from headwater.processing.graph import Filter, Map
from headwater.processing.operators.core import RowStep, checked_interval, checked_lateness, checked_revision, picked


@dataclass(frozen=True)
class PassSpec:
    """The `fields` read of a record, the row steps with and without their filters, the columns of the record made.

    `overrides` is true of facts whose intervals may overlap. `rows` are what the steps were compiled from: steps over
    fields of the types `given`, to columns of the `types`.
    """

    shape: str
    fields: tuple[str, ...]
    step: RowStep | None
    mapping: RowStep | None
    columns: tuple[str, ...]
    conversions: tuple[tuple[str, Callable[[Any], Any]], ...] = ()
    accept_late: int | None = None
    overrides: bool = False
    rows: tuple[Map | Filter, ...] = field(default=(), repr=False, compare=False)
    given: tuple[FieldType, ...] = field(default=(), repr=False, compare=False)
    types: tuple[FieldType, ...] = field(default=(), repr=False, compare=False)


class Passing:
    """Records to records."""

    def __init__(self, spec: PassSpec) -> None:
        self._spec = spec
        self._pick = picked(spec.fields)

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record to publish, or None; raises `Misfit` for one that cannot be processed."""
        spec, row = self._spec, self._pick(record)
        kind, revision = record["kind"], checked_revision(record)
        if kind not in ("assert", "correct", "retract"):
            raise Misfit("a kind is assert, correct or retract", code="HW-P084", field="kind")
        if spec.shape == "fact":
            checked_interval(record)
        checked_lateness(record, "valid_from" if spec.shape == "fact" else "occurred_at", spec.accept_late)
        try:
            kept = row if spec.step is None else spec.step(row)
            if kept is None or kind == "retract":
                if kind != "retract" and revision == 1 and not spec.overrides:
                    return None
                kind, kept = "retract", row if spec.mapping is None else spec.mapping(row)
        except (ArithmeticError, TypeError, ValueError) as error:
            detail = type(error).__name__
            raise Misfit("the flow cannot compute with this record", code="HW-P085", detail=detail) from None
        assert kept is not None
        made = dict(zip(spec.columns, kept, strict=True))
        for name, convert in spec.conversions:
            if made[name] is not None:
                made[name] = convert(made[name])
        return {**made, "recorded_at": record["recorded_at"], "kind": kind, "revision": revision}

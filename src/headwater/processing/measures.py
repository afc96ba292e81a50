"""The measures of an aggregate: which slots of a cell each needs, how a row goes in and out, what they amount to."""

from __future__ import annotations

import decimal
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from headwater.processing.custom_fold import CustomFold, folding, resulting
from headwater.processing.field_types import DOUBLE, INTEGER, FieldType, decimal_of
from headwater.processing.graph import Measure
from headwater.processing.multisets import Distinct, Edge, Extreme, Multiset, closed, edge_entry, growing
from headwater.processing.packing import RowForm, ordered_integer

Values = Sequence[Any]
Update = Callable[[list[Any], tuple[Any, ...], int], None]
_EXACT = decimal.Context(prec=100)
_ROWS = Measure("count")
_PLACE = FieldType("bytes", nullable=True)
_ORDERED_KINDS = ("integer", "instant", "decimal", "string", "double", "boolean", "date", "bytes")


@dataclass(frozen=True)
class Slot:
    """A measure's slots in a cell: their types and first values, how a row changes them, what they amount to.

    `kept` is what lies beside the cell where the slots alone could not be taken back.
    """

    types: tuple[FieldType, ...]
    starting: tuple[Any, ...]
    update: Update | None
    result: Callable[[Values], Any]
    kept: Multiset | None = None


def measure_type(function: str, field: FieldType | None) -> FieldType | None:
    """The type of a measure over a field; None where it cannot be folded and un-folded exactly.

    >>> measure_type("total", INTEGER.or_null()).text(), measure_type("total", DOUBLE)
    ('integer or null', None)
    """
    if function == "count":
        return INTEGER
    if field is None:
        return None
    if function == "count_distinct":
        return INTEGER if field.kind in _ORDERED_KINDS else None
    if function in ("minimum", "maximum", "first", "last"):
        return field if field.kind in _ORDERED_KINDS else None
    if field.kind == "decimal":
        sums = decimal_of(field.precision + 12, field.scale)
        return (decimal_of(field.precision, field.scale) if function == "average" else sums).or_null(field.nullable)
    if field.kind == "integer":
        return (DOUBLE if function == "average" else INTEGER).or_null(field.nullable)
    return None


def slot_of(
    function: str,
    field: int | None,
    type_: FieldType | None,
    at: int,
    order: Callable[[Any], bytes] | None = None,
    *,
    grows: bool = False,
) -> Slot:
    """The slots of a measure over the row's column `field`, from position `at` of a cell.

    `order` gives bytes that rows lie in order by, for `first` and `last`. `grows`: no row is ever taken out, so that
    nothing need lie beside the cell but for `count_distinct`.
    """
    if field is None or type_ is None:
        return Slot((), (), None, lambda values: None)
    if function == "count":
        return Slot((INTEGER,), (0,), _counting(field, at), lambda values: values[at])
    if function == "count_distinct":
        return Slot((INTEGER,), (0,), None, _at(at), Distinct(at, itemgetter(field), _ordering(type_)))
    if function in ("minimum", "maximum", "first", "last"):
        return _end_slot(function, field, type_, at, order, grows)
    exact = type_.kind == "decimal"
    result = _mean(at, type_) if function == "average" else lambda values: values[at] if values[at + 1] else None
    return Slot((type_, INTEGER), (decimal.Decimal(0) if exact else 0, 0), _adding(field, at, exact), result)


def custom_slot(custom: CustomFold, columns: Sequence[int], at: int) -> Slot:
    """The slots of a fold of the author's own: its state, from position `at` of a cell."""
    types = tuple(type_ for _, type_ in custom.state)
    return Slot(types, custom.initial, folding(custom, columns, at), resulting(custom, at))


def row_order(instant: int, identity: Sequence[tuple[int, FieldType]]) -> Callable[[Any], bytes]:
    """A function from a row to bytes that rows lie in order by: its instant, then these columns, null last."""
    parts = [(column, _ordering(type_), type_.kind in ("string", "bytes")) for column, type_ in identity]

    def order(row: Any) -> bytes:
        found = [ordered_integer(row[instant])]
        for column, ordered, ends in parts:
            value = row[column]
            if value is None:
                found.append(b"\2")
            else:
                found.append(b"\1" + (closed(ordered(value)) if ends else ordered(value)))
        return b"".join(found)

    return order


def ordered_kind(type_: FieldType) -> bool:
    """Whether values of a type have an order."""
    return type_.kind in _ORDERED_KINDS


def result_function(
    by: Sequence[str], measures: Sequence[tuple[str, Measure]], gives: Sequence[str], slots: Sequence[Slot], width: int
) -> Callable[[Values, int, int | None], tuple[Any, ...]]:
    """A function from a cell of `width` values and its interval to the row of the columns that the fold gives."""
    members = len(by)
    amounts: dict[str, Callable[[Values], Any]] = {
        **{name: _at(index) for index, name in enumerate(by)},
        "valid_from": _at(width),
        "valid_to": _at(width + 1),
    }
    for (name, measure), slot in zip(measures, slots, strict=True):
        amounts[name] = _at(members) if measure == _ROWS else slot.result
    columns = [amounts[name] for name in gives]

    def result(cell: Values, start: int, end: int | None) -> tuple[Any, ...]:
        whole = (*cell, start, end)
        return tuple([column(whole) for column in columns])

    return result


def _end_slot(
    function: str, field: int, type_: FieldType, at: int, order: Callable[[Any], bytes] | None, grows: bool
) -> Slot:
    form, ordered = RowForm([type_]), _ordering(type_)

    def write(value: Any) -> Any:
        return form.write((value,))[0]

    def read(stored: Any) -> Any:
        return (form.read([stored]) or (None,))[0]

    if function in ("minimum", "maximum"):
        extreme = Extreme(at, function == "maximum", itemgetter(field), ordered, write, read)
        return _ended((type_.or_null(),), _at(at), extreme, grows)
    assert order is not None, "first and last are by the order of rows"
    edge = Edge(at, function == "last", edge_entry(field, order, ordered), lambda entry: write(entry[1]), read)
    return _ended((_PLACE, type_.or_null()), _at(at + 1), edge, grows)


def _ended(types: tuple[FieldType, ...], result: Callable[[Values], Any], kept: Extreme | Edge, grows: bool) -> Slot:
    nothing = (None,) * len(types)
    return Slot(types, nothing, growing(kept), result) if grows else Slot(types, nothing, None, result, kept)


def _at(index: int) -> Callable[[Values], Any]:
    return itemgetter(index)


def _counting(field: int, at: int) -> Update:
    def update(values: list[Any], row: tuple[Any, ...], sign: int) -> None:
        if row[field] is not None:
            values[at] += sign

    return update


def _adding(field: int, at: int, exact: bool) -> Update:
    def update(values: list[Any], row: tuple[Any, ...], sign: int) -> None:
        value = row[field]
        if value is not None:
            values[at] += value if sign > 0 else -value
            values[at + 1] += sign

    def update_exactly(values: list[Any], row: tuple[Any, ...], sign: int) -> None:
        value = row[field]
        if value is not None:
            values[at] = (_EXACT.add if sign > 0 else _EXACT.subtract)(values[at], value)
            values[at + 1] += sign

    return update_exactly if exact else update


def _mean(at: int, type_: FieldType) -> Callable[[Values], Any]:
    if type_.kind != "decimal":
        return lambda values: values[at] / values[at + 1] if values[at + 1] else None
    places = decimal.Decimal((0, (1,), -type_.scale))

    def mean(values: Values) -> Any:
        if not values[at + 1]:
            return None
        quotient = _EXACT.divide(values[at], decimal.Decimal(values[at + 1]))
        return quotient.quantize(places, rounding=decimal.ROUND_HALF_EVEN, context=_EXACT)

    return mean


def _ordering(type_: FieldType) -> Callable[[Any], bytes]:
    """Values as bytes whose order is the values'; of one length, or ending the key."""
    scale = type_.scale
    orders: dict[str, Callable[[Any], bytes]] = {
        "integer": ordered_integer,
        "instant": ordered_integer,
        "decimal": lambda value: (int(value.scaleb(scale, context=_EXACT)) + (1 << 135)).to_bytes(17, "big"),
        "string": str.encode,
        "double": _ordered_double,
        "boolean": lambda value: b"\1" if value else b"\0",
        "date": lambda value: ordered_integer(value.toordinal()),
        "bytes": bytes,
    }
    return orders[type_.kind]


def _ordered_double(value: float) -> bytes:
    # Positive doubles are in order as they stand, negative ones backwards; adding zero makes one of both zeros.
    bits = int.from_bytes(struct.pack(">d", value + 0.0), "big")
    return (bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63)).to_bytes(8, "big")

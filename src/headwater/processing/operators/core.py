"""What all operators share: the change, the row step, keys and identities of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from headwater.errors import CallerFault, Misfit
from headwater.ports.keys import key_bytes
from headwater.processing.packing import ordered_integer, sized

Row = tuple[Any, ...]
Change = tuple[bytes, Row | None, Row | None]
"""The key that the row lies under, the row that goes, the row that comes."""

RowStep = Callable[[Row], Row | None]
OPEN = 0x7FFFFFFFFFFFFFFF  # the end of an open interval, above every instant


class Pool(list[Row]):
    """The rows of one place while changes of several lanes come and go: what goes may come later."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__(rows)
        self.owed: list[Row] = []

    def append(self, row: Row) -> None:
        """A row comes."""
        if row in self.owed:
            self.owed.remove(row)
        else:
            super().append(row)

    def remove(self, row: Row) -> None:
        """A row goes."""
        if row in self:
            super().remove(row)
        else:
            self.owed.append(row)


def key_function(positions: Sequence[int]) -> Callable[[Row], bytes]:
    """A function from a row to the Kafka key of these columns.

    >>> key_function([1])((5, "JFK")), key_function([1, 0])((5, "JFK"))
    (b'JFK', b'["JFK",5]')
    """
    known = lru_cache(maxsize=65_536, typed=True)(_key)
    columns = tuple(positions)
    if len(columns) == 1:
        only = columns[0]
        return lambda row: known(row[only])
    pick = itemgetter(*columns)
    return lambda row: known(*pick(row))


def identity_function(shape: str, columns: Mapping[str, int], key: Sequence[str]) -> Callable[[Row], bytes]:
    """A function from a row to bytes that tell it from every other: its key, and its id or interval."""
    rest = rest_function(shape, columns)
    of_key = key_function([columns[name] for name in key])
    return lambda row: sized(of_key(row)) + rest(row)


def rest_function(shape: str, columns: Mapping[str, int]) -> Callable[[Row], bytes]:
    """The part of a row's identity beside its key: the event's id, or the fact's interval."""
    if shape == "event":
        event_id = columns["event_id"]
        return lambda row: row[event_id].encode()
    start, end = columns["valid_from"], columns["valid_to"]
    return lambda row: interval_bytes(row[start], row[end])


def interval_bytes(valid_from: int, valid_to: int | None) -> bytes:
    """An interval as sixteen bytes in the order of its bounds."""
    return ordered_integer(valid_from) + ordered_integer(OPEN if valid_to is None else valid_to)


def picked(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Row]:
    """A function from a record to a row of these fields."""
    if len(names) == 1:
        only = names[0]
        return lambda record: (record[only],)
    return itemgetter(*names) if names else lambda record: ()


def checked_revision(record: Mapping[str, Any]) -> int:
    """A record's revision, from 1."""
    revision = record["revision"]
    if not isinstance(revision, int) or revision < 1:
        raise Misfit("a revision counts from 1", code="HW-P080", field="revision")
    return revision


def checked_interval(record: Mapping[str, Any]) -> bytes:
    """A record's interval as bytes; it holds at least one instant."""
    valid_to = record["valid_to"]
    if record["valid_from"] >= (OPEN if valid_to is None else valid_to):
        raise Misfit("an interval ends after it starts", code="HW-P081", field="valid_to")
    return interval_bytes(record["valid_from"], valid_to)


def checked_lateness(record: Mapping[str, Any], instant: str, limit: int | None) -> None:
    """Refuse what was recorded later after its valid time than the contract accepts, whole and counted."""
    if limit is not None and record["recorded_at"] - record[instant] > limit:
        raise Misfit(
            "the record comes later than the contract accepts",
            code="HW-P087",
            field=instant,
            detail="accept_late of the product bounds recorded time against valid time",
        )


def row_of(record: Mapping[str, Any], pick: Callable[[Mapping[str, Any]], Row], step: RowStep | None) -> Row | None:
    """What a record says: its row, or None where it takes back or is filtered out."""
    kind = record["kind"]
    if kind == "retract":
        return None
    if kind not in ("assert", "correct"):
        raise Misfit("a kind is assert, correct or retract", code="HW-P082", field="kind")
    row: Row = pick(record)
    if step is None:
        return row
    try:
        return step(row)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise Misfit("the flow cannot compute with this record", code="HW-P083", detail=type(error).__name__) from None


def stepped(changes: Iterable[Change], step: RowStep) -> list[Change]:
    """Changes after row steps; one that says nothing any more is left out.

    Raises `CallerFault` HW-P089 where a step cannot compute: what was folded or joined has no record to refuse.

    >>> stepped([(b"k", (1,), (2,)), (b"k", (3,), (4,))], lambda row: row if row[0] > 2 else None)
    [(b'k', (3,), (4,))]
    """
    made: list[Change] = []
    try:
        for key, before, after in changes:
            old = None if before is None else step(before)
            new = None if after is None else step(after)
            if old != new:
                made.append((key, old, new))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise CallerFault(
            "the flow cannot compute with what it has folded or joined",
            code="HW-P089",
            detail=f"{type(error).__name__} in a map or filter behind it; nothing of this transaction is published",
            hint="guard the expression with when(...).then(...).otherwise(...), then start the product again",
        ) from None
    return made


def _key(*values: Any) -> bytes:
    return key_bytes(values)

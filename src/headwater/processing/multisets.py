"""Measures that a sum cannot hold: of what is folded a multiset is kept, so that what goes can be taken out again.

A multiset's entries lie in the order of their bytes beside the cell, each with how often it is in. The cell holds what
the multiset amounts to (the least, how many, the value of the first), so that most ticks read only entries that moved.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from headwater.errors import Fault

Row = tuple[Any, ...]


class Moved(NamedTuple):
    """An entry whose number changed in a tick: where it lies, how often it was in, how often it is now."""

    entry: Any
    place: bytes
    was: int
    now: int


Ends = Callable[[bool], Iterator[tuple[bytes, Any]]]
"""The entries of a multiset as they are stored, by their place, from the least, or (True) from the greatest."""


class Multiset(Protocol):
    """What a fold asks of a measure that keeps a multiset; `position` is its first slot in the cell."""

    @property
    def position(self) -> int:
        """The first slot."""

    @property
    def entry(self) -> Callable[[Row], Hashable]:
        """What a row puts in; None for nothing."""

    @property
    def place(self) -> Callable[[Any], bytes]:
        """Where an entry lies among the others."""

    @property
    def write(self) -> Callable[[Any], Any]:
        """What is stored of an entry beside its place, in a form that JSON has."""

    def settle(self, values: list[Any], moved: Sequence[Moved], ends: Ends) -> None:
        """Bring the cell's slots up to date with entries that moved."""


@dataclass(frozen=True)
class Extreme:
    """Least and greatest: the entries are values, the cell holds the one at the wanted end."""

    position: int
    greatest: bool
    entry: Callable[[Row], Any]
    place: Callable[[Any], bytes]
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]

    def settle(self, values: list[Any], moved: Sequence[Moved], ends: Ends) -> None:
        """The end is looked up only where a value that goes may have been it."""
        best, gone = values[self.position], False
        for value, _, _, now in moved:
            if now:
                best = value if best is None else self._better(best, value)
            elif best is not None and self.place(value) == self.place(best):
                gone = True
        if gone:
            best = next((self.read(stored) for _, stored in ends(self.greatest)), None)
        values[self.position] = best

    def _better(self, first: Any, second: Any) -> Any:
        if isinstance(first, float):  # not a number is in order with nothing, save as bytes
            above = self.place(second) > self.place(first)
        else:
            above = second > first
        return second if above is self.greatest else first


@dataclass(frozen=True)
class Distinct:
    """How many different values: the cell holds the number of entries."""

    position: int
    entry: Callable[[Row], Any]
    place: Callable[[Any], bytes]
    write: Callable[[Any], Any] = lambda value: None

    def settle(self, values: list[Any], moved: Sequence[Moved], ends: Ends) -> None:
        """Only what was not in, or is in no more, changes the number."""
        values[self.position] += sum((now > 0) - (was > 0) for _, _, was, now in moved)


@dataclass(frozen=True)
class Edge:
    """The value of the first row, or the last, by instant and identity: entries are (place, value).

    The cell holds the place and the value of the row at the edge. The value is the last part of the place: two rows of
    one instant and identity, as they are where a flow dropped a key, are in an order all the same.
    """

    position: int
    last: bool
    entry: Callable[[Row], Any]
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]

    def place(self, entry: Any) -> bytes:
        """Where an entry lies."""
        where: bytes = entry[0]
        return where

    def settle(self, values: list[Any], moved: Sequence[Moved], ends: Ends) -> None:
        """The edge is looked up only where the row that was it goes."""
        at, value, gone = values[self.position], values[self.position + 1], False
        for entry, place, _, now in moved:
            if now:
                if at is None or (place > at) is self.last:
                    at, value = place, entry[1]
            elif place == at:
                gone = True
        if gone:
            at, value = next(((place, self.read(stored)) for place, stored in ends(self.last)), (None, None))
        values[self.position], values[self.position + 1] = at, value


def growing(multiset: Extreme | Edge) -> Callable[[list[Any], Row, int], None]:
    """How a row changes the cell where none is ever taken out again: the slots alone are enough, nothing lies beside.

    >>> cell = [None]
    >>> least = Extreme(0, False, lambda row: row[0], lambda value: b"%d" % value, int, int)
    >>> growing(least)(cell, (7,), 1); growing(least)(cell, (9,), 1); cell
    [7]
    """

    def update(values: list[Any], row: Row, sign: int) -> None:
        if sign < 0:
            raise Fault(
                "a row was taken out of a fold whose rows are never taken out",
                code="HW-P045",
                detail="the contract of its input says `corrections: none`",
            )
        entry = multiset.entry(row)
        if entry is not None:
            multiset.settle(values, [Moved(entry, multiset.place(entry), 0, 1)], _no_ends)

    return update


def _no_ends(greatest: bool) -> Iterator[tuple[bytes, Any]]:
    return iter(())


def edge_entry(
    field: int, before: Callable[[Row], bytes], ordered: Callable[[Any], bytes]
) -> Callable[[Row], tuple[bytes, Any] | None]:
    """A function from a row to its entry in an `Edge`; None where the field is null. `before` orders the rows."""

    def entry(row: Row) -> tuple[bytes, Any] | None:
        value = row[field]
        return None if value is None else (before(row) + ordered(value), value)

    return entry


def closed(part: bytes) -> bytes:
    """Bytes of any length, ended so that they stay in order with more bytes behind them.

    >>> sorted([closed(b"a\\0") + b"1", closed(b"a") + b"9", closed(b"ab") + b"0"])
    [b'a\\x00\\x009', b'a\\x00\\xff\\x00\\x001', b'ab\\x00\\x000']
    """
    return part.replace(b"\0", b"\0\xff") + b"\0\0"

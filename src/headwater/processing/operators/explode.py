"""`explode`: a row for each element of an array, told from each other by the parent's id and their position.

Both versions of the parent are at hand, as `changes` keeps the last one. So an element that comes, goes or differs is
one change of its own row, elements that stay as they are say nothing, and a shorter array takes back the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from headwater.processing.operators.core import Change, Row


@dataclass(frozen=True)
class ExplodeSpec:
    """The rows' columns, which of them is the array, the fields taken of its elements (None: the element itself).

    `gives` are the columns given: positions in the row, then the element's id and place, then what is taken of it.
    `event_id` is the parent's column of that name, None where nobody reads it.
    """

    columns: tuple[str, ...]
    array: int
    event_id: int | None
    members: tuple[str, ...] | None
    gives: tuple[int, ...]


class Explode:
    """Changes of parents to changes of elements. Keeps nothing."""

    def __init__(self, spec: ExplodeSpec) -> None:
        self._array = spec.array
        self._event_id = spec.event_id
        self._members = spec.members
        self._gives = spec.gives

    def tick(self, changes: Sequence[Change]) -> list[Change]:
        """The elements that come, go or differ, in the order of their parents and positions."""
        made: list[Change] = []
        for key, before, after in changes:
            for old, new in zip_longest(self._rows(before), self._rows(after)):
                if old != new:
                    made.append((key, old, new))
        return made

    def _rows(self, row: Row | None) -> list[Row]:
        if row is None:
            return []
        return [self._given(row, position, element) for position, element in enumerate(row[self._array] or ())]

    def _given(self, row: Row, position: int, element: Any) -> Row:
        identity = None if self._event_id is None else element_id(row[self._event_id], position)
        whole = (*row, identity, position, *self._taken(element))
        return tuple([whole[place] for place in self._gives])

    def _taken(self, element: Any) -> tuple[Any, ...]:
        if self._members is None:
            return (element,)
        return tuple([None if element is None else element[name] for name in self._members])


def element_id(parent: str, position: int) -> str:
    """The id of an element's row: no two parents and positions make the same, since the last colon parts them.

    >>> element_id("F1", 2)
    'F1:2'
    """
    return f"{parent}:{position}"

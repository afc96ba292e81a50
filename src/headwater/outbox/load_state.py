"""How far the rows that were there already are published, product by product: part of the position; pure.

A load reads the table in the order of its key, under a snapshot of the database that is as of one point of the log.
What a snapshot holds must not be published again from the stream, and what it lacks must be. After a crash the rest is
read under a newer snapshot. So a load is a row of ranges of keys, each with the point that its snapshot is as of; a
change belongs to the load if it was committed before the point of its key's range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headwater.outbox.pg_values import BPCHAR, WHOLE
from headwater.outbox.pgoutput import lsn_from_text, lsn_text

Key = tuple[str, ...]  # the texts of a table's key columns
Order = Callable[[Sequence[str]], tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class LoadRange:
    """The keys above the range before, up to `until` (None: all there are), as of `point` in the log."""

    until: Key | None
    point: int


@dataclass(frozen=True, slots=True)
class LoadState:
    """The ranges of one product, in the order of the key; `done` once all rows are published."""

    ranges: tuple[LoadRange, ...] = ()
    done: bool = False

    @property
    def until(self) -> Key | None:
        """The last key that is published; the rest of the table lies behind it."""
        return self.ranges[-1].until if self.ranges else None

    def extended(self, until: Key | None, point: int) -> LoadState:
        """With all up to a key published under a snapshot as of `point`; no key: up to the table's end.

        >>> state = LoadState().extended(("3",), 100).extended(("7",), 100).extended(None, 250)
        >>> [(each.until, each.point) for each in state.ranges], state.done
        ([(('7',), 100), (None, 250)], True)
        """
        kept = self.ranges[:-1] if self.ranges and self.ranges[-1].point == point else self.ranges
        return LoadState((*kept, LoadRange(until, point)), until is None)

    def forgotten(self, commit_lsn: int) -> LoadState:
        """Without the ranges once no change that they hold can come again: all up to `commit_lsn` is published."""
        if self.done and all(each.point <= commit_lsn for each in self.ranges):
            return replace(self, ranges=())
        return self


@dataclass(frozen=True, slots=True)
class CaptureState:
    """What a captured table's position says beside the log: loads by topic, the mappings' fingerprints by product."""

    loads: Mapping[str, LoadState] = field(default_factory=dict)
    mappings: Mapping[str, str] = field(default_factory=dict)

    def of(self, topic: str) -> LoadState:
        """The load of a product; it has not begun where nothing is known of it."""
        return self.loads.get(topic, LoadState())

    def with_load(self, topic: str, state: LoadState) -> CaptureState:
        """With another state of one load."""
        return replace(self, loads={**self.loads, topic: state})

    def as_json(self) -> dict[str, Any]:
        """As it stands in the position's record."""
        return {
            "mappings": dict(self.mappings),
            "loads": {
                topic: {
                    "done": state.done,
                    "ranges": [
                        {"until": None if each.until is None else list(each.until), "point": lsn_text(each.point)}
                        for each in state.ranges
                    ],
                }
                for topic, state in self.loads.items()
            },
        }

    @classmethod
    def from_json(cls, value: Any) -> CaptureState:
        """From there; raises `KeyError`, `TypeError` or `ValueError` where it is none."""
        loads = {}
        for topic, state in value["loads"].items():
            ranges = tuple(
                LoadRange(None if each["until"] is None else tuple(each["until"]), lsn_from_text(each["point"]))
                for each in state["ranges"]
            )
            loads[str(topic)] = LoadState(ranges, bool(state["done"]))
        return cls(loads, {str(product): str(text) for product, text in value["mappings"].items()})


def key_order(types: Sequence[int]) -> Order:
    """A function from a key's texts to what compares as the load reads: whole numbers by value, all else by bytes.

    >>> order = key_order([23, 25])
    >>> sorted([("10", "a"), ("9", "b"), ("9", "B")], key=order)
    [('9', 'B'), ('9', 'b'), ('10', 'a')]
    """
    whole = [type_ in WHOLE for type_ in types]
    padded = [type_ == BPCHAR for type_ in types]

    def order(key: Sequence[str]) -> tuple[object, ...]:
        return tuple(
            int(text) if is_whole else (text.rstrip(" ") if is_padded else text).encode()
            for text, is_whole, is_padded in zip(key, whole, padded, strict=True)
        )

    return order


def loaded(state: LoadState, order: Order) -> Callable[[Sequence[str], int], bool]:
    """A function that says of a key and a commit whether the load has published what that commit made of it.

    >>> state = LoadState().extended(("5",), 100).extended(None, 250)
    >>> held = loaded(state, key_order([23]))
    >>> held(["5"], 99), held(["5"], 100), held(["6"], 249), held(["6"], 250)
    (True, False, True, False)
    """
    bounds = [(None if each.until is None else order(each.until), each.point) for each in state.ranges]
    last = max((each.point for each in state.ranges), default=0)

    def holds(key: Sequence[str], commit_lsn: int) -> bool:
        if commit_lsn >= last:
            return False
        place = order(key)
        for until, point in bounds:
            if until is None or place <= until:
                return commit_lsn < point
        return False

    return holds

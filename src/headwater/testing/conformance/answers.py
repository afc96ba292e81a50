"""The same answer by every way out: a hundred questions of one history, asked of a port, and of a plain reference.

The reference folds the records that were written, by `testing/oracles.py`; it shares nothing with the ports. A port
that reads files or runs in another process takes part by saying its answers as JSON rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, Protocol

from headwater.testing.oracles import events_as_of, fact_as_of

Row = Mapping[str, Any]
COUNT = 100
_EVER = 1 << 60


@dataclass(frozen=True, slots=True)
class Asked:
    """What is true at `valid` as known at `recorded`, in microseconds, of a key or of all; or every record."""

    valid: int | None
    recorded: int | None
    key: tuple[Any, ...] | None
    history: bool = False


class Port(Protocol):
    """A way out. Rows are JSON, as `headwater query --output json` has them."""

    def answers(self, questions: Sequence[Asked]) -> Sequence[Sequence[Row]]:
        """The rows of each answer, in any order."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was written: records as a codec has them, in the order of writing; their key's fields, and their shape."""

    records: Sequence[Row]
    key: tuple[str, ...]
    shape: Literal["event", "fact"]


def a_hundred(told: Told, seed: int, *, until: int | None = None) -> list[Asked]:
    """Questions at, right before and between the moments of a history; `until` bounds the recorded moments."""
    random = Random(seed)
    recorded = sorted({one["recorded_at"] for one in told.records}) or [0]
    name = "occurred_at" if told.shape == "event" else "valid_from"
    valid = sorted({one[part] for one in told.records for part in (name, "valid_to") if one.get(part) is not None})
    keys = sorted({tuple(one[part] for part in told.key) for one in told.records}) or [()]

    def near(moments: Sequence[int]) -> int:
        return max(random.choice(moments) + random.choice((-1, 0, 0, 1)), 0)

    asked: list[Asked] = []
    for _ in range(COUNT):
        known: int | None = near(recorded)
        if until is not None:
            known = min(known or 0, until)
        elif random.random() < 0.2:
            known = None
        history = random.random() < 0.2
        moment = None if history or not valid or random.random() < 0.4 else near(valid)
        key = random.choice(keys) if keys[0] and random.random() < 0.5 else None
        asked.append(Asked(moment, known, key, history))
    return asked


def expected(told: Told, asked: Asked) -> list[Row]:
    """The answer, by the plain reference."""
    known = _EVER if asked.recorded is None else asked.recorded
    mine = [one for one in told.records if asked.key is None or tuple(one[part] for part in told.key) == asked.key]
    if asked.history:
        return [one for one in mine if one["recorded_at"] <= known]
    if told.shape == "event":
        events = events_as_of(mine, known)
        return [one for one in events if asked.valid is None or one["occurred_at"] <= asked.valid]
    keys = {tuple(one[part] for part in told.key) for one in mine}
    found: list[Row] = []
    for values in keys:
        key = dict(zip(told.key, values, strict=True))
        if asked.valid is not None:
            fact = fact_as_of(mine, key, asked.valid, known)
            found += [fact] if fact is not None else []
        else:
            found += _pieces(mine, key, known)
    return found


def _pieces(records: Sequence[Row], key: Mapping[str, Any], known: int) -> list[Row]:
    """The facts of a key over the intervals in which they hold: asked at each bound, and put together again."""
    bounds = sorted({one[part] for one in records for part in ("valid_from", "valid_to") if one[part] is not None})
    pieces: list[tuple[int, int | None, Row]] = []
    for start, end in zip(bounds, [*bounds[1:], None], strict=True):
        fact = fact_as_of(records, key, start, known)
        if fact is None:
            continue
        if pieces and pieces[-1][1] == start and pieces[-1][2] is fact:
            pieces[-1] = (pieces[-1][0], end, fact)
        else:
            pieces.append((start, end, fact))
    return [{**fact, "valid_from": start, "valid_to": end} for start, end, fact in pieces]


def in_order(rows: Iterable[Row]) -> list[str]:
    """Rows as sorted text, so that two answers can be compared."""
    return sorted(json.dumps(row, sort_keys=True) for row in rows)

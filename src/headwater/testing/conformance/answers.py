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
from headwater.timeline.instant import Instant

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


def select(number: int, asked: Asked, product: str, key: Sequence[str]) -> str:
    """A question as a SELECT of `headwater query`, with its number before each row, to be put together by UNION ALL."""
    moments = [("recorded", asked.recorded), *([] if asked.history else [("valid", asked.valid)])]
    bound = "".join(f", {which} => '{Instant(at).iso()}'" for which, at in moments if at is not None)
    where = " AND ".join(f"{part} = '{value}'" for part, value in zip(key, asked.key or (), strict=False))
    function = "history" if asked.history else "as_of"
    text = f"SELECT {number} AS question, * FROM {function}('{product}'{bound})"
    return f"{text} WHERE {where}" if where else text


def by_hand(asked: Asked, rows: str, key: Sequence[str], shape: Literal["event", "fact"]) -> str | None:
    """A question as a SELECT over rows of the lake, as docs/concepts/lake.md has it; None for facts whenever."""
    where = " AND ".join(
        [f"recorded_at <= make_timestamptz({asked.recorded})" if asked.recorded is not None else "true"]
        + [f"{name} = '{value}'" for name, value in zip(key, asked.key or (), strict=False)]
    )
    known = f"SELECT * FROM {rows} WHERE {where}"
    if asked.history:
        return known
    if shape == "event":
        newest = f"{known} QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY revision DESC) = 1"
        occurred = f" AND occurred_at <= make_timestamptz({asked.valid})" if asked.valid is not None else ""
        return f"SELECT * FROM ({newest}) WHERE kind <> 'retract'{occurred}"
    if asked.valid is None:
        return None
    at, keys = f"make_timestamptz({asked.valid})", ", ".join(key)
    return (
        f"SELECT * FROM ({known} AND valid_from <= {at} AND coalesce(valid_to > {at}, true) QUALIFY "
        f"row_number() OVER (PARTITION BY {keys}, valid_from, valid_to ORDER BY revision DESC, headwater_offset) = 1) "
        f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY headwater_offset DESC) = 1 AND kind <> 'retract'"
    )


def in_order(rows: Iterable[Row]) -> list[str]:
    """Rows as sorted text, so that two answers can be compared."""
    return sorted(json.dumps(row, sort_keys=True) for row in rows)

"""Generated histories of products for property tests: late, corrected, moved, retracted, repeated and superseded.

Times are small whole numbers, so that ticks, windows and intervals meet often. A history is in the order of its topic:
recorded time never decreases along it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

Record = dict[str, Any]
STEPS = (0, 0, 1, 3, 10, 25)  # how far recorded time moves between two records, where a tick is 10


def event_histories(
    fields: Mapping[str, st.SearchStrategy[Any]],
    *,
    key: str,
    events: int = 5,
    length: int = 20,
    occurred: st.SearchStrategy[int] | None = None,
) -> st.SearchStrategy[list[Record]]:
    """Histories of an event product with these fields. An event's key field never changes, all else may.

    Of each event any revisions in any order: the next, one further on, a known one again, an older one.
    """
    when = st.integers(0, 59) if occurred is None else occurred

    @st.composite
    def history(draw: st.DrawFn) -> list[Record]:
        known: dict[int, list[int]] = {}
        records: list[Record] = []
        recorded_at = draw(st.integers(0, 20))
        for _ in range(draw(st.integers(0, length) | st.just(length))):
            event = draw(st.integers(0, events - 1))
            revision = draw(_revision(known.setdefault(event, [])))
            known[event].append(revision)
            recorded_at += draw(st.sampled_from(STEPS))
            record = {name: draw(values) for name, values in fields.items()}
            record |= {key: f"key{event % 4}", "event_id": f"event{event}", "occurred_at": draw(when)}
            records.append({**record, "recorded_at": recorded_at, "kind": draw(_kind(revision)), "revision": revision})
        return _repeats_alike(records, lambda record: record["event_id"])

    return history()


def fact_histories(
    fields: Mapping[str, st.SearchStrategy[Any]],
    *,
    key: str,
    keys: Sequence[Any],
    grid: int = 0,
    length: int = 10,
) -> st.SearchStrategy[list[Record]]:
    """Histories of a fact product: with `grid`, intervals of that length side by side; without, they may overlap."""

    @st.composite
    def history(draw: st.DrawFn) -> list[Record]:
        known: dict[Any, list[int]] = {}
        records: list[Record] = []
        recorded_at = draw(st.integers(0, 20))
        for _ in range(draw(st.integers(0, length) | st.just(length))):
            start = draw(st.integers(0, 4)) * (grid or 10)
            end = start + grid if grid else draw(st.sampled_from([None, start + 10, start + 35]))
            identity = (draw(st.sampled_from(keys)), start, end)
            revision = draw(_revision(known.setdefault(identity, [])))
            known[identity].append(revision)
            recorded_at += draw(st.sampled_from(STEPS))
            record = {name: draw(values) for name, values in fields.items()}
            record |= {key: identity[0], "valid_from": start, "valid_to": end}
            records.append({**record, "recorded_at": recorded_at, "kind": draw(_kind(revision)), "revision": revision})
        return _repeats_alike(records, lambda record: (record[key], record["valid_from"], record["valid_to"]))

    return history()


def _revision(known: list[int]) -> st.SearchStrategy[int]:
    newest = max(known, default=0)
    further = [newest + 1, newest + 1, newest + 1, newest + 2]
    return st.sampled_from([*further, *known[-2:], max(1, newest - 1)])


def _kind(revision: int) -> st.SearchStrategy[str]:
    return st.sampled_from(["assert"] * 3 + ["retract"] if revision == 1 else ["correct", "correct", "retract"])


def _repeats_alike(records: list[Record], identity: Callable[[Record], Any]) -> list[Record]:
    """A revision that comes again says the same, later: what the first of it said."""
    first: dict[Any, Record] = {}
    return [
        {**first.setdefault((identity(record), record["revision"]), record), "recorded_at": record["recorded_at"]}
        for record in records
    ]

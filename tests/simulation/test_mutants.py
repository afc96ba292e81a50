"""A test of the tests: an engine with one rule broken must turn the named property red."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import pytest
from tests.simulation.hunting import Break, assert_turns_red

from headwater.processing import engine, lanes
from headwater.processing.operators import publish
from headwater.processing.operators.aggregate import Fold
from headwater.processing.operators.changes import Changes
from headwater.processing.operators.join_as_of import Join
from headwater.processing.runners.memory import MemoryRunner
from headwater.processing.timelines import Timelines
from headwater.testing.conformance.runner_cases import AGGREGATE, JOIN, OWN_KEY, Case


def drop_a_late_row(patch: pytest.MonkeyPatch) -> None:
    whole = Fold._fold
    # By fold, not by its id: a number that is given again would make the hunt another one each time.
    newest: WeakKeyDictionary[Fold, dict[bytes, int]] = WeakKeyDictionary()

    def fold(self: Fold, touched: Any, key: bytes, row: Any, sign: int) -> None:
        start = self._interval(row[self._instant])[0]
        own = newest.setdefault(self, {})
        own[key] = max(start, own.get(key, start))
        if start >= own[key]:
            whole(self, touched, key, row, sign)

    patch.setattr(Fold, "_fold", fold)


def close_a_tick_by_the_first_lane(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "frontier_of", lambda lanes: max(lane.passed for lane in lanes))


def restart_a_revision(patch: pytest.MonkeyPatch) -> None:
    whole = publish.Publish._record

    def record(self: publish.Publish, key: bytes, identity: bytes, before: Any, *rest: Any) -> dict[str, Any]:
        made = whole(self, key, identity, before, *rest)
        return made if before is not None else {**made, "revision": 1}

    patch.setattr(publish.Publish, "_record", record)


def forget_the_unfold(patch: pytest.MonkeyPatch) -> None:
    whole = Fold.tick
    patch.setattr(Fold, "tick", lambda self, changes: whole(self, [(key, None, after) for key, _, after in changes]))


def say_now(patch: pytest.MonkeyPatch) -> None:
    whole, now = publish.Publish.tick, [1_000_000]

    def tick(self: publish.Publish, changes: Any, recorded_at: int) -> Any:
        now[0] += 1
        return whole(self, changes, now[0])

    patch.setattr(publish.Publish, "tick", tick)


def number_each_lane_by_itself(patch: pytest.MonkeyPatch) -> None:
    """As numbering before the rekey would: a key that changes hands is taken back and said again."""
    patch.setattr(publish, "_net", lambda parts: parts[-1][1:])


def start_a_lane_where_it_stood(patch: pytest.MonkeyPatch) -> None:
    whole = MemoryRunner._rebuild

    def rebuild(self: MemoryRunner, running: Any) -> None:
        stood = [[lane.passed for lane in entry.lanes] for entry in running.task._inputs.values()]
        whole(self, running)
        for entry, passed in zip(running.task._inputs.values(), stood, strict=True):
            for lane, tick in zip(entry.lanes, passed, strict=True):
                lane.passed = tick

    patch.setattr(MemoryRunner, "_rebuild", rebuild)


def commit_the_position(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lanes.Lane, "resume", lambda self, closed: None)


def fold_what_is_superseded(patch: pytest.MonkeyPatch) -> None:
    whole = Changes.tick

    def tick(self: Changes, versions: Any) -> Any:
        known = [self.table.get(version.identity) for version in versions]
        return whole(
            self,
            [
                version._replace(revision=max(version.revision, before[0] + 1 if before else 0))
                for version, before in zip(versions, known, strict=True)
            ],
        )

    patch.setattr(Changes, "tick", tick)


def leave_joined_rows_alone(patch: pytest.MonkeyPatch) -> None:
    """A dimension that comes late corrects nothing."""
    whole = Join.tick

    def tick(self: Join, changes: Any, versions: Any) -> Any:
        scan, self.rows.scan_many = self.rows.scan_many, lambda spans: iter(())  # type: ignore[method-assign]
        try:
            return whole(self, changes, versions)
        finally:
            self.rows.scan_many = scan  # type: ignore[method-assign]

    patch.setattr(Join, "tick", tick)


def let_a_retract_bring_back(patch: pytest.MonkeyPatch) -> None:
    whole = Timelines.override

    def override(self: Timelines, key: bytes, valid_from: int, valid_to: int, row: Any) -> None:
        if row is not None:
            whole(self, key, valid_from, valid_to, row)

    patch.setattr(Timelines, "override", override)


@pytest.mark.parametrize(
    ("case", "break_it"),
    [
        (AGGREGATE, drop_a_late_row),
        (AGGREGATE, close_a_tick_by_the_first_lane),
        (AGGREGATE, restart_a_revision),
        (OWN_KEY, forget_the_unfold),
        (OWN_KEY, say_now),
        (JOIN, number_each_lane_by_itself),
        (AGGREGATE, start_a_lane_where_it_stood),
        (AGGREGATE, commit_the_position),
        (OWN_KEY, fold_what_is_superseded),
        (JOIN, leave_joined_rows_alone),
        (JOIN, let_a_retract_bring_back),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.name,
)
def test_a_broken_rule_turns_the_log_red(case: Case, break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    """`test_the_log_is_what_the_whole_input_says` fails for each of these engines."""
    break_it(monkeypatch)
    assert_turns_red(case)

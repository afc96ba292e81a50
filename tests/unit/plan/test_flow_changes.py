"""A flow that computes otherwise is seen, classed, and asks for the version that it takes; how it looks is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.contracts.releases import parse_releases
from headwater.plan.check import check
from headwater.plan.locking import lock_files
from headwater.testing.small_mesh import (
    BOARD,
    BOARD_TEXT,
    HOURLY,
    HOURLY_FLOW,
    HOURLY_SCHEMA,
    edit,
    release,
    write,
    write_small_mesh,
)

COUNTED = """from headwater import Stream, col, count, fold, tumbling

LIMIT = 5


def add(state, minutes):
    return {"n": state["n"] + weight(minutes)}


def remove(state, minutes):
    return {"n": state["n"] - weight(minutes)}


def weight(minutes):
    late = minutes or 0
    return max(late, LIMIT)


def flow(departures: Stream) -> Stream:
    late = departures.filter(col("delay_minutes").coalesce(0) > 5)
    mine = fold({"n": 0}, add, remove, lambda state: state["n"], of=["delay_minutes"], state={"n": "long"}, type="long")
    return late.aggregate(by=["origin"], window=tumbling("1h"), departures=mine)
"""
PASSED = """from headwater import Stream, col


def flow(departures: Stream) -> Stream:
    late = departures.filter((col("delay_minutes") > 5) & (col("origin") != "JFK"))
    return late.map(departures=col("delay_minutes").coalesce(0) * 2)
"""
RELEASES = "streams/airports/hourly/releases.lock"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_small_mesh(tmp_path)
    write(tmp_path, BOARD, BOARD_TEXT)
    edit(tmp_path, HOURLY, "reads: [origin, occurred_at]", "reads: [origin, occurred_at, delay_minutes]")
    write(tmp_path, HOURLY_FLOW, COUNTED)
    return release(tmp_path)


@pytest.fixture
def passing(tmp_path: Path) -> Path:
    """The product as events that are filtered and mapped."""
    write_small_mesh(tmp_path)
    write(tmp_path, HOURLY_FLOW, PASSED)
    edit(tmp_path, HOURLY, "reads: [origin, occurred_at]", "reads: [origin, delay_minutes]")
    edit(tmp_path, HOURLY, "type: aggregate", "type: consumer-aligned")
    edit(tmp_path, HOURLY, "key: [origin]", "key: [flight_id]")
    edit(tmp_path, HOURLY, "ports: [topic, current]", "ports: [topic]")
    fields = '"name": "flight_id", "type": "string"}, {"name": "event_id", "type": "string"}, {"name": "occurred_at"'
    edit(tmp_path, HOURLY_SCHEMA, '"name": "valid_from"', fields)
    text = (tmp_path / HOURLY_SCHEMA).read_text().splitlines(keepends=True)
    write(tmp_path, HOURLY_SCHEMA, "".join(line for line in text if "valid_to" not in line))
    return release(tmp_path)


def said(folder: Path) -> list[tuple[str, str]]:
    return [(finding.code, finding.message) for finding in check(folder).findings]


def impacts(folder: Path) -> list[tuple[str, str]]:
    """The class of each change of the flow, and the version that is due for it."""
    changes = [change for change in check(folder).changes if change.pending]
    return [
        (impact.text.partition("flow, ")[2].partition(":")[0], impact.due)
        for change in changes
        for impact in change.impacts
        if impact.place == "flow"
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("late", "delayed"),
        ("def add(state, minutes)", "def add(kept: dict, minutes: int) -> dict"),
        ("    late = minutes or 0\n", "    # What nobody knows is none.\n    late = minutes  or  0\n\n"),
        ("def weight(minutes):", 'def weight(minutes):\n    """How much it counts."""'),
        ("weight", "heaviness"),
        ("lambda state: state", "lambda kept: kept"),
        (".coalesce(0) > 5)", '.coalesce(0) > 5).map(unread=col("delay_minutes") + 1)'),
        (
            'filter(col("delay_minutes").coalesce(0) > 5)',
            'map(d=col("delay_minutes").coalesce(0)).filter(5 < col("d"))',
        ),
        ('filter(col("delay_minutes")', 'select("origin", "delay_minutes").filter(col("delay_minutes")'),
    ],
)
def test_what_only_looks_otherwise_is_no_change(folder: Path, old: str, new: str) -> None:
    text = (folder / HOURLY_FLOW).read_text()
    if old == "def add(state, minutes)":
        text = text.replace('{"n": state["n"] + w', '{"n": kept["n"] + w')
    assert old in text
    write(folder, HOURLY_FLOW, text.replace(old, new))
    assert said(folder) == [] and impacts(folder) == []


@pytest.mark.parametrize(
    ("old", "new", "due"),
    [
        ("> 5)", "> 6)", [("breaking", "major")]),
        ("late.aggregate", "departures.aggregate", [("breaking", "major")]),
        ('tumbling("1h")', 'tumbling("2h")', [("breaking", "major")]),
        ("LIMIT = 5", "LIMIT = 6", [("breaking", "major")]),
        ("max(late", "min(late", [("breaking", "major")]),
        ("minutes or 0", "minutes or 1", [("breaking", "major")]),
        ("departures=mine)", "departures=count())", [("breaking", "major")]),
        ("departures=mine)", "departures=mine).map(departures=col('departures') + 1)", [("forward-only", "minor")]),
        ("departures=mine)", "departures=mine).filter(col('departures') > 1)", [("forward-only", "minor")]),
        ('tumbling("1h"), ', 'tumbling("1h"), name="hours", ', [("breaking", "major")]),
    ],
)
def test_a_change_of_what_is_kept_breaks_and_one_of_results_counts_from_now_on(
    folder: Path, old: str, new: str, due: list[tuple[str, str]]
) -> None:
    edit(folder, HOURLY_FLOW, old, new)
    assert impacts(folder) == due
    (finding,) = [found for found in check(folder).findings if found.code == "HW-C082"]
    version = {"major": "2.0.0", "minor": "1.1.0"}[due[0][1]]
    assert finding.fix == f"write version: {version}, then headwater schema lock"
    edit(folder, HOURLY, "version: 1.0.0", f"version: {version}")
    release(folder)
    assert not [found for found in check(folder).findings if found.code in ("HW-C082", "HW-C084")]


@pytest.mark.parametrize(
    ("old", "new", "due"),
    [
        ('& (col("origin") != "JFK"))', ').filter("JFK" != col("origin"))', []),
        (
            '(col("delay_minutes") > 5) & (col("origin") != "JFK")',
            '(col("origin") != "JFK") & (5 < col("delay_minutes"))',
            [],
        ),
        ("* 2", "* 3", [("forward-only", "minor")]),
        ("> 5", ">= 5", [("forward-only", "minor")]),
        (' & (col("origin") != "JFK")', "", [("forward-only", "minor")]),
        ("coalesce(0) * 2", "coalesce(0) * lit(2.0)", None),
    ],
)
def test_rows_that_are_made_one_by_one_go_on(
    passing: Path, old: str, new: str, due: list[tuple[str, str]] | None
) -> None:
    edit(passing, HOURLY_FLOW, old, new)
    if due is None:  # not even of the field's type
        assert said(passing)
    else:
        assert impacts(passing) == due


def test_a_break_names_the_line_whom_it_hits_and_what_is_filled_again(folder: Path) -> None:
    edit(folder, HOURLY_FLOW, "> 5)", "> 6)")
    (finding,) = [found for found in check(folder).findings if found.code == "HW-C084"]
    assert (finding.file, finding.line, finding.severity) == (HOURLY_FLOW, 20, "error")
    assert "filter (5 < coalesce(delay_minutes, 0)) -> filter (6 < coalesce(delay_minutes, 0))" in finding.message
    assert finding.why.startswith("board (terminal@example.org) reads it; ")
    assert "filled from flights.departures (the last 30d are kept)" in finding.why
    assert finding.fix == "take the change back, or raise the major version"


def test_a_field_more_is_additive_and_due_by_whether_what_is_kept_has_room_for_it(folder: Path) -> None:
    kept = '{"name": "departures", "type": "long"}'
    edit(folder, HOURLY_SCHEMA, kept, f'{kept}, {{"name": "more", "type": "long", "default": 0}}')
    text = (folder / HOURLY_FLOW).read_text()
    write(folder, HOURLY_FLOW, text.replace("departures=mine)", "departures=mine).map(more=col('departures') + 1)"))
    assert impacts(folder) == [("additive", "minor")]
    write(folder, HOURLY_FLOW, text.replace("departures=mine)", "departures=mine, more=count())"))
    assert impacts(folder) == [("additive", "major")]


def test_a_lock_from_before_flows_were_kept_takes_the_flow_of_the_same_contract(folder: Path) -> None:
    path = folder / RELEASES
    (one,) = parse_releases(path.read_text()).releases
    assert one.logic
    object.__setattr__(one, "logic", "")
    path.write_text(one.line() + "\n")
    edit(folder, HOURLY_FLOW, "> 5)", "> 6)")
    assert said(folder) == []  # nothing tells what the flow was
    (lock,) = [lock for lock in lock_files(folder) if lock.added]
    assert lock.file == RELEASES
    release(folder)
    edit(folder, HOURLY_FLOW, "> 6)", "> 7)")
    assert impacts(folder) == [("breaking", "major")]

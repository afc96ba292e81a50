"""A grid that a source promises: who may, what flows may do with it, and what a change of it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.plan.check import check
from headwater.testing.small_mesh import (
    DEPARTURE_SCHEMA,
    DEPARTURES,
    HOURLY,
    edit,
    release,
    write_small_mesh,
)

GRID = ("    retention: 30d", "    retention: 30d\n    grid: 1h")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small mesh, its departures told as facts: how many of a flight there were in an hour."""
    write_small_mesh(tmp_path)
    instant = '{"type": "long", "logicalType": "timestamp-micros"}'
    facts = f'"valid_from", "type": {instant}}}, {{"name": "valid_to", "type": ["null", {instant}], "default": null'
    edit(tmp_path, DEPARTURE_SCHEMA, '    {"name": "event_id", "type": "string"},\n', "")
    edit(tmp_path, DEPARTURE_SCHEMA, f'"occurred_at", "type": {instant}', facts)
    edit(tmp_path, HOURLY, "reads: [origin, occurred_at]", "reads: [origin, valid_from]")
    return tmp_path


def codes(folder: Path) -> list[str]:
    return [finding.code for finding in check(folder).findings if finding.code != "HW-C085"]


def test_facts_of_a_source_are_folded_where_its_contract_says_how_they_lie(folder: Path) -> None:
    assert "HW-P073" in codes(release(folder))
    edit(folder, DEPARTURES, *GRID)
    for lock in folder.rglob("*.lock"):
        lock.unlink()
    assert codes(release(folder)) == []


@pytest.mark.parametrize("was", ["none", "1h", "30min"])
def test_a_grid_that_comes_goes_or_changes_breaks_whoever_counted_on_it(folder: Path, was: str) -> None:
    edit(folder, DEPARTURES, GRID[0], GRID[0] if was == "none" else f"    retention: 30d\n    grid: {was}")
    release(folder)
    if was == "none":
        edit(folder, DEPARTURES, *GRID)
    elif was == "1h":
        edit(folder, DEPARTURES, "\n    grid: 1h", "")
    else:
        edit(folder, DEPARTURES, "grid: 30min", "grid: 1h")
    due = [found for found in check(folder).findings if found.code == "HW-C082"]
    assert [found.fix for found in due] == ["write version: 2.0.0, then headwater schema lock"]


def test_who_holds_no_facts_or_makes_them_by_a_flow_promises_no_grid(tmp_path: Path) -> None:
    write_small_mesh(tmp_path)
    edit(tmp_path, DEPARTURES, *GRID)
    edit(tmp_path, HOURLY, "    ports: [topic, current]", "    ports: [topic, current]\n    grid: 1h")
    release(tmp_path)
    found = [finding for finding in check(tmp_path).findings if finding.code == "HW-C117"]
    assert [(finding.file, finding.path) for finding in found] == [
        (DEPARTURES, "outputs[0].grid"),
        (HOURLY, "outputs[0].grid"),
    ]

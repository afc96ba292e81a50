"""Git says what changed, and so what is shown; it has no part in the verdict."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from headwater.errors import CallerFault
from headwater.plan.changes_git import changed_since
from headwater.plan.check import check
from headwater.testing.small_mesh import (
    BOARD,
    BOARD_TEXT,
    DEPARTURE_SCHEMA,
    DEPARTURES,
    FILES,
    HOURLY_FLOW,
    edit,
    release,
    write,
    write_small_mesh,
)

ORIGIN = '    {"name": "origin", "type": "string"},\n'
OTHER = "connectors/flights/arrivals/product.yaml"
OTHER_SCHEMA = "schemas/avro/flights/arrivals/Departure.avsc"


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    mesh = tmp_path / "mesh"
    write_small_mesh(mesh)
    write(mesh, BOARD, BOARD_TEXT)
    write(mesh, OTHER, FILES[DEPARTURES].replace("flights.departures", "flights.arrivals"))
    write(mesh, OTHER_SCHEMA, FILES[DEPARTURE_SCHEMA].replace("flights.departures", "flights.arrivals"))
    release(mesh)
    edit(mesh, OTHER, "retention: 30d", "accept_late: 30d")
    git(mesh, "init", "-q", "-b", "main")
    git(mesh, "add", ".")
    git(mesh, "commit", "-q", "-m", "first")
    return mesh


def test_files_that_are_committed_edited_and_new_have_changed(folder: Path) -> None:
    git(folder, "checkout", "-q", "-b", "change")
    edit(folder, DEPARTURES, "Each departure", "Every departure")
    git(folder, "commit", "-qam", "words")
    edit(folder, HOURLY_FLOW, "count()", "count() ")
    write(folder, "consumers/new thing.yaml", "")
    assert changed_since(folder, "main").files == {DEPARTURES, HOURLY_FLOW, "consumers/new thing.yaml"}


def test_what_the_base_got_since_is_no_change_of_this_branch(folder: Path) -> None:
    git(folder, "checkout", "-q", "-b", "change")
    git(folder, "checkout", "-q", "main")
    edit(folder, DEPARTURES, "Each departure", "Every departure")
    git(folder, "commit", "-qam", "meanwhile")
    git(folder, "checkout", "-q", "change")
    assert changed_since(folder, "main").files == frozenset()


def test_only_what_changed_and_whom_it_hits_is_shown_and_the_rest_is_counted(folder: Path) -> None:
    whole = check(folder)
    assert [finding.file for finding in whole.findings] == [OTHER, OTHER, OTHER]
    edit(folder, DEPARTURE_SCHEMA, ORIGIN, "")
    report = check(folder, "main")
    assert {finding.file for finding in report.shown} >= {DEPARTURES, DEPARTURE_SCHEMA, HOURLY_FLOW}
    assert OTHER not in {finding.file for finding in report.shown}
    assert report.hidden == 3
    assert {str(change.product) for change in report.changes} == {"flights.departures"}


def test_with_a_base_a_change_that_is_released_is_shown_once_more(folder: Path) -> None:
    edit(folder, DEPARTURE_SCHEMA, '"delay_minutes", ', '"delay_minutes", "doc": "Behind schedule.", ')
    edit(folder, DEPARTURES, "version: 1.0.0", "version: 1.0.1")
    release(folder)
    assert "flights.departures" not in {str(change.product) for change in check(folder).changes}
    (change,) = check(folder, "main").changes
    assert [impact.severity for impact in change.impacts] == ["metadata only"]


def test_a_shallow_clone_gives_the_same_verdict(folder: Path, tmp_path: Path) -> None:
    base = git(folder, "rev-parse", "HEAD").strip()
    edit(folder, DEPARTURE_SCHEMA, ORIGIN, "")
    git(folder, "commit", "-qam", "break")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{folder}", "shallow")
    deep, shallow = check(folder, base), check(tmp_path / "shallow", base)
    assert deep.findings == shallow.findings
    assert "shallow clone" in shallow.note and shallow.shown == shallow.findings
    assert len(deep.shown) < len(deep.findings)


def test_without_git_everything_is_shown_and_a_revision_nobody_knows_is_a_wrong_call(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in ("nowhere", "--output=/tmp/x", "-h"):
        with pytest.raises(CallerFault, match="knows no revision"):
            changed_since(folder, wrong)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    bare = release(write_small_mesh(tmp_path / "bare"))
    assert "no git repository" in check(bare, "main").note

"""State that was written by another layout of the operators is told from our own, so that nobody misreads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.mesh.load import load_mesh
from headwater.naming import ProductName
from headwater.processing import compiler
from headwater.processing.flow_file import load_plan
from headwater.testing.small_mesh import write_small_mesh


def test_a_change_of_layout_changes_the_form_of_every_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh, name = load_mesh(write_small_mesh(tmp_path)), ProductName.parse("airports.hourly")
    now = [stage.form for stage in load_plan(mesh, name).stages]
    assert now == [stage.form for stage in load_plan(mesh, name).stages]
    monkeypatch.setattr(compiler, "STATE_LAYOUT", compiler.STATE_LAYOUT + 1)
    later = [stage.form for stage in load_plan(mesh, name).stages]
    assert set(now).isdisjoint(later)

"""Links in a mesh: within it they are followed; where one leads out, nothing is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import InvalidFiles
from headwater.mesh.load import load_mesh
from headwater.testing.small_mesh import BOARD, DEPARTURE_SCHEMA, DEPARTURES, write_small_mesh


@pytest.mark.parametrize("name", [DEPARTURES, DEPARTURE_SCHEMA, BOARD, "mesh.yaml", "connectors/evil", "schemas"])
def test_a_link_that_leads_out_is_told_by_its_own_name_alone(tmp_path: Path, name: str) -> None:
    mesh, outside = write_small_mesh(tmp_path / "mesh"), tmp_path / "outside"
    outside.mkdir()
    (outside / "product.yaml").write_text("canary: 1\n")
    place = mesh / name
    if place.is_dir():
        place.rename(tmp_path / "moved")
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside if place.suffix == "" else outside / "product.yaml")
    with pytest.raises(InvalidFiles) as caught:
        load_mesh(mesh)
    assert [finding.code for finding in caught.value.findings] == ["HW-C127"]
    assert "canary" not in str(caught.value) and str(outside) not in str(caught.value)


def test_links_within_a_mesh_are_followed_also_in_a_circle(tmp_path: Path) -> None:
    mesh = write_small_mesh(tmp_path / "mesh")
    kept = mesh / "kept.yaml"
    (mesh / DEPARTURES).rename(kept)
    (mesh / DEPARTURES).symlink_to(kept)
    (mesh / "streams" / "airports" / "_again").symlink_to(mesh / "streams")
    assert len(load_mesh(mesh).products) == 2


def test_a_link_behind_a_link_that_stays_within_is_seen(tmp_path: Path) -> None:
    mesh = write_small_mesh(tmp_path / "mesh")
    (mesh / "beside").mkdir()
    (mesh / "beside" / "far").symlink_to("/")
    (mesh / "connectors" / "near").symlink_to(mesh / "beside")
    with pytest.raises(InvalidFiles) as caught:
        load_mesh(mesh)
    assert [finding.file for finding in caught.value.findings] == ["beside/far"]

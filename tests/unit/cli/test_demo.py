"""`headwater demo` before it starts anything: what it refuses, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.cli.demo import command
from headwater.errors import CallerFault
from headwater.testing.small_mesh import write, write_small_mesh

PRODUCTION = """name: small
databases: [operations]
environments:
  production: {kafka: {bootstrap.servers: "broker:9092"}, registry: "http://registry", databases: {operations: "x"}}
"""


@pytest.mark.parametrize("rows", ["many", "0", "-5", "1e4", ""])
def test_a_number_of_flights_that_is_none_is_refused(rows: str) -> None:
    with pytest.raises(CallerFault) as raised:
        command(rows=rows, rate=0, seed=1, fresh=False, output="text")
    assert raised.value.code == "HW-K040" and raised.value.exit_code == 2


def test_it_runs_on_the_local_stack_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(write_small_mesh(tmp_path), "mesh.yaml", PRODUCTION)
    monkeypatch.setenv("HEADWATER_MESH", str(tmp_path))
    monkeypatch.setenv("HEADWATER_ENVIRONMENT", "production")
    with pytest.raises(CallerFault) as raised:
        command(rows="10", rate=0, seed=1, fresh=False, output="text")
    assert raised.value.code == "HW-K041"

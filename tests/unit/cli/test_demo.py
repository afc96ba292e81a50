"""`headwater demo` before it starts anything: what it refuses, and how; and what it prints about the lake."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from headwater.cli.demo import command
from headwater.contracts.environment import Environment
from headwater.errors import CallerFault
from headwater.local.lake import Filled, of_the_lake, read_alone
from headwater.mesh.load import load_mesh
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


@pytest.mark.slow
def test_the_lake_is_read_without_headwater_by_the_command_that_is_printed(tmp_path: Path) -> None:
    """As a shell has it: in another process, in which Headwater cannot be imported."""
    lake = {"type": "sql", "uri": f"sqlite:///{tmp_path}/it's here.db", "warehouse": f"file://{tmp_path}/t"}
    schema = pa.schema([("origin", pa.string())])
    catalog = load_catalog("headwater", **lake)
    catalog.create_namespace("a")
    catalog.create_table("a.b_v1", schema).append(pa.table({"origin": ["JFK", "LGA", "JFK"]}, schema))
    line = read_alone([Filled("a.b_v1", 3, "")], Environment("local", {}, "", lake=lake))
    python, *arguments = shlex.split(line)
    assert python == "python" and "headwater." not in line
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60)
    assert re.search(r"JFK +│ +2 │", done.stdout) and re.search(r"LGA +│ +1 │", done.stdout)


def test_the_tables_of_the_reference_mesh_are_three() -> None:
    tables = [str(one.name) for one in of_the_lake(load_mesh(Path(__file__).parents[3]))]
    assert sorted(tables) == ["airports.hourly_punctuality", "planning.delay_features", "routes.daily_performance"]

"""`headwater explain`: a code however it is typed, all of them, and the nearest where there is none."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from headwater.cli.explain import command
from headwater.errors import CallerFault

RUNNER = CliRunner()
APP = typer.Typer()
APP.command()(command)


@pytest.mark.parametrize("code", ["HW-S102", "hw-s102", "[HW-S102]", "S102"])
def test_a_code_is_explained_with_why_how_and_an_example(code: str) -> None:
    done = RUNNER.invoke(APP, [code])
    assert done.exit_code == 0 and done.stdout.startswith("HW-S102  ")
    assert all(part in done.stdout for part in ("why: ", "fix: ", "example:", '"default": null'))


def test_all_codes_are_listed_and_json_names_the_page() -> None:
    assert "\nHW-S102  " in RUNNER.invoke(APP, ["--list"]).stdout
    lines = RUNNER.invoke(APP, ["--list", "--output", "json"]).stdout.splitlines()
    assert len(lines) > 250 and all(json.loads(line)["mend"] for line in lines)
    assert json.loads(RUNNER.invoke(APP, ["O044", "--output", "json"]).stdout)["docs"].endswith("findings/HW-O044.md")


def test_a_code_that_is_none_names_those_near_it() -> None:
    done = RUNNER.invoke(APP, ["HW-S199"])
    assert isinstance(done.exception, CallerFault) and "HW-S1" in done.exception.detail

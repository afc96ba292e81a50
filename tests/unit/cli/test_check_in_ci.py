"""`headwater check` where it runs unattended: files, the job's summary, the shipped action, template and hooks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from headwater.cli.check import command
from headwater.contracts.strict_yaml import Mapping, Node, Scalar, Sequence, parse_yaml
from headwater.errors import CallerFault
from headwater.testing.small_mesh import DEPARTURE_SCHEMA, HOURLY, edit, release, write, write_small_mesh

ROOT = Path(__file__).resolve().parents[3]
ORIGIN = '    {"name": "origin", "type": "string"},\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADWATER_MESH", str(tmp_path / "mesh"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return release(write_small_mesh(tmp_path / "mesh"))


def check(*args: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(args))


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("out.json", "{"),
        ("out.xml", "<?xml"),
        ("out.sarif", "{"),
        ("out.md", "## headwater"),
        ("out.txt", "2 products"),
    ],
)
def test_the_suffix_says_the_form_and_text_still_goes_to_the_log(
    folder: Path, tmp_path: Path, name: str, begin: str
) -> None:
    result = check("--output-file", str(tmp_path / name))
    assert (result.exit_code, result.stdout) == (0, "2 products: no findings\n")
    assert (tmp_path / name).read_text().startswith(begin)


def test_a_file_that_cannot_be_written_is_a_wrong_call(folder: Path, tmp_path: Path) -> None:
    result = check("--output-file", str(tmp_path / "none" / "out.json"))
    assert isinstance(result.exception, CallerFault) and result.exception.exit_code == 2


def test_github_gets_commands_and_the_jobs_summary(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    edit(folder, DEPARTURE_SCHEMA, ORIGIN, "")
    result = check("--output", "github")
    assert result.exit_code == 1 and result.stdout.startswith("::error file=")
    said = (tmp_path / "summary.md").read_text()
    assert said.startswith("before\n## headwater check") and "breaks 1 reader" in said


def test_a_host_is_given_files_as_the_repository_has_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(folder, HOURLY, "key: [origin]", "key: [origim]")
    monkeypatch.chdir(tmp_path)
    assert "file=mesh/streams/airports/hourly/product.yaml" in check("--output", "github").stdout
    assert json.loads(check("--output", "gitlab").stdout)[0]["location"]["path"].startswith("mesh/streams/")
    assert check("--output", "text").stdout.startswith("streams/")


def test_every_severity_has_its_exit_code(folder: Path) -> None:
    edit(folder, HOURLY, "reads: [origin, occurred_at]", "reads: [origin, occurred_at, delay_minutes]")
    edit(folder, HOURLY, "version: 1.0.0", "version: 1.0.1")
    release(folder)
    assert [check("--fail-on", level).exit_code for level in ("info", "warning", "error")] == [1, 0, 0]


def test_the_commands_of_action_template_and_hooks_exist_with_their_options() -> None:
    app = typer.main.get_command(_app())
    known = {name for option in app.params for name in option.opts}
    for file in (".github/actions/check/action.yml", "infra/ci/gitlab-check.yml", ".pre-commit-hooks.yaml"):
        used = set(re.findall(r"(--[a-z-]+)", (ROOT / file).read_text()))
        others = {"--quiet", "--disable-pip-version-check", "--check"}
        assert used - others <= known, file


def test_the_action_gives_no_input_to_a_shell_but_by_its_environment() -> None:
    text = (ROOT / ".github/actions/check/action.yml").read_text()
    scripts = re.findall(r"run: (?:\|\n((?:        .*\n?)+)|(.*))", text)
    assert len(scripts) == 2 and not any("${{" in part for script in scripts for part in script)


def test_a_real_pre_commit_run_lets_a_good_change_in_and_keeps_a_breaking_one_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADWATER_MESH")
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    hooks = tmp_path / "hooks"
    write(hooks, ".pre-commit-hooks.yaml", (ROOT / ".pre-commit-hooks.yaml").read_text())
    _git(hooks, "init", "-q")
    _commit_all(hooks, "hooks")
    revision = _git(hooks, "rev-parse", "HEAD").stdout.strip()
    names = "    - id: headwater-check\n    - id: headwater-locks-fresh\n"
    write(folder, ".pre-commit-config.yaml", f"repos:\n- repo: {hooks}\n  rev: {revision}\n  hooks:\n{names}")
    _git(folder, "init", "-q")
    _run(folder, sys.executable, "-m", "pre_commit", "install")
    first = _commit_all(folder, "first")
    assert first.returncode == 0 and "headwater check" in first.stderr + first.stdout, first.stderr

    edit(folder, DEPARTURE_SCHEMA, ORIGIN, "")
    broken = _commit_all(folder, "break")
    said = broken.stdout + broken.stderr
    assert broken.returncode == 1
    assert "removing 'origin' breaks 1 reader. airports.hourly (airports@example.org) reads it" in said
    assert "fix: write version: 2.0.0" in said and "as it stands here" in said

    _git(folder, "checkout", "HEAD", "--", ".")
    edit(folder, DEPARTURE_SCHEMA, '"name": "origin",', '"name": "origin", "doc": "IATA code.",')
    edit(folder, "connectors/flights/departures/product.yaml", "version: 1.0.0", "version: 1.0.1")
    release(folder)
    assert _commit_all(folder, "words").returncode == 0


def test_the_hooks_are_named_as_documented() -> None:
    node, findings = parse_yaml((ROOT / ".pre-commit-hooks.yaml").read_bytes(), file=".pre-commit-hooks.yaml")
    assert not findings and isinstance(node, Sequence)
    ids = [_value(entry, "id") for entry in node.items]
    assert ids == ["headwater-check", "headwater-locks-fresh", "headwater-docs-fresh"]
    assert {_value(entry, "language") for entry in node.items} == {"system"}


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(command)
    return app


def _value(node: Node, key: str) -> str:
    assert isinstance(node, Mapping)
    return next(value.text for name, value in node.entries if name.text == key and isinstance(value, Scalar))


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    return _run(folder, "git", *who, *arguments)


def _commit_all(folder: Path, message: str) -> subprocess.CompletedProcess[str]:
    _git(folder, "add", "-A")
    return _git(folder, "commit", "-m", message)


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)

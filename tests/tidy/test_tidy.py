"""The law of STYLE.md holds, and the law itself is tested: each rule has a sample that it must catch."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("law", Path(__file__).with_name("law.py"))
assert _spec is not None and _spec.loader is not None
law = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(law)


def _files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_the_law_holds() -> None:
    breaches = [
        breach
        for name in _files()
        if name.endswith(".py")
        for breach in law.broken(name, (ROOT / name).read_text(encoding="utf-8"))
    ]
    assert not breaches, "\n" + "\n".join(breaches)


def test_no_file_carries_a_machines_path() -> None:
    texts = [
        name
        for name in _files()
        if name.endswith((".md", ".yaml", ".yml", ".toml", ".json", ".lock", ".java", ".avsc"))
    ]
    breaches = [b for name in texts for b in law.machine_paths(name, (ROOT / name).read_text(encoding="utf-8"))]
    assert not breaches, "\n" + "\n".join(breaches)


def test_every_module_has_a_first_line_that_says_what_it_is() -> None:
    import ast

    bare = [
        name
        for name in _files()
        if name.startswith("src/")
        and name.endswith(".py")
        and not ast.get_docstring(ast.parse((ROOT / name).read_text()))
    ]
    assert not bare


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("src/headwater/a.py", "\n" * 700, "lines"),
        ("src/headwater/utils.py", "", "no noun"),
        ("src/headwater/a.py", "def f():\n" + "    x = 1\n" * 80, "fit a screen"),
        ("src/headwater/a.py", "def f(a, b, c, d, e, f, g, h, i): ...\n", "parameters"),
        ("src/headwater/a.py", "from datetime import datetime\nx = datetime.now()\n", "time"),
        ("src/headwater/outbox/a.py", "from pathlib import Path\nPath('x').read_text()\n", "files"),
        ("src/headwater/a.py", "def f(t):\n    return f'{t}.progress'\n", "naming"),
        ("src/headwater/a.py", "raise E('x', code='HW-12')\n", "no code"),
        ("tests/a.py", "from unittest.mock import Mock\n", "mock"),
        ("tests/a.py", "x = '/" + "work/main'\n", "machine's path"),
    ],
)
def test_each_rule_catches_its_sample(path: str, text: str, says: str) -> None:
    assert any(says in breach for breach in law.broken(path, text))

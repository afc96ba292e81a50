"""Documents are checked by the machine: examples run, links lead somewhere, commands in pages exist."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import typer

import headwater
from headwater.cli.main import COMMANDS, build

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for folder in (ROOT, ROOT / "docs", ROOT / "connectors", ROOT / "streams", ROOT / "examples", ROOT / "bench")
    for page in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
)


def _modules() -> list[str]:
    found = pkgutil.walk_packages(headwater.__path__, "headwater.")
    return sorted(module.name for module in found if not module.name.endswith("__main__"))


@pytest.mark.parametrize("name", _modules())
def test_examples_in_docstrings_run(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert outcome.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_pages_exist_with_their_options(page: Path) -> None:
    tree = _tree()
    wrong = []
    for line in _shell_lines(page.read_text(encoding="utf-8")):
        words = line.split("#")[0].split()
        if not words or words[0] != "headwater":
            continue
        command, rest = tree, words[1:]
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]
        if command is tree and rest and not rest[0].startswith("-"):
            wrong.append(line)
            continue
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
        wrong += [f"{line}: {word}" for word in rest if word.startswith("--") and word.split("=")[0] not in known]
    assert not wrong


def test_every_command_has_a_help_text() -> None:
    tree = typer.main.get_command(build())
    assert sorted(tree.commands) == sorted(COMMANDS)
    assert not [
        name for name, command in tree.commands.items() if not command.help and not hasattr(command, "commands")
    ]


def test_every_decision_has_context_choice_and_price() -> None:
    for page in (ROOT / "docs" / "decisions").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert all(f"**{word}.**" in text for word in ("Context", "Choice", "Price")), page.name


def test_the_root_names_are_pinned() -> None:
    assert sorted(headwater.__all__) == headwater.__all__
    for name in headwater.__all__:
        assert getattr(headwater, name) is not None


@lru_cache(maxsize=1)
def _tree() -> Any:
    return typer.main.get_command(build())


def _shell_lines(text: str) -> list[str]:
    blocks = re.findall(r"```(?:sh|bash|console)?\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [*lines, *re.findall(r"`(headwater [^`]+)`", text)]

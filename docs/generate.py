"""Makes the generated half of the reference: commands, settings, errors, happenings. `--check` says what is stale.

Everything comes from the source it describes, so a page cannot say what the code does not.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "headwater"
REFERENCE = ROOT / "docs" / "reference"
SUBJECTS = {
    "C": "Contracts",
    "D": "Plan and apply",
    "I": "Tables of the lake",
    "K": "Command line",
    "L": "Local stack",
    "N": "Names",
    "O": "Outbox and relay",
    "P": "Flows and runners",
    "R": "Kafka",
    "S": "Schemas",
    "T": "Time",
    "V": "Registry",
}
MADE = "<!-- made by `make docs`; edit the source instead -->\n"


def main() -> int:
    """Write the pages, or with `--check` name those that differ from what would be written."""
    pages = {
        "errors.md": errors_page(),
        "commands.md": commands_page(),
        "settings.md": settings_page(),
        "happenings.md": happenings_page(),
        "exit-codes.md": exit_codes_page(),
        "metrics.md": metrics_page(),
    }
    schemas = importlib.import_module("headwater.contracts.jsonschema")
    pages |= schemas.pages()
    pages |= importlib.import_module("headwater.plan.report_text").pages()
    pages |= finding_pages()
    stale = [name for name, text in pages.items() if not _same(REFERENCE / name, text)]
    gone = [path for path in sorted((REFERENCE / "findings").glob("*.md")) if f"findings/{path.name}" not in pages]
    stale += [f"findings/{path.name}" for path in gone]
    if "--check" in sys.argv:
        for name in stale:
            print(f"docs/reference/{name} is stale. fix: make docs")
        return 1 if stale else 0
    (REFERENCE / "findings").mkdir(exist_ok=True)
    for name in stale:
        if name not in pages:
            (REFERENCE / name).unlink()
            print(f"removed docs/reference/{name}")
            continue
        (REFERENCE / name).write_text(pages[name], encoding="utf-8")
        print(f"wrote docs/reference/{name}")
    return 0


def errors_page() -> str:
    """The index of all codes, by what they are about."""
    catalogue = importlib.import_module("headwater.explanations.catalogue")
    lines = [
        "# Errors and findings",
        "",
        MADE,
        "Each code is stable and never used again for another thing. `…` stands for what varies.",
        "`headwater explain CODE` says the same on a terminal.",
    ]
    for letter, name in catalogue.FILES.items():
        known = [entry for code, entry in catalogue.explanations().items() if code[3] == letter]
        lines += ["", f"## {SUBJECTS[letter]}", "", "| code | says |", "| --- | --- |"]
        lines += [f"| [{entry.code}](findings/{entry.code}.md) | {_cell(entry.says)} |" for entry in known]
        assert known, name
    return "\n".join(lines) + "\n"


def finding_pages() -> dict[str, str]:
    """A page for each code: its explanation, and from the source the messages that carry it."""
    catalogue = importlib.import_module("headwater.explanations.catalogue")
    messages: dict[str, dict[str, None]] = {}
    places: dict[str, set[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        if path.name == "errors.py" or "testing" in path.parts:
            continue
        for code, message in _coded(ast.parse(path.read_text(encoding="utf-8"))):
            places.setdefault(code, set()).add(path.relative_to(SOURCE).as_posix())
            if message:
                messages.setdefault(code, {})[message] = None
    pages = {}
    for code, entry in catalogue.explanations().items():
        lines = [f"# {code}", "", MADE, f"{_sentence(entry.says)}", ""]
        lines += ["**Why it matters.**", entry.why, "", "**Mend.**", entry.mend, ""]
        if entry.example:
            lines += ["**Example.**", "", "```", *entry.example.strip("\n").splitlines(), "```", ""]
        said = [message for message in messages.get(code, ()) if message.strip("… :.,'") and message != entry.says]
        if said:
            lines += ["**Messages.**", "", *(f"- {message.replace('<', '&lt;')}" for message in said), ""]
        if code in places:
            lines += [f"From {', '.join(f'`{name}`' for name in sorted(places[code]))}.", ""]
        lines.append("[All codes](../errors.md)")
        pages[f"findings/{code}.md"] = "\n".join(lines) + "\n"
    return pages


def commands_page() -> str:
    """Every command with its help and options."""
    import typer

    tree = typer.main.get_command(importlib.import_module("headwater.cli.main").build())
    lines = ["# Commands", "", MADE]
    for path, command in _commands("headwater", tree):
        help_text = re.sub(r"\s*\n\s*", "\n", (command.help or "").strip())
        lines += [f"## `{path}`", "", help_text, ""]
        rows = [
            (
                ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts)),
                getattr(option, "help", "") or "",
            )
            for option in command.params
            if option.name != "help"
        ]
        if rows:
            lines += ["| option | meaning |", "| --- | --- |"]
            lines += [f"| {names} | {' '.join(text.split()).replace('|', chr(92) + '|')} |" for names, text in rows]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def settings_page() -> str:
    """The settings' table, from the module that reads them."""
    docstring = importlib.import_module("headwater.settings").__doc__ or ""
    table = "\n".join(line for line in docstring.splitlines() if line.startswith("|"))
    return (
        f"# Settings\n\n{MADE}\nRead once, from the environment; everything else is in the mesh's files.\n\n{table}\n"
    )


def happenings_page() -> str:
    """What the core announces."""
    hooks = importlib.import_module("headwater.hooks")
    rows = "\n".join(f"| `{name}` | {text} |" for name, text in sorted(hooks.HAPPENINGS.items()))
    head = "What the core announces to its listeners.\n\n| name | meaning: fields |\n| --- | --- |"
    return f"# Happenings\n\n{MADE}\n{head}\n{rows}\n"


def metrics_page() -> str:
    """The catalogue of metrics."""
    metrics = importlib.import_module("headwater.observability.metrics")
    head = "Served by `headwater relay --metrics-port PORT` and `headwater run --metrics-port PORT`, on loopback."
    return f"# Metrics\n\n{MADE}\n{head}\n\n{metrics.page()}\n"


def exit_codes_page() -> str:
    """Exit codes, from the tree of errors."""
    tree = (
        (importlib.import_module("headwater.errors").__doc__ or "")
        .split("HeadwaterError", 1)[1]
        .split("Each error", 1)[0]
    )
    return (
        f"# Exit codes\n\n{MADE}\n| code | meaning |\n| --- | --- |\n"
        "| 0 | fine, or findings below `--fail-on` |\n| 1 | findings at or above `--fail-on` |\n"
        "| 2 | usage or configuration error |\n| 3 | something needed cannot be reached |\n"
        "| 4 | changes are pending (only with `--detailed-exitcode`) |\n| 5 | refused by policy |\n"
        "| 70 | a fault of Headwater itself |\n\n"
        f"The errors behind them:\n\n```\n    HeadwaterError{tree.rstrip()}\n```\n"
    )


def _coded(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Calls that carry a code, by keyword or (a Finding) as the first argument, with their messages."""
    assigned = _assignments(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        values = [*node.args, *keywords.values()]
        code = next((v.value for v in values if isinstance(v, ast.Constant) and _is_code(v.value)), None)
        if code is None:
            continue
        named = {value.id: value for value in node.args if isinstance(value, ast.Name)}
        message = _said(_written(assigned, keywords.get("message") or named.get("message") or _first_sentence(node)))
        yield str(code), message


def _assignments(tree: ast.AST) -> list[tuple[int, str, ast.expr]]:
    """Each name that is given a value, with its line."""
    found: list[tuple[int, str, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            if isinstance(target, ast.Name):
                found.append((node.lineno, target.id, value))
            elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = zip(target.elts, value.elts, strict=False)
                found += [(node.lineno, name.id, part) for name, part in pairs if isinstance(name, ast.Name)]
    return sorted(found, key=lambda entry: entry[0])


def _written(assigned: list[tuple[int, str, ast.expr]], node: ast.expr | None) -> ast.expr | None:
    """What a name was last given above the call that uses it; anything else as it is."""
    if not isinstance(node, ast.Name):
        return node
    return next((value for line, name, value in reversed(assigned) if name == node.id and line <= node.lineno), None)


def _first_sentence(node: ast.Call) -> ast.expr | None:
    """The first positional text with a space in it: the message."""
    for value in node.args:
        if " " in _said(value):
            return value
    return None


def _said(node: ast.expr | None) -> str:
    """A literal or f-string as prose, `…` for what varies."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " ".join(node.value.split())
    if isinstance(node, ast.JoinedStr):
        parts = [value.value if isinstance(value, ast.Constant) else "…" for value in node.values]
        return " ".join("".join(str(part) for part in parts).split())
    return ""


def _cell(text: str) -> str:
    return text.replace("|", chr(92) + "|")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith(("…", ".")) else ".")


def _is_code(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"HW-[A-Z]\d{3}", value) is not None


def _commands(path: str, command: object) -> Iterator[tuple[str, object]]:
    children = getattr(command, "commands", None)
    if not children:
        yield path, command
        return
    if getattr(command, "invoke_without_command", False) and path != "headwater":
        yield path, command
    for name in children:
        yield from _commands(f"{path} {name}", children[name])


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())

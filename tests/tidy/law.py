"""The style law that no linter knows: each rule a function from a file's path and text to what breaks it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

FILE_LINES_LIMIT = 600
FUNCTION_LINES_LIMIT = 70
PARAMETERS_LIMIT = 8
PUBLIC_NAMES_LIMIT = 24
HOMELESS = {"utils", "util", "common", "helpers", "helper", "base", "misc", "shared"}
FILES_READ_IN = (
    "src/headwater/explanations/catalogue.py",
    "src/headwater/contracts/load.py",
    "src/headwater/mesh/load.py",
    "src/headwater/schemas/tree.py",
    "src/headwater/schemas/versions.py",
    "src/headwater/processing/flow_file.py",
    "src/headwater/outbox/mapping_file.py",
    "src/headwater/processing/state_rocksdb.py",
    "src/headwater/settings.py",
    "src/headwater/plan/journal.py",
    "src/headwater/plan/check.py",
    "src/headwater/local/",
    "src/headwater/cli/",
    "src/headwater/testing/",
)
READS_FILES = {"open", "read_text", "write_text", "read_bytes", "write_bytes", "unlink", "mkdir", "rglob", "iterdir"}


def broken(path: str, text: str) -> Iterator[str]:
    """Every breach in one Python file, as `path:line what`."""
    tree = ast.parse(text)
    yield from long_file(path, text)
    if path.startswith("src/"):
        yield from homeless_name(path)
        yield from long_functions(path, tree)
        yield from many_parameters(path, tree)
        yield from wall_clock(path, tree)
        yield from files_read_elsewhere(path, tree)
        yield from names_made_by_hand(path, tree)
        yield from codes_not_literal(path, tree)
    yield from mocks(path, tree)
    yield from machine_paths(path, text)


def long_file(path: str, text: str) -> Iterator[str]:
    lines = text.count("\n")
    if lines > FILE_LINES_LIMIT:
        yield f"{path}:1 has {lines} lines; {FILE_LINES_LIMIT} is the end: cut it by subject"


def homeless_name(path: str) -> Iterator[str]:
    for part in path.removesuffix(".py").split("/"):
        if part in HOMELESS:
            yield f"{path}:1 '{part}' is no noun: find what it is about"


def long_functions(path: str, tree: ast.AST) -> Iterator[str]:
    for node in _functions(tree):
        body = node.body
        if ast.get_docstring(node) is not None:
            body = body[1:]
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        if lines > FUNCTION_LINES_LIMIT:
            yield f"{path}:{node.lineno} {node.name} has {lines} lines; {FUNCTION_LINES_LIMIT} fit a screen"


def many_parameters(path: str, tree: ast.AST) -> Iterator[str]:
    if "/cli/" in path:  # a command's options are its parameters
        return
    for node in _functions(tree):
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        count = len([name for name in names if name not in ("self", "cls")])
        if count > PARAMETERS_LIMIT:
            yield f"{path}:{node.lineno} {node.name} takes {count} parameters: make a value of what belongs together"


def wall_clock(path: str, tree: ast.AST) -> Iterator[str]:
    if path == "src/headwater/timeline/clock.py":
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today"):
            owner = ast.unparse(node.value)
            if owner in ("datetime", "datetime.datetime", "date", "datetime.date"):
                yield f"{path}:{node.lineno} asks what time it is: time is handed in (timeline/clock.py)"


def files_read_elsewhere(path: str, tree: ast.AST) -> Iterator[str]:
    if path.startswith(FILES_READ_IN):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            plain = isinstance(node.func, ast.Name) and node.func.id == "open"
            method = isinstance(node.func, ast.Attribute) and node.func.attr in READS_FILES - {"open"}
            if plain or method:
                yield f"{path}:{node.lineno} touches files: only the loaders and the edge do"


def names_made_by_hand(path: str, tree: ast.AST) -> Iterator[str]:
    if path.endswith(("/naming.py", "/errors.py")):
        return
    suffix = re.compile(r"\.(progress|current|quarantine|changelog|rekey)$|\.v$")
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for value in node.values:
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and suffix.search(value.value):
                    yield f"{path}:{node.lineno} makes a derived name by hand: headwater/naming.py does"


def codes_not_literal(path: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
            code = node.value.value
            if isinstance(code, str) and code.startswith("HW") and not re.fullmatch(r"HW-[A-Z]\d{3}", code):
                yield f"{path}:{node.value.lineno} '{code}' is no code: HW-<letter><three digits>"


def mocks(path: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if any(name.split(".")[0] in ("mock", "pytest_mock") or name == "unittest.mock" for name in names):
            yield f"{path}:{getattr(node, 'lineno', 1)} imports a mock: use the shipped fakes"


def machine_paths(path: str, text: str) -> Iterator[str]:
    needles = ("/" + "work/", "/" + "root/", "/home" + "/runner")
    for number, line in enumerate(text.splitlines(), 1):
        if any(needle in line for needle in needles):
            yield f"{path}:{number} holds a machine's path"


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node

"""What can be told of a `mapping.py` from its text: that it leans on public names, and on nothing that varies; pure.

A mapping is called again after a crash, and whoever reads the topic wants to be able to say why a record is as it is:
the same change must always give the same records. Nobody can prove that of Python; what is named here is how it is
broken by accident.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from headwater.errors import Finding

_FIX = "take what you need from the change: it has the row's values and the commit's time"
# Modules that reach outside the process, or whose answers differ from call to call.
_VARYING = frozenset(
    (
        *("asyncio", "concurrent", "ctypes", "glob", "io", "logging", "multiprocessing", "os", "pathlib", "platform"),
        *("queue", "random", "secrets", "select", "shelve", "shutil", "signal", "sqlite3", "subprocess", "sys"),
        *("tempfile", "threading", "time", "ftplib", "http", "smtplib", "socket", "ssl", "urllib"),
        *("aiohttp", "httpx", "psycopg", "psycopg2", "requests", "sqlalchemy"),
    )
)
_CALLS = frozenset(("open", "input", "print", "eval", "exec", "compile", "globals", "vars", "breakpoint", "__import__"))
_METHODS = frozenset(("now", "utcnow", "today", "uuid1", "uuid4", "getnode", "urandom"))


def rule_findings(tree: ast.Module, file: str, public: Collection[str]) -> list[Finding]:
    """Everything of these rules that a module breaks; `public` are the names of `headwater`."""
    return [
        Finding("HW-O146", "error", file, node.lineno, node.col_offset + 1, "", message, why, fix)
        for node, message, why, fix in _broken(tree, public)
    ]


def _broken(tree: ast.Module, public: Collection[str]) -> Iterator[tuple[ast.stmt | ast.expr, str, str, str]]:
    pure = "the same change must always give the same records"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in _VARYING:
                    yield node, f"mapping.py imports '{alias.name}'", pure, _FIX
                elif alias.name.startswith("headwater."):
                    yield node, f"mapping.py imports '{alias.name}'", "it may change any day", "import headwater"
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node, public, pure)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            message = f"mapping.py keeps something between calls: '{node.names[0]}'"
            yield node, message, pure, "let each call stand alone"
        elif isinstance(node, ast.Call):
            name = _called(node.func)
            if name:
                yield node, f"mapping.py calls {name}()", pure, _FIX


def _imported_from(
    node: ast.ImportFrom, public: Collection[str], pure: str
) -> Iterator[tuple[ast.stmt, str, str, str]]:
    module = node.module or ""
    if node.level:
        message, why = "mapping.py imports from beside it", "it is read alone"
        yield node, message, why, "write it into mapping.py, or install it as a package"
    elif module.split(".")[0] in _VARYING:
        yield node, f"mapping.py imports '{module}'", pure, _FIX
    elif module == "headwater":
        for alias in node.names:
            if alias.name not in public:
                message = f"'{alias.name}' is no public name of headwater"
                yield node, message, "only those stay as they are", "take one of headwater's public names"
    elif module.startswith("headwater."):
        yield node, f"mapping.py imports '{module}'", "it may change any day", "from headwater import ..."


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Name) and function.id in _CALLS | {"uuid1", "uuid4"}:
        return function.id
    if isinstance(function, ast.Attribute) and function.attr in _METHODS:
        return function.attr
    return ""

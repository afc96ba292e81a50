"""An author's function as text that says what it does: not its layout, comments, docs, types or names of locals.

Functions and values of the same file that it uses are part of it, wherever in the file they stand. What it takes from
other modules is there by name alone: who changes that raises the fold's `version`.
"""

from __future__ import annotations

import ast
import builtins
import json
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

TREE, TREE_FILE = (
    "__headwater_tree__",
    "__headwater_file__",
)  # by these `flow_file` leaves the parsed file in its globals
_SILENT = ("ctx", "annotation", "returns", "type_comment", "type_params", "kind")
_PLAIN = (bool, int, float, str, bytes, type(None))
_SEES_NAMES = frozenset({"locals", "vars", "dir", "eval", "exec", "globals"})
_Function = ast.FunctionDef | ast.Lambda


def function_text(function: Callable[..., Any]) -> str:
    """What a function of a flow does; for one that is from elsewhere, where it is from."""
    return json.dumps(_Telling().function(function), ensure_ascii=False, separators=(",", ":"))


class _Telling:
    """One function with all that it uses: what is met again is named by its number."""

    def __init__(self) -> None:
        self._met: dict[int, int] = {}

    def function(self, function: Any) -> Any:
        """A function as nested lists."""
        node = _node_of(function) if isinstance(function, FunctionType) else None
        if node is None:
            return [
                "elsewhere",
                getattr(function, "__module__", ""),
                getattr(function, "__qualname__", repr(type(function))),
            ]
        if id(function) in self._met:
            return ["again", self._met[id(function)]]
        self._met[id(function)] = len(self._met)
        named = {**function.__globals__, **_enclosed(function)}
        body = _without_docs(node.body) if isinstance(node, ast.FunctionDef) else [node.body]
        locals_ = _renamed(node, named)
        defaults = [self._value(value) for value in (function.__defaults__ or ())]
        tell = _Nodes(locals_, lambda name: self._named(name, named))
        return ["function", tell.told(node.args), defaults, [tell.told(part) for part in body]]

    def _named(self, name: str, named: Mapping[str, Any]) -> Any:
        return self._value(named[name]) if name in named else ["name", name]

    def _value(self, value: Any) -> Any:
        if isinstance(value, FunctionType):
            return self.function(value)
        if isinstance(value, ModuleType):
            return ["module", value.__name__]
        if isinstance(value, _PLAIN):
            return ["value", repr(value)]
        if isinstance(value, tuple | list):
            return [type(value).__name__, *(self._value(item) for item in value)]
        if isinstance(value, dict):
            return ["dict", *([self._value(key), self._value(item)] for key, item in value.items())]
        if isinstance(value, set | frozenset):
            return ["set", *sorted(json.dumps(self._value(item)) for item in value)]
        return ["elsewhere", getattr(value, "__module__", ""), getattr(value, "__qualname__", repr(type(value)))]


class _Nodes:
    """Parts of a parsed file as nested lists."""

    def __init__(self, locals_: Mapping[str, str], named: Callable[[str], Any]) -> None:
        self._locals, self._named = locals_, named

    def told(self, node: Any) -> Any:
        """A node with what it holds. What is absent is left out: some releases of Python have it, and others not."""
        if isinstance(node, list):
            return [self.told(item) for item in node]
        if not isinstance(node, ast.AST):
            return ["value", repr(node)] if not isinstance(node, str) else self._locals.get(node, node)
        if isinstance(node, ast.Constant):
            return ["value", repr(node.value)]
        if isinstance(node, ast.Name):
            return ["local", self._locals[node.id]] if node.id in self._locals else self._named(node.id)
        if isinstance(node, ast.Attribute):
            return ["attribute", self.told(node.value), node.attr]
        if isinstance(node, ast.alias):
            return ["alias", node.name, node.asname]
        if isinstance(node, ast.keyword):
            return ["keyword", node.arg, self.told(node.value)]
        parts = [
            [name, self.told(value)]
            for name, value in ast.iter_fields(node)
            if name not in _SILENT and value is not None and value != []
        ]
        return [type(node).__name__, *parts]


def _renamed(node: _Function, named: Mapping[str, Any]) -> dict[str, str]:
    """Locals by numbers, in the order in which they are met.

    Names that something could see stay as they are: arguments by name, names that the file has too, and all where the
    function asks for its names. To tell too much apart is a false alarm, to tell too little would hide a change.
    """
    every = list(_in_order(node))
    if any(isinstance(one, ast.Name) and one.id in _SEES_NAMES for one in every):
        return {}
    said = {keyword.arg for call in _calls(named) for keyword in call.keywords}
    said |= {name for one in every if isinstance(one, ast.Global | ast.Nonlocal) for name in one.names}
    met: dict[str, str] = {}
    for one in every:
        name = one.arg if isinstance(one, ast.arg) else ""
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            name = one.id
        if name and name not in said and name not in named and not hasattr(builtins, name):
            met.setdefault(name, f"{len(met)}")
    return met


def _calls(named: Mapping[str, Any]) -> Iterator[ast.Call]:
    """The calls in the file of what may be a function of the file."""
    for one in ast.walk(named[TREE]):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name):
            function = named.get(one.func.id)
            own = isinstance(function, FunctionType) and function.__globals__.get(TREE) is named[TREE]
            if own or (function is None and not hasattr(builtins, one.func.id)):
                yield one


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        yield from _in_order(child)


def _node_of(function: FunctionType) -> _Function | None:
    tree, code = function.__globals__.get(TREE), function.__code__
    if not isinstance(tree, ast.Module) or code.co_filename != function.__globals__.get(TREE_FILE):
        return None
    if code.co_name != "<lambda>":
        made = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == code.co_name]
        return next((one for one in made if _first_line(one) == code.co_firstlineno), None)
    places = [(line, column) for line, _, column, _ in code.co_positions() if line and column]
    names = list(code.co_varnames[: code.co_argcount])
    around = [
        one
        for one in ast.walk(tree)
        if isinstance(one, ast.Lambda)
        and [argument.arg for argument in (*one.args.posonlyargs, *one.args.args)] == names
        and all(_within(one, place) for place in places)
    ]
    return max(around, key=lambda one: (one.lineno, one.col_offset), default=None)


def _first_line(node: ast.FunctionDef) -> int:
    return node.decorator_list[0].lineno if node.decorator_list else node.lineno


def _within(node: ast.Lambda, place: tuple[int, int]) -> bool:
    return (node.lineno, node.col_offset) <= place < (node.end_lineno or 0, node.end_col_offset or 0)


def _enclosed(function: FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells}


def _without_docs(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    docs = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if docs else body

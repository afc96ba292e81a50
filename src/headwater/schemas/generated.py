"""Python source in the making: lines, indentation, names, and the field that each line works on.

Codecs are compiled to one Python function per schema, as `dataclasses` and `namedtuple` compile their methods: a
straight run over the fields costs less than fastavro's walk over the schema, and can check everything as it goes.
Nothing of a schema enters the source but through `repr`. The field by line turns any exception into the path of the
field that did not fit, at no cost while all fit.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import Any

_FILE = "<headwater codec>"


class Source:
    """Gathers the source of one codec."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = dict(names)
        self._lines: list[str] = []
        self._fields: list[str] = []
        self._indent = 0
        self._numbers = count(1)

    def add(self, line: str, field: str = "") -> None:
        """One line, at the present indentation, working on `field`."""
        self._lines.append(" " * self._indent + line)
        self._fields.append(field)

    def indent(self) -> None:
        """What follows stands within the last line."""
        self._indent += 1

    def dedent(self, levels: int = 1) -> None:
        """What follows stands outside again."""
        self._indent -= levels

    def fresh(self, prefix: str) -> str:
        """A name not used so far."""
        return f"{prefix}{next(self._numbers)}"

    def constant(self, value: Any) -> str:
        """A name under which the source reaches a value."""
        name = self.fresh("constant_")
        self.names[name] = value
        return name

    def function(self, build: Callable[[Source], None]) -> None:
        """A further function beside the main one, built by `build` at no indentation."""
        other = Source({})
        other.names, other._numbers = self.names, self._numbers
        build(other)
        self._lines[:0] = other._lines
        self._fields[:0] = other._fields

    def compile(self) -> dict[str, Any]:
        """Run the source; its functions by name."""
        code = compile("\n".join(self._lines), _FILE, "exec")
        exec(code, self.names)  # noqa: S102 - made above from a parsed schema, whose texts enter by repr only
        return self.names

    def field_at(self, trace: TracebackType | None) -> str:
        """The field that the generated code was working on when an exception rose."""
        field = ""
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == _FILE:
                field = self._fields[trace.tb_lineno - 1] or field
            trace = trace.tb_next
        return field

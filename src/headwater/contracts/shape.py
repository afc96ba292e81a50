"""The shapes that a contract file's values may have: each reads a node, and each can say itself as JSON Schema.

One declaration serves both, so that an editor and `headwater check` cannot come to differ. Reading never stops at the
first fault: a value that does not fit is noted with its place and becomes `None`, and its neighbours are read on.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from headwater.contracts import strict_yaml
from headwater.contracts.strict_yaml import Node, Scalar
from headwater.errors import Finding

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_EMPTY = ("", "~", "null")


@dataclass(slots=True)
class Reading:
    """What one reading of a file has found so far: the findings, and where each value stands, by its dotted path."""

    file: str
    findings: list[Finding] = field(default_factory=list)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def find(self, code: str, path: str, place: tuple[int, int], message: str, *, why: str = "", fix: str = "") -> None:
        """Note a finding of severity error."""
        self.findings.append(Finding(code, "error", self.file, *place, path, message, why, fix))


class Shape(Protocol):
    """What a value may be."""

    def read(self, node: Node, reading: Reading, path: str) -> Any:
        """The plain value, or None with a finding."""

    def json_schema(self) -> dict[str, Any]:
        """The same as JSON Schema."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text of a given form. `form` names it for people; `mend` may suggest the right text for a wrong one."""

    form: str
    example: str
    pattern: str = r"\S(?:[^\x00-\x1f]*\S)?"
    why: str = ""
    length_limit: int = 200
    mend: Callable[[str], str] | None = None

    def read(self, node: Node, reading: Reading, path: str) -> str | None:
        """The text."""
        scalar = _scalar(node, reading, path, self.form)
        if scalar is None:
            return None
        fits = re.fullmatch(self.pattern, scalar.text) is not None
        if fits and len(scalar.text) <= self.length_limit and not _typed(scalar):
            return scalar.text
        place = (scalar.line, scalar.column)
        shown = f"'{scalar.text[:40]}'"
        if fits and len(scalar.text) > self.length_limit:
            why = f"it has {len(scalar.text):,} characters, and at most {self.length_limit:,} fit"
            reading.find("HW-C023", path, place, f"{self.form} is too long", why=why, fix="shorten it")
        elif fits:
            why = f"without quotes it is a number or a boolean, where {self.form} is wanted"
            reading.find("HW-C016", path, place, f"{shown} is not text", why=why, fix=f'write "{scalar.text[:40]}"')
        else:
            better = self.mend(scalar.text) if self.mend else ""
            fix = f"write {better}" if better else f"for example {self.example}"
            reading.find("HW-C017", path, place, f"{shown} is not {self.form}", why=self.why, fix=fix)
        return None

    def json_schema(self) -> dict[str, Any]:
        """A string with a pattern."""
        return {
            "type": "string",
            "pattern": f"^(?:{self.pattern})$",
            "maxLength": self.length_limit,
            "examples": [self.example],
        }


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number between two others, both included."""

    least: int
    most: int

    def read(self, node: Node, reading: Reading, path: str) -> int | None:
        """The number."""
        scalar = _scalar(node, reading, path, "a whole number")
        if scalar is None:
            return None
        digits = scalar.text.removeprefix("-")
        fitting = digits.isascii() and digits.isdigit() and len(digits) < 18
        fitting = fitting and self.least <= int(scalar.text) <= self.most
        if fitting and scalar.plain:
            return int(scalar.text)
        why = f"it is a whole number from {self.least:,} to {self.most:,}, without quotes"
        fix = f"write {scalar.text}" if fitting else f"for example {self.least}"
        message = f"'{scalar.text[:40]}' does not fit here"
        reading.find("HW-C018", path, (scalar.line, scalar.column), message, why=why, fix=fix)
        return None

    def json_schema(self) -> dict[str, Any]:
        """An integer with bounds."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a closed list of words."""

    values: tuple[str, ...]

    def read(self, node: Node, reading: Reading, path: str) -> str | None:
        """The word."""
        scalar = _scalar(node, reading, path, "one of " + ", ".join(self.values))
        if scalar is None or scalar.text in self.values:
            return scalar.text if scalar else None
        near = nearest(scalar.text, self.values)
        why = "it is one of " + ", ".join(self.values)
        fix = f"write {near}" if near else "take one of them"
        message = f"'{scalar.text[:40]}' is not known here"
        reading.find("HW-C019", path, (scalar.line, scalar.column), message, why=why, fix=fix)
        return None

    def json_schema(self) -> dict[str, Any]:
        """An enumeration."""
        return {"enum": [str(value) for value in self.values]}


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a setting that goes on to another program as text: text, number or boolean."""

    def read(self, node: Node, reading: Reading, path: str) -> str | None:
        """The text, as it is written."""
        scalar = _scalar(node, reading, path, "a setting's value")
        return scalar.text if scalar else None

    def json_schema(self) -> dict[str, Any]:
        """Any value that is neither list nor object."""
        return {"type": ["string", "number", "boolean"]}


def nearest(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """The known word that `word` is most likely meant to be, or empty text.

    >>> nearest("BACKWARDS", ("BACKWARD", "FORWARD")), nearest("ownr", ("owner",)), nearest("x", ("owner",))
    ('BACKWARD', 'owner', '')
    """
    folded = {name.lower().replace("-", "_"): name for name in known}
    found = difflib.get_close_matches(word[:80].lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else ""


def _scalar(node: Node, reading: Reading, path: str, wanted: str) -> Scalar | None:
    if isinstance(node, Scalar) and not (node.plain and node.text in _EMPTY):
        return node
    if isinstance(node, Scalar):
        place = (node.line, node.column)
        fix = "write one, or remove the key"
        reading.find("HW-C027", path, place, f"'{path}' has no value", why=f"here stands {wanted}", fix=fix)
    else:
        wrong_kind(node, reading, path, wanted)
    return None


def wrong_kind(node: Node, reading: Reading, path: str, wanted: str) -> None:
    """Note that a value is a list, a mapping or a single value where `wanted` stands."""
    if isinstance(node, strict_yaml.Refused):
        return
    kinds = {Scalar: "a single value", strict_yaml.Sequence: "a list", strict_yaml.Mapping: "a mapping"}
    message = f"'{path}' is {kinds[type(node)]}" if path else f"the file holds {kinds[type(node)]}"
    fix = f"write {wanted}"
    if isinstance(node, Scalar) and wanted == "a list":
        fix = f"write [{node.text[:40]}]"
    reading.find("HW-C028", path, (node.line, node.column), message, why=f"here stands {wanted}", fix=fix)


def _typed(scalar: Scalar) -> bool:
    """Whether YAML's own rules make it a number or a boolean: other tools would not read text there."""
    return scalar.plain and (scalar.text in ("true", "false") or _NUMBER.match(scalar.text) is not None)

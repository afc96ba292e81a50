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

LIST_LIMIT = 1000  # of any list or open mapping in a contract

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
class ListOf:
    """A list whose items have one shape. Where `distinct`, no text stands in it twice."""

    item: Shape
    least: int = 0
    most: int = LIST_LIMIT
    distinct: bool = False

    def read(self, node: Node, reading: Reading, path: str) -> tuple[Any, ...] | None:
        """The items that could be read."""
        if not isinstance(node, strict_yaml.Sequence):
            _wrong_kind(node, reading, path, "a list")
            return None
        place = (node.line, node.column)
        count = len(node.items)
        if not self.least <= count <= self.most:
            wanted = f"at least {self.least}" if count < self.least else f"at most {self.most}"
            why = f"it has {count} item{'' if count == 1 else 's'}, and {wanted} must stand here"
            fix = "add what is missing" if count < self.least else "remove the others"
            reading.find("HW-C021", path, place, "the list does not have the right length", why=why, fix=fix)
            return None
        seen: dict[str, int] = {}
        values = []
        for index, item in enumerate(node.items):
            item_path = f"{path}[{index}]"
            reading.places[item_path] = (item.line, item.column)
            if self.distinct and isinstance(item, Scalar):
                if item.text in seen:
                    message, why = f"'{item.text[:40]}' stands twice in the list", f"first in line {seen[item.text]}"
                    reading.find("HW-C022", item_path, (item.line, item.column), message, why=why, fix="keep one")
                    continue
                seen[item.text] = item.line
            value = self.item.read(item, reading, item_path)
            if value is not None:
                values.append(value)
        return tuple(values)

    def json_schema(self) -> dict[str, Any]:
        """An array."""
        schema: dict[str, Any] = {"type": "array", "items": self.item.json_schema(), "maxItems": self.most}
        if self.least:
            schema["minItems"] = self.least
        if self.distinct:
            schema["uniqueItems"] = True
        return schema


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a record: its shape, what it says (one sentence, shown by editors), and whether it must be there."""

    shape: Shape
    says: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with known keys; any other key is a finding that names the nearest known one."""

    title: str
    keys: Mapping[str, Key]

    def read(self, node: Node, reading: Reading, path: str) -> dict[str, Any] | None:
        """The values by key; what is missing or wrong is left out."""
        if not isinstance(node, strict_yaml.Mapping):
            _wrong_kind(node, reading, path, f"a mapping ({self.title})")
            return None
        values: dict[str, Any] = {}
        present = {key.text for key, _ in node.entries}
        for key, value_node in node.entries:
            key_path = f"{path}.{key.text}" if path else key.text
            if key.text not in self.keys:
                present.add(self._unknown(key, reading, key_path))  # a key misspelt is not missing as well
                continue
            reading.places[key_path] = (value_node.line, value_node.column)
            value = self.keys[key.text].shape.read(value_node, reading, key_path)
            if value is not None:
                values[key.text] = value
        for name, key_declared in self.keys.items():
            if key_declared.required and name not in present:
                key_path = f"{path}.{name}" if path else name
                message = f"the key '{name}' is missing in {self.title}"
                fix = f"add {name}: ..."
                place = (node.line, node.column)
                reading.find("HW-C024", key_path, place, message, why=key_declared.says.rstrip("."), fix=fix)
        return values

    def _unknown(self, key: Scalar, reading: Reading, path: str) -> str:
        near = nearest(key.text, self.keys)
        why = f"{self.title} has the keys " + ", ".join(self.keys)
        fix = f"write {near}" if near else "remove it"
        message = f"unknown key '{key.text[:40]}'"
        reading.find("HW-C025", path, (key.line, key.column), message, why=why, fix=fix)
        return near

    def json_schema(self) -> dict[str, Any]:
        """An object without further properties."""
        properties = {name: {**key.shape.json_schema(), "description": key.says} for name, key in self.keys.items()}
        required = [name for name, key in self.keys.items() if key.required]
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping whose keys have one form and whose values have one shape."""

    key: Text
    value: Shape
    least: int = 0

    def read(self, node: Node, reading: Reading, path: str) -> dict[str, Any] | None:
        """The values that could be read."""
        if not isinstance(node, strict_yaml.Mapping):
            _wrong_kind(node, reading, path, "a mapping")
            return None
        if not self.least <= len(node.entries) <= LIST_LIMIT:
            why = f"at least {self.least} and at most {LIST_LIMIT:,} must stand here"
            message, place = "the mapping has too few or too many keys", (node.line, node.column)
            reading.find("HW-C026", path, place, message, why=why, fix="add what is missing, or remove the others")
            return None
        values: dict[str, Any] = {}
        for key, value_node in node.entries:
            key_path = f"{path}.{key.text}"
            reading.places[key_path] = (value_node.line, value_node.column)
            name = self.key.read(key, reading, key_path)
            value = self.value.read(value_node, reading, key_path)
            if name is not None and value is not None:
                values[name] = value
        return values

    def json_schema(self) -> dict[str, Any]:
        """An object whose property names have a pattern."""
        schema: dict[str, Any] = {
            "type": "object",
            "propertyNames": {"pattern": f"^(?:{self.key.pattern})$", "maxLength": self.key.length_limit},
            "additionalProperties": self.value.json_schema(),
            "maxProperties": LIST_LIMIT,
        }
        return {**schema, "minProperties": self.least} if self.least else schema


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
        _wrong_kind(node, reading, path, wanted)
    return None


def _wrong_kind(node: Node, reading: Reading, path: str, wanted: str) -> None:
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

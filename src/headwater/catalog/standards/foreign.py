"""A document of another house: plain values, and where each of them stands, so that findings have a place."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any

from headwater.contracts.strict_yaml import Mapping, Node, Refused, Scalar, Sequence, parse_yaml
from headwater.errors import Finding, InvalidFiles, Severity

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_DIGITS_LIMIT = 400  # of a number: more are text, and never cost what large numbers cost


@dataclass(frozen=True, slots=True)
class Document:
    """`value` in plain types; `places` are lines and columns by path, such as `schema[0].properties[2].name`."""

    file: str
    value: dict[str, Any]
    places: MappingOf[str, tuple[int, int]]

    def finding(
        self, code: str, path: str, message: str, *, severity: Severity = "error", why: str = "", fix: str = ""
    ) -> Finding:
        """A finding at the place of a path, or of the nearest path above it."""
        at, place = path, self.places.get(path)
        while place is None and at:
            at = at[: max(at.rfind("."), at.rfind("["), 0)]
            place = self.places.get(at)
        return Finding(code, severity, self.file, *(place or (1, 1)), path, message, why, fix)


def read_document(data: bytes, *, file: str) -> Document:
    """The one mapping that a file holds; raises `InvalidFiles` with all findings.

    >>> read_document(b"id: a\\nservers: [{port: 9092}]", file="a.odcs.yaml").value
    {'id': 'a', 'servers': [{'port': 9092}]}
    """
    node, findings = parse_yaml(data, file=file, foreign=True)
    if not findings and not isinstance(node, Mapping):
        message, why = "the file is not a contract", "a contract is a mapping of keys to values"
        fix = "name the file of an ODCS contract"
        findings = [Finding("HW-C101", "error", file, 1, 1, "", message, why, fix)]
    if findings or not isinstance(node, Mapping):
        raise InvalidFiles(findings)
    places: dict[str, tuple[int, int]] = {}
    value = _plain(node, "", places)
    return Document(file, value, places)


def _plain(node: Node, path: str, places: dict[str, tuple[int, int]]) -> Any:
    places.setdefault(path, (node.line, node.column))
    if isinstance(node, Mapping):
        plain = {}
        for key, value in node.entries:
            below = f"{path}.{key.text}" if path else key.text
            places[below] = (key.line, key.column)  # a block's own place is that of its first part
            plain[key.text] = _plain(value, below, places)
        return plain
    if isinstance(node, Sequence):
        return [_plain(item, f"{path}[{index}]", places) for index, item in enumerate(node.items)]
    return None if isinstance(node, Refused) else _scalar(node)


def _scalar(scalar: Scalar) -> Any:
    """By YAML 1.2's core schema; dates stay text."""
    if not scalar.plain:
        return scalar.text
    if scalar.text.lower() in _WORDS:
        return _WORDS[scalar.text.lower()]
    if len(scalar.text) <= _DIGITS_LIMIT:
        if _INTEGER.match(scalar.text):
            return int(scalar.text)
        if _FLOAT.match(scalar.text):
            return float(scalar.text)
    return scalar.text

"""The shape of a moment in a file: ISO 8601 text with a zone, in quotes, since older YAML reads a date of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headwater.contracts.shape import Reading, Text
from headwater.contracts.strict_yaml import Node, Scalar
from headwater.errors import CallerFault
from headwater.timeline.instant import Instant


@dataclass(frozen=True, slots=True)
class InstantText:
    """A moment with a zone, kept as it is written."""

    text: Text

    def read(self, node: Node, reading: Reading, path: str) -> str | None:
        """The text, once it is known to be a moment."""
        text = self.text.read(node, reading, path)
        if text is None or not isinstance(node, Scalar):
            return None
        try:
            Instant.parse(text)
        except CallerFault as error:
            reading.find(error.code, path, (node.line, node.column), error.message, why=error.detail, fix=error.hint)
            return None
        return text

    def json_schema(self) -> dict[str, Any]:
        """A string in the form of a date with time."""
        return {**self.text.json_schema(), "format": "date-time"}


INSTANT = InstantText(Text("a moment", '"2013-01-05T14:05:00Z"'))

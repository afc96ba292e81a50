"""Where in a JSON text a path stands: the line and column that a finding shows."""

from __future__ import annotations

import re
from json.decoder import scanstring  # type: ignore[attr-defined,unused-ignore]
from typing import cast

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"[^,\]}\s]+")
_STEP = re.compile(r"\[(\d+)\]|([A-Za-z_][A-Za-z0-9_]*)")


def place_of(text: str, path: str) -> tuple[int, int]:
    """Line and column, from 1, of what a path such as `.fields[2].delay.default` names, or of the nearest above it.

    A field's name after its index is for people: it is not a step of the JSON.

    >>> place_of('{"type": "record",\\n "fields": [{"name": "x",\\n  "default": 1}]}', ".fields[0].x.default")
    (3, 3)
    """
    try:
        offset = _Walk(text).find([match[1] or match[2] for match in _STEP.finditer(path)])
    except (IndexError, ValueError, RecursionError):
        offset = 0
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


class _Walk:
    """Reads just as much of the text as the path needs; the text is known to be JSON."""

    def __init__(self, text: str) -> None:
        self.text = text

    def find(self, steps: list[str]) -> int:
        """The offset of the value, or of the key where the value has one."""
        place = at = self._skip(0)
        for index, step in enumerate(steps):
            if index > 1 and steps[index - 2] == "fields" and steps[index - 1].isdigit():
                continue  # the field's name
            found = self._item(at, int(step)) if step.isdigit() else self._key(at, step)
            if found is None:  # not written: stay at the nearest
                break
            place, at = found
        return place

    def _key(self, at: int, wanted: str) -> tuple[int, int] | None:
        if self.text[at] != "{":
            return None
        at = self._skip(at + 1)
        while self.text[at] != "}":
            key, end = cast("tuple[str, int]", scanstring(self.text, at + 1))
            value = self._skip(self._skip(end) + 1)
            if key == wanted:
                return at, value
            at = self._next(self._end(value))
        return None

    def _item(self, at: int, wanted: int) -> tuple[int, int] | None:
        if self.text[at] != "[":
            return None
        at = self._skip(at + 1)
        for _ in range(wanted):
            at = self._next(self._end(at))
        return at, at

    def _end(self, at: int) -> int:
        """The offset behind the value that starts here."""
        depth = 0
        while True:
            letter = self.text[at]
            if letter == '"':
                at = cast("tuple[str, int]", scanstring(self.text, at + 1))[1]
            elif letter in "[{":
                depth += 1
                at += 1
            elif letter in "]}":
                depth -= 1
                at += 1
            elif letter in ",: \t\r\n":
                at += 1
                continue
            else:
                match = _SCALAR.match(self.text, at)
                at = match.end() if match else at + 1
            if depth == 0:
                return at

    def _next(self, at: int) -> int:
        at = self._skip(at)
        return self._skip(at + 1) if self.text[at] == "," else at

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

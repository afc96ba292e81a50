"""The plain part of YAML, read quickly: what most contracts are written in. Everything else is left to the full reader.

A mesh of a thousand products is checked before every merge, and YAML's full grammar costs milliseconds for each file.
Here a line is a key with a value, or an item of a list; values are words, text in simple double quotes, or lists and
mappings in brackets on one line. Where a line is anything else the answer is None, and the full reader decides: this
one accepts nothing that the full reader would read otherwise, or find fault with.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from headwater.contracts.nodes import Mapping, Node, Scalar, Sequence

DEPTH_LIMIT = 12  # deeper files are not plain
LENGTH_LIMIT = 16_000  # of the text: fewer parts than the full reader takes
_ODD = re.compile("[^\n\x20-\x7e]|^(?:---|\\.\\.\\.|%)", re.MULTILINE)
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]{0,99}):(?: +|$)")
_COMMENT = re.compile(r"(?:^|(?<= ))#.*$")
_WORD = r"[A-Za-z0-9_./$(<=+~^;\\][^,\[\]{}#:\"'?`]*"
_FLOW = re.compile(rf'\s*(?:([\[\]{{}},])|([A-Za-z_][A-Za-z0-9_.-]{{0,99}}):(?= )|"([^"\\]*)"(?!:)|({_WORD}))')
_PLAIN_START = re.compile(r"[A-Za-z0-9_./$(<=+~^;\\]")
_END = ("", "")


@dataclass(slots=True)
class _Line:
    number: int
    indent: int
    text: str


class _NotPlain(Exception):
    """Not an error: the full reader has to look."""


@dataclass(slots=True)
class _Reader:
    lines: list[_Line]
    trapped: Callable[[str], bool]
    at: int = 0
    depth: int = field(default=0)

    def block(self, indent: int) -> Node:
        """The mapping or list whose lines stand at an indent."""
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise _NotPlain
        line = self.lines[self.at]
        node = self.items(indent) if line.text.startswith("- ") or line.text == "-" else self.entries(indent)
        self.depth -= 1
        return node

    def items(self, indent: int) -> Node:
        first, items = self.lines[self.at], []
        while self.at < len(self.lines) and self.lines[self.at].indent == indent:
            line = self.lines[self.at]
            if not line.text.startswith("- "):
                break
            rest = line.text[2:].lstrip(" ")
            within = indent + len(line.text) - len(rest)
            if not rest:
                raise _NotPlain
            if _KEY.match(rest):
                self.lines[self.at] = _Line(line.number, within, rest)
                items.append(self.block(within))
            else:
                items.append(self.value(rest, line.number, within))
                self.at += 1
        return Sequence(tuple(items), first.number, indent + 1)

    def entries(self, indent: int) -> Node:
        first, seen = self.lines[self.at], set[str]()
        entries: list[tuple[Scalar, Node]] = []
        while self.at < len(self.lines) and self.lines[self.at].indent == indent:
            line = self.lines[self.at]
            match = _KEY.match(line.text)
            if match is None or match[1] in seen or self.trapped(match[1]):
                raise _NotPlain
            seen.add(match[1])
            key, rest = Scalar(match[1], True, line.number, indent + 1), line.text[match.end() :]
            if rest:
                entries.append((key, self.value(rest, line.number, indent + match.end())))
                self.at += 1
                continue
            self.at += 1
            below = self.lines[self.at] if self.at < len(self.lines) else None
            if below is None or below.indent < indent or (below.indent == indent and not below.text.startswith("- ")):
                raise _NotPlain  # a key without a value
            entries.append((key, self.block(below.indent)))
        return Mapping(tuple(entries), first.number, indent + 1)

    def value(self, text: str, number: int, offset: int) -> Node:
        """A value that stands on one line; `offset` is where it begins, from 0."""
        if text[0] in '[{"':
            flow = _Flow(text, number, offset, self.trapped)
            node = flow.node(0)
            if flow.token() != _END:
                raise _NotPlain
            return node
        if not _PLAIN_START.match(text) or ": " in text or text.endswith(":") or self.trapped(text):
            raise _NotPlain
        return Scalar(text, True, number, offset + 1)


class _Flow:
    """Brackets on one line."""

    def __init__(self, text: str, number: int, offset: int, trapped: Callable[[str], bool]) -> None:
        self.text, self.number, self.offset, self.trapped = text, number, offset, trapped
        self.at = self.start = 0

    def token(self) -> tuple[str, str]:
        """The next token's kind and text: a bracket or comma, `key`, `quoted` or `word`."""
        if not self.text[self.at :].strip():
            return _END
        match = _FLOW.match(self.text, self.at)
        if match is None:
            raise _NotPlain
        self.at = match.end()
        for group, kind in ((1, ""), (2, "key"), (3, "quoted"), (4, "word")):
            if match[group] is not None:
                self.start = match.start(group) - (1 if kind == "quoted" else 0)
                return (match[group], "") if not kind else (kind, match[group])
        raise _NotPlain

    def node(self, depth: int) -> Node:
        return self.of(*self.token(), depth)

    def of(self, kind: str, text: str, depth: int) -> Node:
        place = (self.number, self.offset + self.start + 1)
        if depth > DEPTH_LIMIT:
            raise _NotPlain
        if kind == "quoted":
            return Scalar(text, False, *place)
        if kind == "word":
            text = text.rstrip(" ")
            if self.trapped(text):
                raise _NotPlain
            return Scalar(text, True, *place)
        if kind == "[":
            return Sequence(tuple(self.members("]", depth)), *place)  # type: ignore[arg-type]
        if kind == "{":
            entries = self.members("}", depth)
            keys = [key.text for key, _ in entries]  # type: ignore[misc]
            if len(set(keys)) != len(keys):
                raise _NotPlain
            return Mapping(tuple(entries), *place)  # type: ignore[arg-type]
        raise _NotPlain

    def members(self, closing: str, depth: int) -> list[Node | tuple[Scalar, Node]]:
        """The members up to a closing bracket, with one comma between two."""
        members: list[Node | tuple[Scalar, Node]] = []
        kind, text = self.token()
        while kind != closing:
            if closing == "]":
                members.append(self.of(kind, text, depth + 1))
            else:
                if kind != "key" or self.trapped(text):
                    raise _NotPlain
                key = Scalar(text, True, self.number, self.offset + self.start + 1)
                members.append((key, self.node(depth + 1)))
            kind, text = self.token()
            if kind == ",":
                kind, text = self.token()
                if kind == closing:
                    raise _NotPlain
            elif kind != closing:
                raise _NotPlain
        return members


def read_plain(text: str, trapped: Callable[[str], bool]) -> Node | None:
    """The document's node, or None where the full reader has to look.

    `trapped` says which words without quotes mean something else to older readers.
    """
    if len(text) > LENGTH_LIMIT or _ODD.search(text):
        return None
    lines = []
    for number, raw in enumerate(text.split("\n"), 1):
        written = _COMMENT.sub("", raw).rstrip(" ") if "#" in raw else raw.rstrip(" ")
        content = written.lstrip(" ")
        if content:
            lines.append(_Line(number, len(written) - len(content), content))
    if not lines or lines[0].indent:
        return None
    reader = _Reader(lines, trapped)
    try:
        node = reader.block(0)
    except (_NotPlain, IndexError):
        return None
    return node if reader.at == len(lines) else None

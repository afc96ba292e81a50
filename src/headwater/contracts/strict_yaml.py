"""YAML read strictly into nodes that know their place: one document of mappings, sequences and scalars, nothing else.

The parser's events are taken one by one and no value is ever built from them by YAML's own rules, so that a bomb has
nothing to expand: aliases, anchors, tags, merge keys, directives and second documents are findings, depth and size are
limited, and a scalar stays the text that was written. What YAML 1.1 readers would take for something else (`NO`,
`12:30:45`, `010`, `2013-01-05`) is refused as well: the file must mean the same to every tool that reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headwater.contracts.nodes import Mapping, Node, Refused, Scalar, Sequence
from headwater.contracts.plain_yaml import read_plain
from headwater.errors import Finding

__all__ = ["Mapping", "Node", "Refused", "Scalar", "Sequence", "parse_yaml", "read_fully"]

BYTES_LIMIT = 256 * 1024
DEPTH_LIMIT = 32
EVENTS_LIMIT = 10_000
FINDINGS_LIMIT = 50  # of one file: enough to mend it, too few to drown in
FOREIGN_FACTOR = 8  # a file of another house may be so many times larger: it describes whole databases

_TRAPS = (
    (re.compile(r"(?:y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF|True|TRUE|False|FALSE)\Z"), "a boolean"),
    (re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z"), "a number to the base of 60"),
    (re.compile(r"[-+]?0[0-9_]+\Z"), "an octal number"),
    (re.compile(r"[-+]?0[xob][0-9a-fA-F_]+\Z"), "a number to another base"),
    (re.compile(r"[-+]?[0-9]+_[0-9_]*(?:\.[0-9_]*)?\Z"), "a number with its underscores dropped"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt\s].*)?\Z"), "a date"),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)\Z"), "a float that is no number"),
    (re.compile(r"(?:Null|NULL|=)\Z"), "something else than text"),
)


def parse_yaml(data: bytes, *, file: str, foreign: bool = False) -> tuple[Node | None, list[Finding]]:
    """The file's one document, and what is wrong with it. With a finding the node may be missing or incomplete.

    `foreign` files are of another house, and imported: what older readers take for something else than text is let
    through as it is written, and they may be larger.

    >>> node, findings = parse_yaml(b"version: 1.0", file="product.yaml")
    >>> node.entries[0][1].text, findings
    ('1.0', [])
    >>> parse_yaml(b"country: NO", file="product.yaml")[1][0].render()[:64]
    "product.yaml:1:10 'NO' without quotes is a boolean to older YAML"
    """
    limit = BYTES_LIMIT * (FOREIGN_FACTOR if foreign else 1)
    if len(data) > limit:
        why = f"it has {len(data):,} bytes, and at most {limit:,} are read"
        return None, [Finding("HW-C001", "error", file, 0, 0, "", "the file is too large", why, "split it")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        why = f"the byte 0x{data[error.start]:02x} stands where none may"
        fix = "save it as UTF-8"
        return None, [Finding("HW-C002", "error", file, line, column, "", "the file is not UTF-8", why, fix)]
    plain = None if foreign else read_plain(text, _trapped)
    if plain is not None:
        return plain, []
    return read_fully(text, file=file, foreign=foreign)


def read_fully(text: str, *, file: str, foreign: bool = False) -> tuple[Node | None, list[Finding]]:
    """The same from the text, by YAML's whole grammar; what is plainly written is read alike by `plain_yaml`."""
    from ruamel.yaml.error import YAMLError  # most files are plainly written, and a start need not load a parser

    reader = _Reader(file, foreign=foreign)
    try:
        reader.read(text)
    except _Stop:
        pass
    except (YAMLError, ValueError, OverflowError) as error:
        reader.findings.append(_unparsable(error, file))
    return reader.root, reader.findings


class _Stop(Exception):
    """Not an error: reading ends here, and its finding is noted."""


@dataclass(slots=True)
class _Open:
    """A collection that is still being read."""

    line: int
    column: int
    mapping: bool
    items: list[Node]
    entries: list[tuple[Scalar, Node]]
    places: dict[str, int]
    key: Scalar | None = None
    skipping: bool = False  # the key was refused: its value is read and dropped


class _Reader:
    """Turns events into nodes. Keeps a stack of its own: the depth of a file never becomes the depth of our calls."""

    def __init__(self, file: str, *, foreign: bool) -> None:
        self.file = file
        self.traps = () if foreign else _TRAPS
        self.events_limit = EVENTS_LIMIT * (FOREIGN_FACTOR if foreign else 1)
        self.findings: list[Finding] = []
        self.root: Node | None = None
        self.stack: list[_Open] = []

    def read(self, text: str) -> None:
        documents = 0
        for number, event in enumerate(_events(text)):
            kind = type(event).__name__
            line, column = event.start_mark.line + 1, event.start_mark.column + 1
            if number > self.events_limit:
                why = f"more than {self.events_limit:,} parts are not a contract"
                self.find("HW-C003", line, column, "the file has too many values", why=why, fix="split it")
                raise _Stop
            if kind == "DocumentStartEvent":
                documents += 1
                self.document(event, documents, line, column)
            elif kind == "AliasEvent":
                name = str(event.anchor)[:40]
                self.find("HW-C004", line, column, f"'*{name}' is an alias", why=_ONCE, fix="write the value out")
                self.put(Scalar(f"*{name}", True, line, column) if self.at_key() else Refused(line, column))
            elif kind in ("MappingStartEvent", "SequenceStartEvent"):
                self.marks(event, line, column)
                self.open(line, column, mapping=kind == "MappingStartEvent")
            elif kind in ("MappingEndEvent", "SequenceEndEvent"):
                self.close()
            elif kind == "ScalarEvent":
                self.marks(event, line, column)
                self.scalar(Scalar(str(event.value), event.style in (None, ""), line, column))

    def document(self, event: Any, documents: int, line: int, column: int) -> None:
        if documents > 1:
            why = "what stands behind '---' would be read by some tools and not by others"
            fix = "move it to a file of its own"
            self.find("HW-C005", line, column, "the file has a second document", why=why, fix=fix)
            raise _Stop
        if event.version or event.tags:
            why = "a directive changes what the same text means"
            fix = "remove the line with '%'"
            self.find("HW-C006", line, column, "the file begins with a directive", why=why, fix=fix)

    def marks(self, event: Any, line: int, column: int) -> None:
        if event.anchor:
            name = str(event.anchor)[:40]
            self.find("HW-C007", line, column, f"'&{name}' is an anchor", why=_ONCE, fix="remove it")
        if event.ctag:
            why = "a value's type follows from its key"
            self.find("HW-C008", line, column, f"'{str(event.ctag)[:40]}' is a tag", why=why, fix="remove it")

    def open(self, line: int, column: int, *, mapping: bool) -> None:
        if len(self.stack) >= DEPTH_LIMIT:
            why = f"no contract needs more than {DEPTH_LIMIT} levels"
            self.find("HW-C009", line, column, "the file is nested too deep", why=why, fix="write it flatter")
            raise _Stop
        if self.at_key():
            why = "only text can be a key"
            self.find("HW-C011", line, column, "a list or a mapping stands as a key", why=why, fix="use a plain word")
            raise _Stop
        self.stack.append(_Open(line, column, mapping, [], [], {}))

    def close(self) -> None:
        done = self.stack.pop()
        if done.mapping:
            self.put(Mapping(tuple(done.entries), done.line, done.column))
        else:
            self.put(Sequence(tuple(done.items), done.line, done.column))

    def scalar(self, scalar: Scalar) -> None:
        if scalar.plain:
            for pattern, meaning in self.traps:
                if pattern.match(scalar.text):
                    message = f"'{scalar.text[:40]}' without quotes is {meaning} to older YAML readers"
                    why = "and text to newer ones"
                    fix = f'write "{scalar.text[:40]}" in quotes, or true or false where a yes or no is meant'
                    self.find("HW-C012", scalar.line, scalar.column, message, why=why, fix=fix)
                    if not self.at_key():
                        self.put(Refused(scalar.line, scalar.column))
                        return
        self.put(scalar)

    def at_key(self) -> bool:
        """Whether what comes next is a key of a mapping."""
        return (
            bool(self.stack) and self.stack[-1].mapping and self.stack[-1].key is None and not self.stack[-1].skipping
        )

    def put(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if not parent.mapping:
            parent.items.append(node)
        elif parent.skipping:
            parent.skipping = False
        elif parent.key is None:
            self.key(parent, node)
        else:
            parent.entries.append((parent.key, node))
            parent.key = None

    def key(self, parent: _Open, node: Node) -> None:
        if not isinstance(node, Scalar):  # `open` has refused it
            raise _Stop
        if node.text == "<<" and node.plain:
            self.find("HW-C013", node.line, node.column, "'<<' is a merge key", why=_ONCE, fix="write the keys out")
            parent.skipping = True
        elif node.text in parent.places:
            why = f"it stands already in line {parent.places[node.text]}, and readers differ in which one they take"
            message = f"the key '{node.text[:40]}' stands twice"
            self.find("HW-C014", node.line, node.column, message, why=why, fix="keep one of them")
            parent.skipping = True
        else:
            parent.places[node.text] = node.line
            parent.key = node

    def find(self, code: str, line: int, column: int, message: str, *, why: str, fix: str) -> None:
        self.findings.append(Finding(code, "error", self.file, line, column, "", message, why, fix))
        if len(self.findings) >= FINDINGS_LIMIT:
            raise _Stop


_ANY_TRAP = re.compile("|".join(pattern.pattern for pattern, _ in _TRAPS))


def _trapped(text: str) -> bool:
    return _ANY_TRAP.match(text) is not None


_ONCE = "a contract is read by people and by other tools: every value stands where it counts"


def _events(text: str) -> Iterator[Any]:
    # The pure parser, always: the one in C dies of deep nesting, and a contract takes two milliseconds here.
    from ruamel.yaml import YAML

    parser = YAML(typ="safe", pure=True)
    yield from parser.parse(text)


def _unparsable(error: Exception, file: str) -> Finding:
    from ruamel.yaml.error import MarkedYAMLError

    mark = error.problem_mark or error.context_mark if isinstance(error, MarkedYAMLError) else None
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    problem = str(getattr(error, "problem", None) or "it is not YAML").splitlines()[0][:120]
    context = str(getattr(error, "context", None) or "").splitlines()
    why = f"{context[0][:80]}: {problem}" if context else problem
    fix = "look at this line and the one above it for a bracket, a quote or an indent that does not match"
    return Finding("HW-C015", "error", file, line, column, "", "the file is not YAML", why, fix)

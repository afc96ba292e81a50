"""A quick look whether a version may follow an earlier one, at their JSON alone: yes, or "ask the checker".

Most versions of most schemas add a field with a default and leave everything else as it was. For those the checker's
answer is known without parsing the earlier version, and a mesh with thousands of versions is checked in a second or
two. Whatever is not plain goes to the checker: this never says yes where the checker has anything to say at all.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from headwater.errors import InvalidFiles
from headwater.schemas.avro import Schema
from headwater.schemas.compatibility import compare
from headwater.schemas.versions import LockedVersion, written_out


class Plain:
    """One candidate against earlier versions. `level` is one of the seven.

    >>> from headwater.schemas.avro import parse
    >>> from headwater.schemas.versions import VersionsLock
    >>> old = parse('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}')
    >>> more = '[{"name": "x", "type": "long"}, {"name": "y", "type": "long", "default": 0}]'
    >>> new = parse('{"type": "record", "name": "R", "fields": ' + more + '}')
    >>> (locked,) = VersionsLock(()).added(old).versions
    >>> Plain("BACKWARD", new).follows(locked), Plain("FORWARD", new).follows(locked)
    (True, True)
    """

    def __init__(self, level: str, candidate: Schema) -> None:
        self._value = written_out(candidate)
        self._backward = level.startswith(("BACKWARD", "FULL"))
        self._forward = level.startswith(("FORWARD", "FULL"))
        # A type that reads itself with a remark (a union in which a long may become a float) is not plain.
        self._usable = _is_record(self._value) and _reads_itself(candidate)
        self._pieces = _pieces(candidate, self._backward) if self._usable else None

    def follows(self, earlier: LockedVersion) -> bool:
        """Whether nothing at all would be found; False says nothing."""
        if self._pieces is None:
            return False
        if self._pieces.contain(earlier.text):
            return True
        try:
            theirs = earlier.json
            if not _is_record(theirs) or _name(theirs) != _name(self._value):
                return False
            back = not self._backward or _reads(self._value, theirs)
            return back and (not self._forward or _reads(theirs, self._value))
        except (InvalidFiles, KeyError, TypeError, AttributeError, RecursionError):
            return False  # no schema at all: whoever parses it says why


class _Pieces:
    """The candidate's JSON as a lock writes it, cut at its fields: an earlier text without some of them is plain.

    This takes no parsing at all: thousands of versions are looked at in a few milliseconds.
    """

    def __init__(self, value: Any, backward: bool) -> None:
        rest = {key: item for key, item in value.items() if key != "fields"}
        usable = list(value)[-1] == "fields"
        self._head = f'{json.dumps(rest, ensure_ascii=False)[:-1]}, "fields": [' if usable else None
        self._fields = [(json.dumps(field, ensure_ascii=False), _spare(field, backward)) for field in value["fields"]]

    def contain(self, text: str) -> bool:
        """Whether the text is the candidate's, or lacks only fields that it can lack."""
        if self._head is None or not text.startswith(self._head):
            return False
        at, first = len(self._head), True
        for field, spare in self._fields:
            piece = field if first else f", {field}"
            if text.startswith(piece, at):
                at, first = at + len(piece), False
            elif not spare:
                return False
        return text[at:] == "]}"


def _spare(field: Any, backward: bool) -> bool:
    """Whether an earlier version may lack a field, and nothing is to be said."""
    return _nameless(field["type"]) and (not backward or ("default" in field and "aliases" not in field))


@lru_cache(maxsize=4096)
def _pieces(candidate: Schema, backward: bool) -> _Pieces:
    return _Pieces(written_out(candidate), backward)


@lru_cache(maxsize=4096)
def _reads_itself(candidate: Schema) -> bool:
    """Whether a reader of the same schema has no remark; only unions of several types can have one."""
    return _unambiguous(written_out(candidate)) or not compare(candidate, candidate)


def _unambiguous(value: Any) -> bool:
    if isinstance(value, str):
        return True
    if isinstance(value, list):
        return len([branch for branch in value if branch != "null"]) <= 1 and all(map(_unambiguous, value))
    return all(_unambiguous(value[key]) for key in ("type", "items", "values") if key in value) and all(
        _unambiguous(field["type"]) for field in value.get("fields", ())
    )


def _reads(reader: Any, writer: Any) -> bool:
    """Whether each field is in both with the same JSON, or is without named types and has a default where it must.

    Types referred to by name are then defined in fields that both have alike, and so are alike themselves.
    """
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        theirs = written.pop(field["name"], None)
        if theirs is None:
            if "default" not in field or "aliases" in field or not _nameless(field["type"]):
                return False
        elif field["type"] != theirs["type"]:
            return False
    return all(_nameless(field["type"]) for field in written.values())


def _nameless(value: Any) -> bool:
    """Whether a type defines none that others could use by name."""
    if isinstance(value, str):
        return True
    if isinstance(value, list):
        return all(_nameless(branch) for branch in value)
    return "name" not in value and all(_nameless(value[key]) for key in ("type", "items", "values") if key in value)


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "record"


def _name(value: Any) -> str:
    name, space = value["name"], value.get("namespace", "")
    return str(name if "." in name or not space else f"{space}.{name}")

"""A quick look whether a version may follow an earlier one, at their JSON alone: yes, or "ask the checker".

Most versions of most schemas add a field with a default and leave everything else as it was. For those the checker's
answer is known without parsing the earlier version, and a mesh with thousands of versions is checked in a second or
two. Whatever is not plain goes to the checker: this never says yes where the checker has anything to say at all.
"""

from __future__ import annotations

from typing import Any

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
        self._candidate = written_out(candidate)
        self._backward = level.startswith(("BACKWARD", "FULL"))
        self._forward = level.startswith(("FORWARD", "FULL"))
        # A type that reads itself with a remark (a union in which a long may become a float) is not plain.
        self._usable = _is_record(self._candidate) and not compare(candidate, candidate)

    def follows(self, earlier: LockedVersion) -> bool:
        """Whether nothing at all would be found; False says nothing."""
        if not self._usable:
            return False
        theirs = earlier.json
        if not _is_record(theirs) or _name(theirs) != _name(self._candidate):
            return False
        back = not self._backward or _reads(self._candidate, theirs)
        return back and (not self._forward or _reads(theirs, self._candidate))


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

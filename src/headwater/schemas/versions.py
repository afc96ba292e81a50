"""`versions.lock`: every version of a schema that was ever released, so that history needs no network and no git.

One line is one version, a JSON object: the type's full name, its number from 1, the fingerprints of the schema and of
the outbox payload, and the schema with all types written out. Lines are only ever added, so two branches that add to
different schemas merge, and a difference shows what was released. The file stands beside the `.avsc` files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headwater.errors import Finding, InvalidFiles
from headwater.schemas.annotations import payload_schema
from headwater.schemas.avro import Schema, parse
from headwater.schemas.tree import SchemaFile, read_text

LOCK_FILE: Final = "versions.lock"
_KEYS = ("schema", "version", "fingerprint", "payload_fingerprint", "text")


@dataclass(frozen=True, slots=True)
class LockedVersion:
    """One released version. Fingerprints are CRC-64-AVRO, unsigned."""

    name: str
    version: int
    fingerprint: int
    payload_fingerprint: int
    schema: Schema

    def line(self) -> str:
        """The version's line."""
        value = {
            "schema": self.name,
            "version": self.version,
            "fingerprint": f"{self.fingerprint:016x}",
            "payload_fingerprint": f"{self.payload_fingerprint:016x}",
            "text": self.schema.json,
        }
        return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class VersionsLock:
    """What a lock file says: versions by name, each name's oldest first.

    >>> lock = VersionsLock(()).added(parse('{"type": "record", "name": "R", "fields": []}'))
    >>> [locked.version for locked in lock.history("R")], lock.added(lock.history("R")[0].schema) == lock
    ([1], True)
    """

    versions: tuple[LockedVersion, ...]

    def history(self, name: str) -> tuple[LockedVersion, ...]:
        """The versions of one schema, oldest first."""
        return tuple(locked for locked in self.versions if locked.name == name)

    def holds(self, schema: Schema) -> bool:
        """Whether the newest version of the schema's name is this schema."""
        history = self.history(schema.name)
        return bool(history) and history[-1].schema.text == _complete(schema).text

    def payload(self, fingerprint: int) -> LockedVersion | None:
        """The newest version whose outbox payload has a fingerprint."""
        found = [locked for locked in self.versions if locked.payload_fingerprint == fingerprint]
        return found[-1] if found else None

    def added(self, schema: Schema) -> VersionsLock:
        """With this schema as the newest version of its name; unchanged where it is that already."""
        if self.holds(schema):
            return self
        complete = _complete(schema)
        number = len(self.history(schema.name)) + 1
        payload = payload_schema(complete).fingerprint
        locked = LockedVersion(schema.name, number, complete.fingerprint, payload, complete)
        return VersionsLock(tuple(sorted((*self.versions, locked), key=lambda one: (one.name, one.version))))

    def render(self) -> str:
        """The file's text."""
        return "".join(locked.line() + "\n" for locked in self.versions)


def read_lock(path: Path, file: str = "") -> VersionsLock:
    """A lock file, empty where there is none; raises `InvalidFiles` where it was changed by hand."""
    if not path.is_file():
        return VersionsLock(())
    return parse_lock(read_text(path, file or str(path)), file or str(path))


def parse_lock(text: str, file: str = LOCK_FILE) -> VersionsLock:
    """A lock from its text: each line read, its fingerprints worked out again, its numbers without gaps."""
    versions: list[LockedVersion] = []
    findings: list[Finding] = []
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        locked, problem = _locked(line, file)
        if locked is not None and locked.version != counts.get(locked.name, 0) + 1:
            problem = f"version {locked.version} of {locked.name} is out of order"
        if locked is None or problem:
            findings.append(
                Finding(
                    "HW-S070", "error", file, number, 1, "", problem or "the line is no version",
                    "released versions are what later changes are held against", "restore the file; add versions with "
                    "headwater schema lock only",
                )
            )  # fmt: skip
            continue
        counts[locked.name] = locked.version
        versions.append(locked)
    if findings:
        raise InvalidFiles(findings)
    return VersionsLock(tuple(versions))


def lock_findings(tree: Iterable[SchemaFile], lock: VersionsLock, file: str) -> list[Finding]:
    """What a folder's lock lacks: schemas that are not released in it as they stand."""
    return [
        Finding(
            "HW-S071", "error", item.file, 1, 1, "", f"{item.schema.name} is not in {file} as it stands here",
            "what is not released there cannot be held against later changes, nor applied",
            "headwater schema lock",
        )
        for item in tree
        if not lock.holds(item.schema)
    ]  # fmt: skip


def _locked(line: str, file: str) -> tuple[LockedVersion | None, str]:
    try:
        value: Any = json.loads(line)
        name, version, fingerprint, payload_fingerprint, body = (value[key] for key in _KEYS)
        schema = parse(json.dumps(body, ensure_ascii=False), file=file)
        numbers = int(fingerprint, 16), int(payload_fingerprint, 16)
    except InvalidFiles as invalid:
        return None, f"the schema of the line cannot be read: {invalid.findings[0].message}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, ""
    if not isinstance(version, int) or schema.name != name:
        return None, "the line's name or number is not that of its schema"
    if (schema.fingerprint, payload_schema(schema).fingerprint) != numbers:
        return None, f"version {version} of {name} was changed: its fingerprint is another"
    return LockedVersion(name, version, *numbers, schema), ""


def _complete(schema: Schema) -> Schema:
    """The schema with all its types in it."""
    if not schema.referred:
        return schema
    return parse(json.dumps(schema.inlined, ensure_ascii=False), file=schema.name)

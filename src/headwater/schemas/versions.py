"""`versions.lock`: every version of a schema that was ever released, so that history needs no network and no git.

One line is one version, a JSON object: the type's full name, its number from 1, the product's major that it was
released in, the fingerprints of the schema and of the outbox payload, the schema with all types written out, and a
digest of all that. Lines are only ever added, so two branches that add to different schemas merge, and a difference
shows what was released. The file stands beside the `.avsc` files.

A check reads thousands of lines and needs to look into few: the digest says that a line is as it was written, without
its schema being parsed; that happens when somebody asks for it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from headwater.errors import Finding, InvalidFiles
from headwater.schemas.annotations import payload_schema
from headwater.schemas.avro import Schema, parse
from headwater.schemas.parsing import read_json
from headwater.schemas.tree import SchemaFile, read_text

LOCK_FILE: Final = "versions.lock"
FIRST_MAJOR: Final = 1  # of what no product publishes, and of lines from before majors were written down
_KEYS = ("schema", "version", "fingerprint", "payload_fingerprint", "text")
_LINE = re.compile(
    r'\{"schema": "([A-Za-z0-9_.]+)", "version": (\d{1,9}), "major": (\d{1,9}), "fingerprint": "([0-9a-f]{16})", '
    r'"payload_fingerprint": "([0-9a-f]{16})", "text": '
)
_DIGEST = re.compile(r', "digest": "([0-9a-f]{16})"\}\s*\Z')


@dataclass(frozen=True)
class LockedVersion:
    """One released version. Fingerprints are CRC-64-AVRO, unsigned; `text` is the schema's JSON, types written out."""

    name: str
    version: int
    major: int
    fingerprint: int
    payload_fingerprint: int
    text: str = field(repr=False)

    @cached_property
    def json(self) -> Any:
        """The schema as a JSON value; raises `InvalidFiles` where the line was made by hand, digest and all."""
        return read_json(self.text, f"{self.name} version {self.version}")

    @cached_property
    def schema(self) -> Schema:
        """The schema, parsed when it is first asked for."""
        return parse(self.text, file=f"{self.name} version {self.version}")

    def line(self) -> str:
        """The version's line."""
        head = {
            "schema": self.name,
            "version": self.version,
            "major": self.major,
            "fingerprint": f"{self.fingerprint:016x}",
            "payload_fingerprint": f"{self.payload_fingerprint:016x}",
        }
        body = f'{json.dumps(head, ensure_ascii=False)[:-1]}, "text": {self.text}'
        return f'{body}, "digest": "{_digest(body)}"}}'


@dataclass(frozen=True)
class VersionsLock:
    """What a lock file says: versions by name, each name's oldest first.

    >>> lock = VersionsLock(()).added(parse('{"type": "record", "name": "R", "fields": []}'))
    >>> [locked.version for locked in lock.history("R")], lock.added(lock.history("R")[0].schema) == lock
    ([1], True)
    """

    versions: tuple[LockedVersion, ...]

    def history(self, name: str, major: int | None = None) -> tuple[LockedVersion, ...]:
        """The versions of one schema, oldest first; with a major, those that were released in it."""
        return tuple(
            locked for locked in self.versions if locked.name == name and (major is None or locked.major == major)
        )

    def holds(self, schema: Schema, major: int | None = None) -> bool:
        """Whether the newest version of the schema's name is this schema, in this major where one is given."""
        history = self.history(schema.name)
        if not history or (major is not None and history[-1].major != major):
            return False
        return bool(history[-1].json == written_out(schema))

    def payload(self, fingerprint: int) -> LockedVersion | None:
        """The newest version whose outbox payload has a fingerprint."""
        found = [locked for locked in self.versions if locked.payload_fingerprint == fingerprint]
        return found[-1] if found else None

    def added(self, schema: Schema, major: int = FIRST_MAJOR) -> VersionsLock:
        """With this schema as the newest version of its name in a major; unchanged where it is that already.

        A schema that goes on unchanged into a new major is released there again: subjects are one for each major.
        """
        if self.holds(schema, major):
            return self
        complete = standalone(schema)
        number = len(self.history(schema.name)) + 1
        payload = payload_schema(complete).fingerprint
        text = json.dumps(complete.json, ensure_ascii=False)
        locked = LockedVersion(schema.name, number, major, complete.fingerprint, payload, text)
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
    """A lock from its text: each line as it was written, its numbers without gaps."""
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


def lock_findings(
    tree: Iterable[SchemaFile], lock: VersionsLock, file: str, majors: Mapping[str, int] | None = None
) -> list[Finding]:
    """What a folder's lock lacks: schemas that are not released in it as they stand.

    `majors` says in which major of a product a schema must be released, by the schema's name.
    """
    findings = []
    for item in tree:
        major = (majors or {}).get(item.schema.name)
        if not lock.holds(item.schema, major):
            same = lock.holds(item.schema)
            findings.append(
                Finding(
                    "HW-S071", "error", item.file, 1, 1, "",
                    f"{item.schema.name} is not in {file} " + (f"for major {major}" if same else "as it stands here"),
                    "what is not released there cannot be held against later changes, nor applied",
                    "headwater schema lock",
                )
            )  # fmt: skip
    return findings


def written_out(schema: Schema) -> Any:
    """The schema's JSON with all its types in it."""
    return schema.inlined if schema.referred else schema.json


def standalone(schema: Schema) -> Schema:
    """The same schema as one text that refers to no other."""
    if not schema.referred:
        return schema
    value = schema.inlined
    return Schema(json.dumps(value, ensure_ascii=False, separators=(",", ":")), (), value, schema.type)


def _locked(line: str, file: str) -> tuple[LockedVersion | None, str]:
    head, end = _LINE.match(line), _DIGEST.search(line)
    if head and end:
        if _digest(line[: end.start()]) == end[1]:
            text = line[head.end() : end.start()]
            numbers = int(head[4], 16), int(head[5], 16)
            return LockedVersion(head[1], int(head[2]), int(head[3]), *numbers, text), ""
        return None, f"version {head[2]} of {head[1]} was changed: its digest is another"
    return _looked_into(line, file)


def _looked_into(line: str, file: str) -> tuple[LockedVersion | None, str]:
    """A line without a digest, as the first locks had them: read whole, its fingerprints worked out again."""
    try:
        value: Any = json.loads(line)
        name, version, fingerprint, payload_fingerprint, body = (value[key] for key in _KEYS)
        text = json.dumps(body, ensure_ascii=False)
        schema = parse(text, file=file)
        numbers = int(fingerprint, 16), int(payload_fingerprint, 16)
    except InvalidFiles as invalid:
        return None, f"the schema of the line cannot be read: {invalid.findings[0].message}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, ""
    major = value.get("major", FIRST_MAJOR)
    if not isinstance(version, int) or not isinstance(major, int) or schema.name != name or "digest" in value:
        return None, "the line's name, numbers or digest are not those of its schema"
    if (schema.fingerprint, payload_schema(schema).fingerprint) != numbers:
        return None, f"version {version} of {name} was changed: its fingerprint is another"
    return LockedVersion(name, version, major, *numbers, text), ""


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]

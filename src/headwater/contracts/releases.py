"""`releases.lock`: every version of a contract that was ever released, beside its `product.yaml`.

`versions.lock` keeps what records looked like; this file keeps what was promised about them, and under which version.
A check holds the contract as it stands against the version before it: no network, no git, the same answer in a
shallow clone. One line is one version, a JSON object: the version, the number that its schema has in `versions.lock`,
the promises, of a product with a flow what it computes, and a digest of the line. Lines are only ever added; to one
from before flows were kept there, its flow is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Final

from headwater.contracts.product import Output, Product, Version
from headwater.errors import Finding, InvalidFiles

RELEASES_FILE: Final = "releases.lock"
_LINE = re.compile(
    r'\{"version": "(\d{1,6}\.\d{1,6}\.\d{1,6})", "schema": "([A-Za-z0-9_.]+)", '
    r'"schema_version": (\d{1,9}), "promises": '
)
_LOGIC = ', "logic": '  # no text of JSON holds it: there quotes have a backslash before them
_KEPT = ', "kept": '  # the last of what is said of a flow
_DIGEST = re.compile(r', "digest": "([0-9a-f]{16})"\}\s*\Z')


@dataclass(frozen=True)
class Release:
    """One released version. `schema` is the record's full name, `schema_version` its number in `versions.lock`.

    `text` are the promises as JSON: of most releases nobody asks for them. `logic` is what the flow computes, as JSON;
    empty where there is none, or none was kept.
    """

    version: Version
    schema: str
    schema_version: int
    text: str = field(repr=False)
    logic: str = field(default="", repr=False, compare=False)

    @classmethod
    def of(
        cls,
        product: Product,
        schema: str,
        schema_version: int,
        logic: Mapping[str, Any] | None = None,
        further: Sequence[int] = (),
    ) -> Release:
        """A contract as it stands, with what its flow computes; `further` are the numbers of its other schemas."""
        promises = promises_of(product)
        for said, number in zip(promises["outputs"][1:], further, strict=True):
            said["schema_version"] = number
        text = json.dumps(promises, ensure_ascii=False)
        said = json.dumps(logic, ensure_ascii=False) if logic is not None else ""
        return cls(product.version, schema, schema_version, text, said)

    def same(self, other: Release | None) -> bool:
        """Whether promises, schema and flow are the same."""
        return other is not None and self == other and self.computes_as(other)

    def computes_as(self, other: Release) -> bool:
        """Whether both flows make the same records; where one of them was not kept, nobody can say otherwise.

        What they keep for it may have another form: Headwater itself may keep it otherwise.
        """
        mine, others = (one.logic.rpartition(_KEPT)[0] for one in (self, other))
        return not self.logic or not other.logic or mine == others

    @cached_property
    def promises(self) -> Mapping[str, Any]:
        """What the contract said, as plain JSON values."""
        value: dict[str, Any] = json.loads(self.text)
        return value

    def line(self) -> str:
        """The release's line."""
        head = {"version": str(self.version), "schema": self.schema, "schema_version": self.schema_version}
        body = f'{json.dumps(head, ensure_ascii=False)[:-1]}, "promises": {self.text}'
        if self.logic:
            body += f"{_LOGIC}{self.logic}"
        return f'{body}, "digest": "{_digest(body)}"}}'


@dataclass(frozen=True)
class Releases:
    """What a `releases.lock` says, oldest first."""

    releases: tuple[Release, ...]

    @property
    def newest(self) -> Release | None:
        """The release that was added last."""
        return self.releases[-1] if self.releases else None

    def before(self, release: Release) -> Release | None:
        """What a contract as it stands follows: the newest release, or the one before where the newest is itself."""
        if release.same(self.newest):
            return self.releases[-2] if len(self.releases) > 1 else None
        return self.newest

    def holds(self, version: Version) -> bool:
        """Whether a version was released."""
        return any(release.version == version for release in self.releases)

    def added(self, release: Release) -> Releases:
        """With this release as the newest; unchanged where its version is there already: what is released stays."""
        newest = self.newest
        if newest == release and newest is not None and not newest.logic and release.logic:
            return Releases((*self.releases[:-1], release))
        if newest is not None and release.version <= newest.version:
            return self
        return Releases((*self.releases, release))

    def render(self) -> str:
        """The file's text."""
        return "".join(release.line() + "\n" for release in self.releases)


def promises_of(product: Product) -> dict[str, Any]:
    """What a contract says, as plain JSON values; defaults are written out, its place in the mesh is left out."""
    inputs = [{"product": str(one.product), "major": one.major, "reads": list(one.reads)} for one in product.inputs]
    value = {
        "type": str(product.type),
        "owner": asdict(product.owner),
        "purpose": product.purpose,
        "inputs": inputs,
        # Without its lane and who validates: neither is part of what is promised.
        "outbox": {"database": product.outbox.database, "table": product.outbox.table} if product.outbox else None,
        "outputs": [_output(output) for output in product.outputs],
    }
    if product.capture is not None:
        value["capture"] = asdict(product.capture)
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain


def _output(output: Output) -> dict[str, Any]:
    said = asdict(output)
    said |= {
        "compatibility": str(output.compatibility),
        "retention": output.retention.text() if output.retention is not None else None,
        "accept_late": output.accept_late.text() if output.accept_late is not None else None,
    }
    if output.grid is None:
        del said["grid"]  # as it is in what was released before there was one
    else:
        said["grid"] = output.grid.text()
    return said


def parse_releases(text: str, file: str = RELEASES_FILE) -> Releases:
    """The releases of a file's text; raises `InvalidFiles` HW-C080 where it was changed by hand."""
    releases: list[Release] = []
    findings: list[Finding] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        release = _release(line)
        if release is None or (releases and release.version <= releases[-1].version):
            message = "the line is no release, or was changed" if release is None else "the release is out of order"
            why = "released contracts are what later changes are held against"
            fix = "restore the file; add releases with headwater schema lock only"
            findings.append(Finding("HW-C080", "error", file, number, 1, "", message, why, fix))
            continue
        releases.append(release)
    if findings:
        raise InvalidFiles(findings)
    return Releases(tuple(releases))


def _release(line: str) -> Release | None:
    head, end = _LINE.match(line), _DIGEST.search(line)
    if head is None or end is None or _digest(line[: end.start()]) != end[1]:
        return None
    promises, _, logic = line[head.end() : end.start()].partition(_LOGIC)
    return Release(Version.parse(head[1]), head[2], int(head[3]), promises, logic)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]

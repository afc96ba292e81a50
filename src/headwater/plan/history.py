"""What was released, against what stands in the files: schemas within their major, and what is not locked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from headwater.errors import Finding, InvalidFiles
from headwater.mesh.load import Survey
from headwater.mesh.products import ResolvedProduct
from headwater.schemas.evolution import Step, judge
from headwater.schemas.places import place_of
from headwater.schemas.tree import SchemaFile
from headwater.schemas.unchanged import Plain
from headwater.schemas.versions import LOCK_FILE, VersionsLock, lock_findings, read_lock

Locks = Mapping[Path, VersionsLock]


def read_locks(survey: Survey, folder: Path) -> tuple[Locks, list[Finding]]:
    """The lock of each folder of schemas, and what is wrong with those that cannot be read."""
    locks: dict[Path, VersionsLock] = {}
    findings: list[Finding] = []
    for place in sorted({item.path.parent for item in survey.tree.values()}):
        try:
            locks[place] = read_lock(place / LOCK_FILE, _named(place, folder))
        except InvalidFiles as invalid:
            findings += invalid.findings
    return locks, findings


def history_findings(survey: Survey, locks: Locks, folder: Path) -> list[Finding]:
    """What is not in the locks beside the schemas, and what may not follow what is in them."""
    whole = survey.mesh.products.values() if survey.mesh is not None else ()
    products = [output for product in whole for output in product.each]
    majors = {product.output.schema.name: product.major for product in products}
    by_place: dict[Path, list[SchemaFile]] = defaultdict(list)
    for item in survey.tree.values():
        by_place[item.path.parent].append(item)
    findings: list[Finding] = []
    for place, lock in locks.items():
        try:
            findings += lock_findings(by_place[place], lock, _named(place, folder), majors)
        except InvalidFiles as invalid:  # a line that was made by hand, digest and all
            findings += invalid.findings
    for product in products:
        current = survey.tree.get(product.output.schema.name)
        if current is not None and current.path.parent in locks:
            try:
                findings += evolution_findings(product, current, locks[current.path.parent])
            except InvalidFiles as invalid:
                findings += invalid.findings
    return findings


def evolution_findings(product: ResolvedProduct, item: SchemaFile, lock: VersionsLock) -> list[Finding]:
    """What the level of a product finds when its schema follows those that were released in its major."""
    level = str(product.output.output.compatibility)
    history = list(lock.history(item.schema.name, product.major))
    if history and lock.holds(item.schema, product.major):
        history.pop()
    looked_at = history if level.endswith("_TRANSITIVE") else history[-1:]
    plain = Plain(level, item.schema) if looked_at else None
    if level == "NONE" or plain is None or all(plain.follows(earlier) for earlier in looked_at):
        return []
    return [
        _finding(product, item, step, history[step.earlier].version)
        for step in judge(level, [earlier.schema for earlier in history], item.schema)
    ]


def _finding(product: ResolvedProduct, item: SchemaFile, step: Step, version: int) -> Finding:
    found, new_reads = step.found, step.direction == "backward"
    path = found.reader_path if new_reads else found.writer_path
    message = f"version {version} cannot be read any more" if new_reads else f"readers of version {version} would break"
    if found.severity != "error":
        message = f"what version {version} says is read as something else"
    why = f"{found.why}; the level of {product.name} is {product.output.output.compatibility}"
    place = place_of(item.text, path)
    said = f"{message}: {found.message}"
    return Finding(found.code, found.severity, item.file, *place, path, said, why, found.fix)


def _named(place: Path, folder: Path) -> str:
    return (place / LOCK_FILE).relative_to(folder).as_posix()

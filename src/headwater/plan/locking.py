"""What `versions.lock` and `releases.lock` would get: schemas and contracts as they stand, released."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from headwater.contracts.product import Product
from headwater.contracts.releases import RELEASES_FILE
from headwater.errors import Finding, HeadwaterError, InvalidFiles
from headwater.mesh.load import Survey, schema_path, survey
from headwater.plan.releases import read_releases, release_of
from headwater.processing.flow_file import JudgedFlow, judge_flow
from headwater.schemas.tree import SchemaFile
from headwater.schemas.versions import FIRST_MAJOR, LOCK_FILE, VersionsLock, read_lock


@dataclass(frozen=True, slots=True)
class LockFile:
    """A lock as it should be. `added` names what is new: schemas with their number, products with their version."""

    path: Path
    file: str
    text: str
    added: tuple[tuple[str, int | str], ...]


def lock_files(folder: Path) -> list[LockFile]:
    """Every lock of a mesh with what is to be added; raises `InvalidFiles` where a schema or contract cannot be read.

    A version that is released already stays as it is: what changed since needs a version of its own.
    """
    read = survey(folder)
    known = {contract.file for contract in read.contracts.values()} | {item.file for item in read.tree.values()}
    unread = [found for found in read.findings if found.severity == "error" and found.file not in known]
    unread = [found for found in unread if found.file.endswith(("product.yaml", ".avsc"))]
    if unread:
        raise InvalidFiles(unread)
    locks: dict[Path, VersionsLock] = {}
    files = _versions(read, folder, locks)
    return [*files, *_releases(read, folder, locks)]


def unlocked(files: list[LockFile]) -> list[Finding]:
    """What is not released yet, as findings."""
    why, fix = "what is not released there cannot be held against later changes, nor applied", "headwater schema lock"
    findings = []
    for lock in files:
        for name, version in lock.added:
            message = f"{name} {version} is not in {lock.file}"
            if isinstance(version, int):
                message = f"{name} is not in {lock.file} as it stands here"
                findings.append(Finding("HW-S071", "error", lock.file, 0, 0, "", message, why, fix))
            else:
                findings.append(Finding("HW-C081", "error", lock.file, 0, 0, "", message, why, fix))
    return findings


def _versions(read: Survey, folder: Path, locks: dict[Path, VersionsLock]) -> list[LockFile]:
    majors = {
        schema_path(name, output.schema): contract.value.major
        for name, contract in read.contracts.items()
        if contract.value is not None
        for output in contract.value.outputs
    }
    places: dict[Path, list[SchemaFile]] = defaultdict(list)
    for item in read.tree.values():
        places[item.path.parent].append(item)
    files = []
    for place, items in sorted(places.items()):
        path = place / LOCK_FILE
        file = path.relative_to(folder).as_posix()
        before = after = read_lock(path, file)
        for item in items:
            after = after.added(item.schema, majors.get(item.file, FIRST_MAJOR))
        locks[place] = after
        new = [locked for locked in after.versions if locked not in before.versions]
        added = tuple((locked.name, locked.version) for locked in new)
        files.append(LockFile(path, file, after.render(), added))
    return files


def _releases(read: Survey, folder: Path, locks: dict[Path, VersionsLock]) -> list[LockFile]:
    files = []
    by_file = {item.file: item for item in read.tree.values()}
    for name, contract in read.contracts.items():
        product = contract.value
        if product is None:
            continue
        items = [item for output in product.outputs if (item := by_file.get(schema_path(name, output.schema)))]
        if len(items) < len(product.outputs):
            continue
        before = read_releases(folder, product)
        flow = _flow(read, product)
        after = before.added(release_of(product, items, locks[items[0].path.parent], flow))
        path = folder / product.folder / RELEASES_FILE
        text = after.render()
        added = ((str(name), str(product.version)),) if text != before.render() else ()
        files.append(LockFile(path, f"{product.folder}/{RELEASES_FILE}", text, added))
    return files


def _flow(read: Survey, product: Product) -> JudgedFlow | None:
    """A product's flow, where it has one that can be built; what is wrong with it, the check says."""
    if not product.inputs or read.mesh is None or product.name not in read.mesh.products:
        return None
    try:
        return judge_flow(read.mesh, product.name)
    except HeadwaterError:
        return None

"""Each contract against the release before it: what changed, whom it hits, and whether the version says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from headwater.catalog.flow_impact import flow_impacts
from headwater.catalog.impact import Impact, contract_impacts, schema_impacts
from headwater.catalog.mesh_lineage import Flows, Reader, mesh_lineage, readers_of
from headwater.contracts.diff import Change, Part, differences, due, enough, following, raised
from headwater.contracts.load import Contract
from headwater.contracts.logic_diff import LogicChange, logic_changes
from headwater.contracts.product import Product, Version
from headwater.contracts.releases import RELEASES_FILE, Release, Releases, parse_releases
from headwater.errors import CallerFault, Finding, InvalidFiles
from headwater.lineage.graph import Lineage
from headwater.mesh.load import Survey
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.naming import ProductName, schema_full_name
from headwater.plan.history import Locks
from headwater.processing.flow_file import JudgedFlow
from headwater.processing.logic import Logic, logic_of
from headwater.schemas.places import place_of
from headwater.schemas.tree import SchemaFile, read_text
from headwater.schemas.unchanged import Plain
from headwater.schemas.versions import LockedVersion, VersionsLock

_FURTHER = re.compile(r"outputs\[[1-9]")  # a place in an output that has readers of its own


@dataclass(frozen=True, slots=True)
class ProductChange:
    """What changed in a product since the release before. `pending`: the change is in no lock yet."""

    product: ProductName
    before: Version
    after: Version
    due: Part
    impacts: tuple[Impact, ...]
    pending: bool
    findings: tuple[Finding, ...] = ()

    @property
    def hit(self) -> frozenset[str]:
        """The names of those who are hit, further down too."""
        readers = {one.name for impact in self.impacts for one in (*impact.readers, *impact.affected)}
        hit = readers | {name for impact in self.impacts for name in impact.further}
        return frozenset(name.partition("/")[0] for name in hit)


def read_releases(folder: Path, product: Product) -> Releases:
    """A product's releases, none where there is no file; raises `InvalidFiles`."""
    path = folder / product.folder / RELEASES_FILE
    file = f"{product.folder}/{RELEASES_FILE}"
    return parse_releases(read_text(path, file), file) if path.is_file() else Releases(())


def release_of(
    product: Product, schemas: Sequence[SchemaFile], lock: VersionsLock, flow: JudgedFlow | None = None
) -> Release:
    """A contract as it stands, with the numbers of its schemas, those of the lock or the next, and its flow."""
    numbers = []
    for item in schemas:
        history = lock.history(item.schema.name)
        numbers.append(history[-1].version if lock.holds(item.schema, product.major) else len(history) + 1)
    logic = _logic(flow)
    said = logic.as_json() if logic is not None else None
    return Release.of(product, schemas[0].schema.name, numbers[0], said, numbers[1:])


def judge_releases(
    survey: Survey, flows: Flows, locks: Locks, broken: frozenset[ProductName], *, whole: bool
) -> tuple[list[ProductChange], list[Finding]]:
    """The changes of every product with their findings, and those of the locks. `broken` do not keep their level.

    Without `whole`, what was released under a version that covers it is left out: no finding could follow from it.
    """
    mesh = survey.mesh
    if mesh is None:
        return [], []
    changes: list[ProductChange] = []
    findings: list[Finding] = []
    judging = _Judging(survey, flows, mesh, broken)
    for resolved in mesh.products.values():
        items = [item for output in resolved.outputs if (item := survey.tree.get(output.schema.name))]
        if len(items) < len(resolved.outputs) or items[0].path.parent not in locks:
            continue
        try:
            releases = read_releases(mesh.folder, resolved.product)
            if not releases.holds(resolved.product.version):
                findings.append(_unlocked(survey.contracts[resolved.name], resolved))
            changes += judging.product(resolved, items, locks[items[0].path.parent], releases, whole=whole)
        except InvalidFiles as invalid:
            findings += invalid.findings
    return changes, findings


class _Judging:
    """One judging of a mesh: its readers and lineage are worked out when the first change asks for them."""

    def __init__(self, survey: Survey, flows: Flows, mesh: Mesh, broken: frozenset[ProductName]) -> None:
        self._survey, self._flows, self._mesh, self._broken = survey, flows, mesh, broken

    @cached_property
    def _readers(self) -> list[Reader]:
        return readers_of(self._mesh, self._flows)

    @cached_property
    def _lineage(self) -> Lineage:
        return mesh_lineage(self._mesh, self._flows)

    def product(
        self,
        resolved: ResolvedProduct,
        items: Sequence[SchemaFile],
        lock: VersionsLock,
        releases: Releases,
        *,
        whole: bool,
    ) -> list[ProductChange]:
        """The change of a product since the release before, if there is one."""
        flow = self._flows.get(resolved.name)
        release = release_of(resolved.product, items, lock, flow)
        before = releases.before(release)
        if before is None:
            return []
        old = next((one for one in lock.history(before.schema) if one.version == before.schema_version), None)
        pending = not release.same(releases.newest)
        if not whole and not pending and _covered(before, release, old, items[0]):
            return []
        everybody = [one for one in self._readers if one.source.whole == resolved.name]
        everybody = [one for one in everybody if one.major == before.version.major]
        readers = [one for one in everybody if one.source == resolved.name]
        file = f"{resolved.product.folder}/{RELEASES_FILE}"
        promised = _promised(before, release, file)
        impacts = contract_impacts([one for one in promised if not _FURTHER.match(one.path)], readers, self._lineage)
        if old is not None:
            impacts += schema_impacts(
                old.schema, resolved.output.schema, product=resolved.name, readers=readers, lineage=self._lineage
            )
        others = self._further(resolved, promised, before, lock, everybody) if len(items) > 1 else []
        impacts += [impact for _, impact in others]
        changes = _computed(before, release, file)
        impacts += flow_impacts(changes, resolved, self._mesh, readers, self._lineage) if changes else []
        part = due([*(impact.due for impact in impacts), "major" if resolved.name in self._broken else "none"])
        change = ProductChange(
            product=resolved.name,
            before=before.version,
            after=resolved.product.version,
            due=part,
            impacts=tuple(impacts),
            pending=pending,
        )
        contract = self._survey.contracts[resolved.name]
        places = {id(impact): items[at] for at, impact in others}
        return [replace(change, findings=tuple(_findings(change, contract, items[0], flow, places)))]

    def _further(
        self,
        resolved: ResolvedProduct,
        promised: Sequence[Change],
        before: Release,
        lock: VersionsLock,
        readers: Sequence[Reader],
    ) -> list[tuple[int, Impact]]:
        """What changed in each further output, with its place, for those who read that one."""
        told = {one["name"]: one for one in before.promises["outputs"][1:]}
        found: list[tuple[int, Impact]] = []
        for at, one in enumerate(resolved.each[1:], 1):
            own = [reader for reader in readers if reader.source == one.name]
            changes = [change for change in promised if re.match(rf"outputs\[{at}\]", change.path)]
            impacts = contract_impacts(changes, own, self._lineage)
            said = told.get(one.output.output.name, {})
            history = lock.history(schema_full_name(resolved.name, said.get("schema", "")))
            old = next((two for two in history if two.version == said.get("schema_version")), None)
            if old is not None:
                impacts += schema_impacts(
                    old.schema, one.output.schema, product=one.name, readers=own, lineage=self._lineage
                )
            found += [(at, impact) for impact in impacts]
        return found


def _promised(before: Release, after: Release, file: str) -> list[Change]:
    """What differs in the promises."""
    return _read(lambda: differences(before.promises, after.promises), "promises", before, file)


def _computed(before: Release, after: Release, file: str) -> list[LogicChange]:
    """What differs in the flows; nothing where one of both was not kept."""
    if before.computes_as(after):
        return []
    return _read(lambda: logic_changes(json.loads(before.logic), json.loads(after.logic)), "flow", before, file)


def _read(compare: Callable[[], list[Any]], what: str, before: Release, file: str) -> list[Any]:
    """A comparison; a line made by hand, digest and all, is a finding and not a fault of ours."""
    try:
        return compare()
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, RecursionError, CallerFault):
        message = f"the {what} of version {before.version} cannot be read"
        why, fix = "the line was not written by headwater schema lock", "restore the file"
        raise InvalidFiles([Finding("HW-C080", "error", file, 0, 0, "", message, why, fix)]) from None


def _logic(flow: JudgedFlow | None) -> Logic | None:
    """What a flow computes, if it can run."""
    return logic_of(flow.graph, flow.plan) if flow is not None and flow.graph is not None and flow.plan else None


def _covered(before: Release, after: Release, old: LockedVersion | None, item: SchemaFile) -> bool:
    """Whether a version says what it must of a change that can break nobody: fields with a default, and no promises."""
    given = raised(before.version, after.version)
    plain = old is None or Plain("FULL", item.schema).follows(old)
    same = before.text == after.text and before.schema == after.schema
    return plain and same and before.computes_as(after) and enough("minor", given)


def _findings(
    change: ProductChange,
    contract: Contract[Product],
    item: SchemaFile,
    flow: JudgedFlow | None,
    places: Mapping[int, SchemaFile],
) -> Iterator[Finding]:
    given = raised(change.before, change.after)
    if change.after < change.before:
        why = f"{change.before} is released, and versions only grow"
        fix = f"write version: {following(change.before, change.due if change.due != 'none' else 'patch')}"
        yield contract.finding("HW-C083", "version", f"the version goes back to {change.after}", why=why, fix=fix)
    elif not enough(change.due, given):
        wanted = following(change.before, change.due)
        reasons = [impact.text for impact in change.impacts if impact.due == change.due]
        why = f"since {change.before}: {'; '.join(reasons) or 'the level is not kept'}"
        fix = f"write version: {wanted}, then headwater schema lock"
        message = f"the version is {change.after}, and {wanted} is due"
        found = contract.finding("HW-C082", "version", message, why=why, fix=fix)
        yield found if change.due != "patch" else replace(found, severity="info")
    if given == "major":  # the mend for what breaks: readers of the old major go on reading it
        return
    for impact in change.impacts:
        yield from _impact(impact, contract, places.get(id(impact), item), flow)


def _impact(
    impact: Impact, contract: Contract[Product], item: SchemaFile, flow: JudgedFlow | None
) -> Iterator[Finding]:
    def found(code: str, message: str, why: str) -> Finding:
        if impact.place == "contract":
            return contract.finding(code, impact.path, message, why=why, fix=impact.fix)
        if impact.place == "flow" and flow is not None and flow.graph is not None:
            logic = _logic(flow)
            line = logic.lines.get(impact.path, 0) if logic is not None else 0
            line = line or getattr(flow.graph.root, "line", 0) or 1
            return Finding(code, "error", flow.graph.file, line, 1, "", message, why, impact.fix)
        place = place_of(item.text, impact.path)
        return Finding(code, "error", item.file, *place, impact.path, message, why, impact.fix)

    if impact.severity == "breaks readers":
        count = len(impact.readers)
        said = f"{impact.text} breaks {count} reader{'' if count == 1 else 's'}"
        names = ", ".join(f"{reader.name} ({reader.owner.contact})" for reader in impact.readers)
        further = f"; further down {', '.join(impact.further)}" if impact.further else ""
        yield found("HW-C084", said, f"{names} {'reads' if count == 1 else 'read'} it{further}; {impact.why}")
    elif impact.severity == "breaks nobody today":
        yield replace(
            found("HW-C085", f"{impact.text} breaks nobody today", f"no declared reader reads it; {impact.why}"),
            severity="warning",
        )
    elif impact.severity == "data-affecting":
        whom = impact.whom()
        why = f"{impact.why}; read by {whom}" if whom else impact.why
        yield replace(found("HW-C086", f"{impact.text} affects data", why), severity="info")


def _unlocked(contract: Contract[Product], resolved: ResolvedProduct) -> Finding:
    message = f"version {resolved.product.version} of {resolved.name} is not in {RELEASES_FILE}"
    why = "what is not released there cannot be held against later changes"
    return contract.finding("HW-C081", "version", message, why=why, fix="headwater schema lock")

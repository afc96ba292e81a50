"""All that can be said of a mesh without a network: contracts, schemas, their history, flows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headwater.contracts.load import PRODUCT_FILE, contract_bytes, read_product
from headwater.errors import Finding, HeadwaterError, InvalidFiles, Severity
from headwater.mesh.load import SCHEMAS_FOLDER, load_mesh
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.processing.flow_file import check_flow
from headwater.schemas.evolution import judge
from headwater.schemas.places import place_of
from headwater.schemas.tree import SchemaFile, read_text, read_tree
from headwater.schemas.versions import LOCK_FILE, VersionsLock, lock_findings, read_lock

CHECK_VERSION = 1
_LATER = ("lake", "sql", "http")  # ports that contracts may name and nothing serves yet
_RANK = {"info": 0, "warning": 1, "error": 2}


def check(folder: Path) -> tuple[Mesh | None, list[Finding]]:
    """The mesh, if its files can be read, and everything found, in order of place. Executes flows, runs nothing."""
    try:
        mesh = load_mesh(folder)
    except InvalidFiles as invalid:
        return None, list(invalid.findings)
    findings = [*_history_findings(mesh), *_flow_findings(mesh), *_promise_findings(mesh)]
    return mesh, sorted(findings, key=lambda found: (found.file, found.line, found.column, found.code))


def failing(findings: Sequence[Finding], fail_on: Severity) -> bool:
    """Whether any finding is at or above a severity.

    >>> failing([Finding("HW-C001", "warning", "f", 1, 1, "", "m")], "error")
    False
    """
    return any(_RANK[found.severity] >= _RANK[fail_on] for found in findings)


def as_json(mesh: Mesh | None, findings: Sequence[Finding]) -> dict[str, object]:
    """The published JSON form: `schemaVersion`, `summary`, `findings`."""
    counts = {severity: sum(1 for found in findings if found.severity == severity) for severity in _RANK}
    return {
        "schemaVersion": CHECK_VERSION,
        "tool": "headwater",
        "command": "check",
        "summary": {"products": len(mesh.products) if mesh else None, **counts},
        "findings": [found.as_json() for found in findings],
    }


def as_github(found: Finding) -> str:
    """A finding as a workflow command, which shows it beside the line.

    >>> as_github(Finding("HW-C003", "error", "product.yaml", 3, 1, "", "unknown key", "keys are strict", "owner"))
    '::error file=product.yaml,line=3,col=1,title=HW-C003::unknown key. keys are strict. fix: owner'
    """
    level = {"info": "notice"}.get(found.severity, found.severity)
    place = f"file={_property(found.file)}"
    if found.line:
        place += f",line={found.line},col={found.column}"
    said = ". ".join(part for part in (found.message, found.why, f"fix: {found.fix}" if found.fix else "") if part)
    text = said.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} {place},title={found.code}::{text}"


def _property(text: str) -> str:
    for letter, written in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C")):
        text = text.replace(letter, written)
    return text


def _history_findings(mesh: Mesh) -> list[Finding]:
    """What is not in the locks beside the schemas, and what may not follow what is in them."""
    try:
        tree = read_tree(mesh.folder / SCHEMAS_FOLDER, root=mesh.folder)
    except InvalidFiles as invalid:
        return list(invalid.findings)
    findings: list[Finding] = []
    for folder in sorted({item.path.parent for item in tree.values()}):
        items = [item for item in tree.values() if item.path.parent == folder]
        file = (folder / LOCK_FILE).relative_to(mesh.folder).as_posix()
        try:
            lock = read_lock(folder / LOCK_FILE, file)
        except InvalidFiles as invalid:
            findings += invalid.findings
            continue
        findings += lock_findings(items, lock, file)
        for product in mesh.products.values():
            item = next((item for item in items if item.schema.name == product.output.schema.name), None)
            if item is not None:
                findings += _evolution_findings(product, item, lock)
    return findings


def _evolution_findings(product: ResolvedProduct, item: SchemaFile, lock: VersionsLock) -> list[Finding]:
    level = str(product.output.output.compatibility)
    history = [locked.schema for locked in lock.history(item.schema.name)]
    if lock.holds(item.schema):
        history.pop()
    findings = []
    text = read_text(item.path, item.file)
    for step in judge(level, history, item.schema):
        new_reads = step.direction == "backward"
        path = step.found.reader_path if new_reads else step.found.writer_path
        severity, why = step.found.severity, f"{step.found.why}; the level of {product.name} is {level}"
        earlier = f"version {step.earlier + 1}"
        message = f"{earlier} cannot be read any more" if new_reads else f"readers of {earlier} would break"
        if severity != "error":
            message = f"what {earlier} says is read as something else"
        elif product.major > 1:
            # A lock does not say in which major a version was released; the registry's subject of the major does.
            severity, why = "warning", f"{why}; apply judges it by the versions of major {product.major} alone"
        place = place_of(text, path)
        said = f"{message}: {step.found.message}"
        findings.append(Finding(step.found.code, severity, item.file, *place, path, said, why, step.found.fix))
    return findings


def _promise_findings(mesh: Mesh) -> list[Finding]:
    """What contracts promise and this version does not keep: a promise that nobody keeps must not look kept."""
    findings: list[Finding] = []
    for product in mesh.products.values():
        output = product.output.output
        unkept = [
            (f"outputs[0].ports[{at}]", f"the port '{port}'") for at, port in enumerate(output.ports) if port in _LATER
        ]
        if output.on_invalid != "continue":
            unkept.append(("outputs[0].on_invalid", f"on_invalid: {output.on_invalid}"))
        if output.accept_late is not None:
            unkept.append(("outputs[0].accept_late", f"accept_late: {output.accept_late.text()}"))
        if unkept:
            file = f"{product.product.folder}/{PRODUCT_FILE}"
            contract = read_product(contract_bytes(mesh.folder / file, file), file=file, folder=product.product.folder)
            for path, promise in unkept:
                message = f"{promise} is not kept by this version of Headwater"
                why, fix = "whoever reads the contract would rely on it", "remove it until a version keeps it"
                finding = contract.finding("HW-D016", path, message, why=why, fix=fix)
                findings.append(replace(finding, severity="warning"))
    return findings


def _flow_findings(mesh: Mesh) -> list[Finding]:
    findings: list[Finding] = []
    for product in mesh.in_order():
        if product.product.inputs:
            try:
                findings += check_flow(mesh, product.name)
            except InvalidFiles as invalid:
                findings += invalid.findings
            except HeadwaterError as error:
                file = f"{product.product.folder}/flow.py"
                findings.append(Finding(error.code, "error", file, 0, 0, "", error.message, error.detail, error.hint))
    return findings

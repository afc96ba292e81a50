"""All that can be said of a mesh without a network: contracts, schemas, history, flows, and whom a change hits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headwater.contracts.load import MESH_FILE, Contract, contract_bytes, read_mesh_file
from headwater.contracts.product import Output, Product
from headwater.errors import Finding, HeadwaterError, InvalidFiles, Severity
from headwater.mesh.load import Survey, survey
from headwater.mesh.products import Mesh
from headwater.naming import ProductName
from headwater.outbox.debezium import override_fault
from headwater.outbox.mapping_file import mapping_findings
from headwater.plan.changes_git import GitChanges, changed_since
from headwater.plan.history import history_findings, read_locks
from headwater.plan.releases import ProductChange, judge_releases
from headwater.plan.touched import touched
from headwater.processing.examples import example_findings
from headwater.processing.flow_file import JudgedFlow, judge_flow, unread
from headwater.processing.runners.faust_eject import APP_FILE, check_app
from headwater.processing.runners.refused import runner_refusals

_RANK = {"info": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found, in order of place.

    `findings` decide the verdict. With a base, `shown` are those of what changed since and of whom it hits; what else
    there is, is counted in `hidden`. `note` says why git could not tell what changed.
    """

    mesh: Mesh | None
    findings: tuple[Finding, ...]
    shown: tuple[Finding, ...]
    changes: tuple[ProductChange, ...] = ()
    base: str = ""
    note: str = ""

    @property
    def hidden(self) -> int:
        """How many findings concern neither what changed nor whom it hits."""
        return len(set(self.findings) - set(self.shown))


def check(folder: Path, base: str = "") -> Report:
    """Everything found in a mesh's folder. Executes flows, runs nothing. `base` is a revision, asked of git."""
    read = survey(folder)
    mesh = read.mesh
    if mesh is None:
        found = _ordered(read.findings)
        return Report(None, found, found, base=base)
    flows = {product.name: _flow(mesh, product.name) for product in mesh.in_order() if product.product.inputs}
    locks, findings = read_locks(read, folder)
    findings += [
        *read.findings,
        *_flow_findings(read, flows),
        *_example_findings(mesh, flows),
        *mapping_findings(mesh),
        *_app_findings(mesh),
        *_promise_findings(read),
        *_debezium_findings(mesh, folder),
    ]
    history = history_findings(read, locks, folder)
    broken = {found.file for found in history if found.severity == "error" and found.code != "HW-S071"}
    unkept = frozenset(name for name in mesh.products if not broken.isdisjoint(_schema_files(read, name)))
    changes, released = judge_releases(read, flows, locks, unkept, whole=bool(base))
    findings += [*history, *released]
    git = changed_since(folder, base) if base else GitChanges(None)
    return _report(read, findings, changes, git, base)


def failing(findings: Sequence[Finding], fail_on: Severity) -> bool:
    """Whether any finding is at or above a severity.

    >>> failing([Finding("HW-C001", "warning", "f", 1, 1, "", "m")], "error")
    False
    """
    return any(_RANK[found.severity] >= _RANK[fail_on] for found in findings)


def _report(read: Survey, findings: list[Finding], changes: list[ProductChange], git: GitChanges, base: str) -> Report:
    """The verdict, which git has no part in, and what is shown of it, which is git's only part."""
    told = [found for change in changes for found in change.findings if change.pending or found.severity == "error"]
    findings += told
    if git.files is None:
        found = _ordered(findings)
        shown_changes = tuple(change for change in changes if change.pending or base)
        return Report(read.mesh, found, found, shown_changes, base, git.note)
    names, files = touched(read, git.files, changes)
    news = [found for change in changes if change.product in names for found in change.findings]
    shown = [found for found in (*findings, *news) if _in(found.file, files)]
    return Report(
        read.mesh,
        _ordered(findings),
        _ordered(shown),
        tuple(change for change in changes if change.product in names),
        base,
    )


def _in(file: str, places: Iterable[str]) -> bool:
    return any(file == place or file.startswith(f"{place}/") for place in places)


def _ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(set(findings), key=lambda one: (one.file, one.line, one.column, one.code, one.message)))


def _schema_files(read: Survey, name: ProductName) -> list[str]:
    outputs = read.mesh.products[name].outputs if read.mesh else ()
    return [item.file for output in outputs if (item := read.tree.get(output.schema.name))]


def _flow(mesh: Mesh, product: ProductName) -> JudgedFlow:
    try:
        return judge_flow(mesh, product)
    except InvalidFiles as invalid:
        return JudgedFlow(invalid.findings)
    except HeadwaterError as error:
        file = f"{mesh.product(product).product.folder}/flow.py"
        return JudgedFlow((Finding(error.code, "error", file, 0, 0, "", error.message, error.detail, error.hint),))


def _flow_findings(read: Survey, flows: dict[ProductName, JudgedFlow]) -> list[Finding]:
    findings: list[Finding] = []
    for name, judged in flows.items():
        findings += judged.findings
        if judged.graph is None:
            continue
        if read.mesh is not None:
            findings += runner_refusals(read.mesh.product(name), judged.graph)
        contract = read.contracts[name]
        inputs = contract.value.inputs if contract.value is not None else ()
        for index, (declared, port) in enumerate(zip(inputs, judged.graph.inputs, strict=True)):
            for field in unread(declared, port, judged.reads[port.product]):
                path = f"inputs[{index}].reads[{declared.reads.index(field)}]"
                message = f"'{field}' of {port.product} is declared, and the flow does not read it"
                why, fix = "whoever changes it would ask here for nothing", f"remove {field} from reads"
                found = contract.finding("HW-P007", path, message, why=why, fix=fix)
                findings.append(replace(found, severity="info"))
    return findings


def _app_findings(mesh: Mesh) -> list[Finding]:
    """Of the Faust applications beside flows."""
    findings: list[Finding] = []
    for product in mesh.in_order():
        file = product.folder / APP_FILE
        if product.product.inputs and file.is_file():
            findings += check_app(file.read_bytes(), product.product.folder)
    return findings


def _example_findings(mesh: Mesh, flows: dict[ProductName, JudgedFlow]) -> list[Finding]:
    findings: list[Finding] = []
    for product in mesh.in_order():
        judged = flows.get(product.name)
        findings += example_findings(mesh, product, judged.graph if judged else None)
    return findings


def _debezium_findings(mesh: Mesh, folder: Path) -> list[Finding]:
    """Settings of Debezium that would lose, double or tear rows: refused before a connector has them."""
    overrides = mesh.file.debezium
    if not overrides:
        return []
    contract = read_mesh_file(contract_bytes(folder / MESH_FILE, MESH_FILE))
    faults = {name: override_fault(name, value) for name, value in overrides.items()}
    return [
        contract.finding(
            "HW-O139", f"debezium.{name}", f"{name}: {overrides[name]} is not safe", why=why, fix=f"remove {name}"
        )
        for name, why in faults.items()
        if why
    ]


def _promise_findings(read: Survey) -> list[Finding]:
    """What contracts promise and this version does not keep: a promise that nobody keeps must not look kept."""
    findings: list[Finding] = []
    for contract in read.contracts.values():
        for place, output in contract.value.places() if contract.value is not None else ():
            findings += _output_promises(contract, place, output)
    return findings


def _output_promises(contract: Contract[Product], place: str, output: Output) -> list[Finding]:
    findings: list[Finding] = []
    if output.on_invalid == "park-key" and contract.value is not None and contract.value.outbox is None:
        findings.append(
            contract.finding(
                "HW-O106",
                f"{place}.on_invalid",
                "on_invalid: park-key is kept for products of an outbox alone",
                why="nothing else can carry a repair in its key's order; the promise would be broken silently",
                fix="write on_invalid: continue, and park-key in the source-aligned product that it reads",
            )
        )
    if output.accept_late is not None:
        message = f"accept_late: {output.accept_late.text()} is not kept by this version of Headwater"
        why, fix = "whoever reads the contract would rely on it", "remove it until a version keeps it"
        finding = contract.finding("HW-D016", f"{place}.accept_late", message, why=why, fix=fix)
        findings.append(replace(finding, severity="warning"))
    return findings

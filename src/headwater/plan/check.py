"""All that can be said of a mesh without a network: contracts, schemas, their history, flows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headwater.errors import Finding, HeadwaterError, InvalidFiles, Severity
from headwater.mesh.load import load_mesh
from headwater.mesh.products import Mesh
from headwater.processing.flow_file import check_flow

CHECK_VERSION = 1
_RANK = {"info": 0, "warning": 1, "error": 2}


def check(folder: Path) -> tuple[Mesh | None, list[Finding]]:
    """The mesh, if its files can be read, and everything found, in order of place. Executes flows, runs nothing."""
    try:
        mesh = load_mesh(folder)
    except InvalidFiles as invalid:
        return None, list(invalid.findings)
    findings = [*_flow_findings(mesh)]
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

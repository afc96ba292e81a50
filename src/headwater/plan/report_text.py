"""What a check found, for people and for programs: text, Markdown, and the published JSON form with its schema."""

from __future__ import annotations

import json
from typing import Any

from headwater.errors import Finding
from headwater.plan.check import Report
from headwater.plan.releases import ProductChange

CHECK_VERSION = 1
SEVERITIES = ("info", "warning", "error")
TABLE_ROWS_LIMIT = 200  # of a summary: hosts cut longer ones anywhere


def as_text(report: Report) -> str:
    """One line for each finding, what changed and whom it hits, and one line that sums up."""
    lines = []
    for found in report.shown:
        mark = "" if found.severity == "error" else f"{found.severity}: "
        lines.append(mark + found.render())
    for change in report.changes:
        lines.append(_headline(change))
        lines += [f"  {impact.severity}: {impact.text}{_whom(impact.whom())}" for impact in change.impacts]
    if report.note:
        lines.append(f"note: {report.note}")
    lines.append(summary(report))
    return "\n".join(lines) + "\n"


def summary(report: Report) -> str:
    """The last line: how many products, how many findings, how many of them elsewhere."""
    products = len(report.mesh.products) if report.mesh else 0
    what = f"{products} product{'' if products == 1 else 's'}" if report.mesh else "the mesh"
    count = len(report.shown)
    said = f"{what}: {count or 'no'} finding{'' if count == 1 else 's'}"
    if report.hidden:
        said += f"; {report.hidden} more in what {report.base} has as well (headwater check without --base shows them)"
    return said


def as_markdown(report: Report) -> str:
    """For a pull request or a job's summary: findings and changes as tables."""
    lines = ["## headwater check", "", f"**{_cell(summary(report))}**", ""]
    if report.shown:
        lines += ["| severity | place | finding | fix |", "| --- | --- | --- | --- |"]
        for found in report.shown[:TABLE_ROWS_LIMIT]:
            said = ". ".join(part for part in (found.message, found.why) if part)
            place = f"{found.file}:{found.line}:{found.column}" if found.line else found.file
            cells = (found.severity, f"`{_cell(place)}`", f"{_cell(said)} `{found.code}`", _cell(found.fix))
            lines.append("| " + " | ".join(cells) + " |")
        if len(report.shown) > TABLE_ROWS_LIMIT:
            lines.append(f"| | | {len(report.shown) - TABLE_ROWS_LIMIT} more | |")
        lines.append("")
    if report.changes:
        lines += ["| product | version | change | effect | who |", "| --- | --- | --- | --- | --- |"]
        for change in report.changes:
            for impact in change.impacts:
                version = f"{change.before} to {change.after}, due: {change.due}"
                row = (str(change.product), version, impact.text, impact.severity, impact.whom())
                lines.append("| " + " | ".join(_cell(cell) for cell in row) + " |")
        lines.append("")
    if report.note:
        lines += [f"Note: {_cell(report.note)}", ""]
    return "\n".join(lines)


def as_json(report: Report) -> str:
    """The published form: `docs/reference/check.schema.json`."""
    counts = {severity: _count(report.findings, severity) for severity in SEVERITIES}
    value = {
        "schemaVersion": CHECK_VERSION,
        "tool": "headwater",
        "command": "check",
        "summary": {
            "products": len(report.mesh.products) if report.mesh else None,
            **counts,
            "hidden": report.hidden,
            "base": report.base,
            "note": report.note,
        },
        "findings": [found.as_json() for found in report.shown],
        "changes": [_change(change) for change in report.changes],
    }
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def check_schema() -> dict[str, Any]:
    """The JSON Schema of the JSON form. `schemaVersion` is raised where a reader of the form would have to know."""
    text, number = {"type": "string"}, {"type": "integer", "minimum": 0}
    finding = {
        **dict.fromkeys(("code", "file", "path", "message", "why", "fix", "docs"), text),
        "severity": {"enum": list(SEVERITIES)},
        "line": number,
        "column": number,
    }
    impact = {
        "text": text,
        "severity": {"enum": ["breaks readers", "breaks nobody today", "data-affecting", "metadata only"]},
        "due": {"enum": ["major", "minor", "patch"]},
        "why": text,
        "readers": {"type": "array", "items": _object({"kind": text, "name": text, "contact": text})},
        "further": {"type": "array", "items": text},
    }
    change = {
        "product": text,
        "before": text,
        "after": text,
        "due": {"enum": ["major", "minor", "patch", "none"]},
        "pending": {"type": "boolean"},
        "impacts": {"type": "array", "items": _object(impact)},
    }
    counts = dict.fromkeys(SEVERITIES, number)
    products = {"type": ["integer", "null"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "headwater check --output json",
        **_object(
            {
                "schemaVersion": {"const": CHECK_VERSION},
                "tool": {"const": "headwater"},
                "command": {"const": "check"},
                "summary": _object({"products": products, **counts, "hidden": number, "base": text, "note": text}),
                "findings": {"type": "array", "items": _object(finding)},
                "changes": {"type": "array", "items": _object(change)},
            }
        ),
    }


def pages() -> dict[str, str]:
    """The published file of `docs/reference/` by name."""
    return {"check.schema.json": json.dumps(check_schema(), indent=2, ensure_ascii=False) + "\n"}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _change(change: ProductChange) -> dict[str, object]:
    return {
        "product": str(change.product),
        "before": str(change.before),
        "after": str(change.after),
        "due": change.due,
        "pending": change.pending,
        "impacts": [
            {
                "text": impact.text,
                "severity": impact.severity,
                "due": impact.due,
                "why": impact.why,
                "readers": [
                    {"kind": one.kind, "name": one.name, "contact": one.owner.contact}
                    for one in impact.readers or impact.affected
                ],
                "further": list(impact.further),
            }
            for impact in change.impacts
        ],
    }


def _headline(change: ProductChange) -> str:
    due = f", a {change.due} version is due" if change.due != "none" else ""
    return f"{change.product} {change.before} -> {change.after}{due}:"


def _whom(names: str) -> str:
    return f" ({names})" if names else ""


def _count(findings: tuple[Finding, ...], severity: str) -> int:
    return sum(1 for found in findings if found.severity == severity)


def _cell(text: str) -> str:
    """Text that cannot end a cell, begin a tag or run a macro of the host."""
    cleaned = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return cleaned.replace("<", "&lt;").replace("@", "&#64;")

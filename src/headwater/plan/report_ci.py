"""What a check found, as the hosts of continuous integration read it: GitHub, GitLab, Azure, JUnit, SARIF."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from headwater.errors import Finding
from headwater.plan.check import Report

SARIF_RESULTS_LIMIT = 25_000  # of one run, as GitHub takes it
_XML_REFUSED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_github(report: Report) -> str:
    """Workflow commands, which show findings beside their lines."""
    return "".join(github_command(found) + "\n" for found in report.shown)


def github_command(found: Finding) -> str:
    """A finding as a workflow command.

    >>> github_command(Finding("HW-C003", "error", "product.yaml", 3, 1, "", "unknown key", "keys are strict", "owner"))
    '::error file=product.yaml,line=3,col=1,title=HW-C003::unknown key. keys are strict. fix: owner'
    """
    level = {"info": "notice"}.get(found.severity, found.severity)
    place = f"file={_github_property(found.file)}"
    if found.line:
        place += f",line={found.line},col={found.column}"
    text = _said(found).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} {place},title={_github_property(found.code)}::{text}"


def as_azure(report: Report) -> str:
    """Logging commands of Azure Pipelines; it knows errors and warnings, and the rest are lines of the log."""
    lines = []
    for found in report.shown:
        if found.severity == "info":
            lines.append(f"info: {found.render()}".replace("\n", " "))
            continue
        place = f"sourcepath={_azure(found.file)};"
        if found.line:
            place += f"linenumber={found.line};columnnumber={found.column};"
        text = _said(found).replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A")
        lines.append(f"##vso[task.logissue type={found.severity};{place}code={_azure(found.code)};]{text}")
    return "".join(line + "\n" for line in lines)


def as_gitlab(report: Report) -> str:
    """A Code Quality report: an array of findings, each with a fingerprint of its own."""
    severities = {"info": "info", "warning": "minor", "error": "major"}
    value = [
        {
            "description": _said(found),
            "check_name": found.code,
            "fingerprint": fingerprint,
            "severity": severities[found.severity],
            "location": {"path": found.file, "lines": {"begin": max(found.line, 1)}},
        }
        for found, fingerprint in _fingerprinted(report)
    ]
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def as_junit(report: Report) -> str:
    """A test for each finding, and one for each product without any: only errors are failures."""
    cases: list[ElementTree.Element] = []
    for found in report.shown:
        case = ElementTree.Element("testcase", classname=_xml(found.file), name=_xml(f"{found.code} {found.message}"))
        kind = "failure" if found.severity == "error" else "system-out"
        detail = ElementTree.SubElement(case, kind)
        detail.text = _xml(found.render())
        if kind == "failure":
            detail.attrib.update(message=_xml(found.message), type=found.code)
        cases.append(case)
    files = [found.file for found in report.shown]
    for name, resolved in report.mesh.products.items() if report.mesh else ():
        if not any(f"/{resolved.product.folder}/" in f"/{file}" for file in files):
            file = f"{resolved.product.folder}/product.yaml"
            cases.append(ElementTree.Element("testcase", classname=file, name=str(name)))
    failures = sum(1 for found in report.shown if found.severity == "error")
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0", "skipped": "0"}
    root = ElementTree.Element("testsuites", {"name": "headwater check", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "headwater check", **counts})
    suite.extend(cases)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def as_sarif(report: Report) -> str:
    """SARIF 2.1.0 in one run, as code scanning takes it."""
    codes = sorted({found.code for found in report.shown})
    rules = [
        {"id": code, "name": code.replace("-", ""), "shortDescription": {"text": f"Headwater finding {code}"},
         "help": {"text": f"headwater explain {code}"}}
        for code in codes
    ]  # fmt: skip
    results = [
        _sarif_result(found, fingerprint, codes.index(found.code)) for found, fingerprint in _fingerprinted(report)
    ]
    driver = {"name": "headwater", "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": results[:SARIF_RESULTS_LIMIT],
    }
    value = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _sarif_result(found: Finding, fingerprint: str, index: int) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": quote(found.file)}}
    if found.line:
        location["region"] = {"startLine": found.line, "startColumn": max(found.column, 1)}
    return {
        "ruleId": found.code,
        "ruleIndex": index,
        "level": {"info": "note"}.get(found.severity, found.severity),
        "message": {"text": _said(found)},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"headwaterFinding/v1": fingerprint},
    }


def _fingerprinted(report: Report) -> Iterator[tuple[Finding, str]]:
    """Each finding with what it is known by from run to run: its place in the file's structure, not its line."""
    seen: Counter[str] = Counter()
    for found in report.shown:
        told = "\0".join((found.code, found.file, found.path, found.message))
        seen[told] += 1
        yield found, hashlib.sha256(f"{told}\0{seen[told]}".encode(errors="backslashreplace")).hexdigest()[:32]


def _said(found: Finding) -> str:
    return ". ".join(part for part in (found.message, found.why, f"fix: {found.fix}" if found.fix else "") if part)


def _github_property(text: str) -> str:
    for letter, written in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C")):
        text = text.replace(letter, written)
    return text


def _azure(text: str) -> str:
    for letter, written in (("%", "%AZP25"), ("\r", "%0D"), ("\n", "%0A"), (";", "%3B"), ("]", "%5D")):
        text = text.replace(letter, written)
    return text


def _xml(text: str) -> str:
    return _XML_REFUSED.sub("?", text)

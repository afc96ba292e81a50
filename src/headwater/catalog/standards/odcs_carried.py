"""What of an imported contract its products do not carry: found by writing them as ODCS again and comparing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from headwater.catalog.standards.foreign import Document
from headwater.catalog.standards.odcs_own import VENDOR, JsonObject, own_name
from headwater.catalog.standards.odcs_terms import level_amount
from headwater.errors import Finding, Severity

_ABSENT: Any = object()
_SHOWN_LENGTH_LIMIT = 60
_CANDIDATES_LIMIT = 20  # parts of one name that are compared in turn; beyond, a difference is reported too often
# Absent is the same as these: the standard's defaults.
_DEFAULTS = {
    "required": False, "unique": False, "primaryKey": False, "deprecated": False, "criticalDataElement": False,
    "partitioned": False, "primaryKeyPosition": -1, "partitionKeyPosition": -1, "semanticType": "column",
}  # fmt: skip
_BY_PLACE = ("properties", "schema")  # their parts come back in the same order
_NAMED_BY = ("property", "server", "channel", "username", "role", "name", "value", "url", "id")


def not_carried(contract: Document, again: Sequence[JsonObject]) -> list[Finding]:
    """A finding for each value that is not in the documents `again`, which are of the products that were made.

    `again` has one document for each schema object of the contract.
    """
    whole = {**again[0], "schema": [document["schema"][0] for document in again]}
    levels = [level for document in again for level in document.get("slaProperties", [])]
    if levels:
        whole["slaProperties"] = levels
    source = {name: value for name, value in contract.value.items() if name not in ("apiVersion", "kind")}
    return [_finding(contract, path, value, other) for path, value, other in _missing(source, whole, "", "")]


def _finding(contract: Document, path: str, value: Any, other: Any) -> Finding:
    if other is _ABSENT:
        message, why = f"{path} is not carried", "product.yaml and Avro have no place for it"
        fix = "keep it where it is, or say it in the product's README.md"
        return contract.finding("HW-C111", path, message, severity="warning", why=why, fix=fix)
    shown, becomes = _shown(value), _shown(other)
    message = f"{path} says {shown}, and becomes {becomes}"
    why = "names and places follow from the product, and types from its schema"
    severity: Severity = "info" if path.endswith(".physicalType") else "warning"
    return contract.finding("HW-C112", path, message, severity=severity, why=why, fix="see that it is meant so")


def _missing(source: Any, again: Any, path: str, key: str) -> Iterator[tuple[str, Any, Any]]:
    """The highest parts of the source that are not there again, each with its path and what stands there instead."""
    if isinstance(source, dict) and isinstance(again, dict):
        for name, value in source.items():
            below = f"{path}.{name}" if path else name
            other = again.get(name, _ABSENT)
            if other is _ABSENT and (_empty(value) or (name in _DEFAULTS and _DEFAULTS[name] == value)):
                continue
            if name in ("value", "unit") and "property" in source and _same_amount(source, again):
                continue
            yield from _missing(value, other, below, name)
    elif isinstance(source, list) and isinstance(again, list):
        yield from _missing_parts(source, again, path, key)
    elif not _same(source, again):
        yield path, source, again


def _missing_parts(source: list[Any], again: list[Any], path: str, key: str) -> Iterator[tuple[str, Any, Any]]:
    named: dict[Any, list[Any]] = {}
    for part in again:
        named.setdefault(_identity(part), []).append(part)
    for index, part in enumerate(source):
        identity = _identity(part)
        if key in _BY_PLACE or identity is None:
            other = again[index] if index < len(again) else _ABSENT
        else:
            candidates = named.get(identity, [_ABSENT])[:_CANDIDATES_LIMIT]
            alike = (one for one in candidates if not any(_missing(part, one, "", "")))
            other = next(alike, candidates[0])
        if other is not _ABSENT and isinstance(part, dict) and isinstance(other, dict) and own_name(part):
            part, other = {"value": part.get("value")}, {"value": other.get("value")}
        yield from _missing(part, other, f"{path}[{index}]", "")


def _identity(part: Any) -> Any:
    """By what a part of a list is known again; None where only by its place."""
    if not isinstance(part, dict):
        return ("plain", repr(part))
    name = own_name(part)
    if name:
        return (VENDOR, name)
    for key in _NAMED_BY:
        if isinstance(part.get(key), str):
            return (key, part[key].lower())
    return None


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, str) and isinstance(other, str):
        return value == other or re.sub(r"\s+", " ", value).strip() == re.sub(r"\s+", " ", other).strip()
    return bool(value == other)


def _same_amount(level: JsonObject, other: JsonObject) -> bool:
    amount = level_amount(level)
    return amount is not None and amount == level_amount(other)


def _empty(value: Any) -> bool:
    return value is None or value == {} or value == []


def _shown(value: Any) -> str:
    """A value as a message may show it; a whole part only by what it is."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value)
    return f"'{text}'" if len(text) <= _SHOWN_LENGTH_LIMIT else f"'{text[:_SHOWN_LENGTH_LIMIT]}…'"

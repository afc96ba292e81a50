"""Deprecated and popular spellings of ODCS brought to today's, each said: editions 3.0 to 3.2 are read as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from headwater.catalog.standards.foreign import Document
from headwater.catalog.standards.odcs_own import JsonObject
from headwater.errors import Finding, InvalidFiles

EDITIONS_READ = ("v3.2.0", "v3.1.0", "v3.0.2", "v3.0.1", "v3.0.0")
LEVEL_SYNONYMS = {
    "ly": "latency", "freshness": "latency", "av": "availability", "re": "retention", "th": "throughput",
    "er": "errorRate", "ga": "generalAvailability", "es": "endOfSupport", "el": "endOfLife", "fy": "frequency",
    "td": "timeToDetect", "tn": "timeToNotify", "tr": "timeToRepair",
}  # fmt: skip

Say = Callable[[str, str], None]


def modern_spelling(contract: Document) -> tuple[Document, list[Finding]]:
    """The contract in 3.2's spelling, and what was spelled otherwise. Raises `InvalidFiles` for other documents."""
    value = dict(contract.value)
    _is_read(contract, value)
    findings: list[Finding] = []

    def say(path: str, message: str) -> None:
        if any(finding.path == path for finding in findings):
            return
        why = "it is read as what the standard writes today"
        findings.append(contract.finding("HW-C106", path, message, severity="info", why=why))

    team = value.get("team")
    if isinstance(team, list):
        say("team", "a bare list as team is deprecated")
        value["team"] = {"members": team}
    if "dataProduct" in value:
        say("dataProduct", "dataProduct is deprecated")
    if isinstance(value.get("slaProperties"), list):
        value["slaProperties"] = [_level(level, value, say) for level in value["slaProperties"]]
        value.pop("slaDefaultElement", None)
    if isinstance(value.get("schema"), list):
        value["schema"] = [_object(item, f"schema[{index}]", say) for index, item in enumerate(value["schema"])]
    _servers(value, say)
    return Document(contract.file, value, contract.places), findings


def _is_read(contract: Document, value: JsonObject) -> None:
    if value.get("kind") != "DataContract":
        why, fix = f"its kind is '{str(value.get('kind'))[:40]}'", "name a file with kind: DataContract"
        raise InvalidFiles([contract.finding("HW-C107", "kind", "the file is no ODCS contract", why=why, fix=fix)])
    if value.get("apiVersion") not in EDITIONS_READ:
        message = f"the edition '{str(value.get('apiVersion'))[:40]}' is not read"
        why, fix = f"those are {', '.join(EDITIONS_READ)}", "bring the contract to one of them"
        raise InvalidFiles([contract.finding("HW-C108", "apiVersion", message, why=why, fix=fix)])


def _level(level: Any, value: JsonObject, say: Say) -> Any:
    if not isinstance(level, dict) or not isinstance(level.get("property"), str):
        return level
    name = level["property"]
    modern = LEVEL_SYNONYMS.get(name.lower(), name)
    default = value.get("slaDefaultElement")
    if default is not None and "element" not in level:
        say("slaDefaultElement", "slaDefaultElement is deprecated")
        level = {**level, "element": default}
    return {**level, "property": modern}


def _object(item: Any, path: str, say: Say) -> Any:
    """A schema object or a property: `rule` in a quality check is today's `metric`."""
    if not isinstance(item, dict):
        return item
    item = dict(item)
    checks = item.get("quality")
    if isinstance(checks, list):
        item["quality"] = [_check(check, f"{path}.quality[{index}]", say) for index, check in enumerate(checks)]
    for name in ("properties",):
        if isinstance(item.get(name), list):
            item[name] = [_object(part, f"{path}.{name}[{index}]", say) for index, part in enumerate(item[name])]
    return item


def _check(check: Any, path: str, say: Say) -> Any:
    if not isinstance(check, dict) or "rule" not in check or "metric" in check:
        return check
    say(f"{path}.rule", "rule is the deprecated spelling of metric")
    return {("metric" if name == "rule" else name): item for name, item in check.items()}


def _servers(value: JsonObject, say: Say) -> None:
    """A topic and a registry on a Kafka server: some tools want them there, and the standard's schema refuses them."""
    for path, server in _kafka_servers(value):
        for name, place in (("topic", "physicalName of the schema"), ("schemaRegistryUrl", "a custom property")):
            if name in server:
                say(f"{path}.{name}", f"{name} on a server is not in the standard; its place is {place}")
        objects = value.get("schema")
        if "topic" in server and isinstance(objects, list) and len(objects) == 1 and isinstance(objects[0], dict):
            objects[0].setdefault("physicalName", server["topic"])


def _kafka_servers(value: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    servers = value.get("servers")
    for index, server in enumerate(servers if isinstance(servers, list) else []):
        if isinstance(server, dict) and server.get("type") == "kafka":
            yield f"servers[{index}]", server

"""ODCS, the Open Data Contract Standard: a product's contract as a document of edition 3.2 or 3.1.

Strictly what the standard's schema lets in: what it has no key for stands in custom properties, as
`docs/concepts/standards.md` lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from headwater.catalog.standards.odcs_own import EDITIONS, Edition, JsonObject
from headwater.catalog.standards.odcs_types import property_of, read_extras, with_extras
from headwater.contracts.environment import Environment, MeshFile
from headwater.contracts.product import Owner, Product
from headwater.mesh.products import ResolvedOutput, ResolvedProduct
from headwater.timeline.instant import Duration

OBJECT_EXTRAS = (
    "id",
    "businessName",
    "dataGranularityDescription",
    "tags",
    "authoritativeDefinitions",
    "relationships",
)
SUFFIX = ".odcs.yaml"

_SLA_NAMES = {"latency_p99": "latency", "availability": "availability", "completeness": "completeness"}
_LATENCY = "99th percentile, from the commit at the source to the record"


def document(product: ResolvedProduct, mesh: MeshFile, edition: Edition = EDITIONS["3.2"]) -> JsonObject:
    """The contract of a product's current major, in the order in which the standard lists its keys."""
    contract = product.product
    value: JsonObject = {
        "apiVersion": edition.api_version,
        "kind": "DataContract",
        "id": contract_id(product),
        "name": str(product.name),
        "version": str(contract.version),
        "status": "active",
        "domain": product.name.domain,
        "description": {"purpose": contract.purpose},
        "schema": [_schema(output, mesh, edition) for output in product.outputs],
    }
    servers = [server for name in mesh.environments for server in _server(name, mesh.environments[name], edition)]
    if servers:
        value["servers"] = servers
    value |= owner_keys(contract.owner)
    levels = [level for one in product.each for level in _service_levels(one, edition)]
    if levels:
        value["slaProperties"] = levels
    value["customProperties"] = edition.all_own(_root_own(contract))
    return value


def contract_id(product: ResolvedProduct) -> str:
    """A contract's identity: its topic, since a new major is another promise beside the old one."""
    return product.output.topic


def owner_keys(owner: Owner) -> JsonObject:
    """`team` and `support`, which ODCS and ODPS write alike."""
    support: JsonObject = {"channel": owner.contact}
    url = contact_url(owner.contact)
    if url:
        support["url"] = url
        support["tool"] = "email" if url.startswith("mailto:") else "other"
    return {"support": [support], "team": {"name": owner.team}}


def contact_url(contact: str) -> str:
    """A contact as an address that can be followed, empty where it is only words."""
    if re.fullmatch(r"[^@\s:/]+@[^@\s:/]+\.[^@\s:/]+", contact):
        return f"mailto:{contact}"
    return contact if re.fullmatch(r"(?:https?|mailto):\S+", contact) else ""


def public_url(url: str) -> str:
    """An address without the user and password that may stand in it.

    >>> public_url("https://key:secret@registry.example.org")
    'https://registry.example.org'
    """
    return re.sub(r"//[^/@]*@", "//", url)


def own_quality(check: Any) -> bool:
    """Whether a quality check is a rule of Headwater's own, as `document` writes it."""
    return (
        isinstance(check, dict)
        and check.get("type") == "custom"
        and check.get("engine") == "headwater"
        and isinstance(check.get("implementation"), str)
        and not set(check) - {"name", "type", "engine", "implementation", "severity"}
    )


def duration_parts(text: str) -> tuple[int, str]:
    """A duration's number and unit.

    >>> duration_parts("5s")
    (5, 's')
    """
    match = re.fullmatch(r"([0-9]+) *([a-z]+)", text)
    if match is None:
        raise AssertionError("durations of a product were read strictly")
    return int(match[1]), match[2]


def topic_settings(output: ResolvedOutput) -> JsonObject:
    """What a topic of records is made with, as far as the contract promises it."""
    retention = output.output.retention
    return {
        "partitions": output.output.partitions,
        "cleanup.policy": "delete",
        "retention.ms": -1 if retention is None else retention // 1000,
    }


def _schema(output: ResolvedOutput, mesh: MeshFile, edition: Edition) -> JsonObject:
    attributes = dict(output.schema.type.attributes) if hasattr(output.schema.type, "attributes") else {}
    doc = attributes.pop("doc", "")
    extras = read_extras(attributes, (*OBJECT_EXTRAS, "quality"))
    record_quality = extras.pop("quality", [])
    promised = output.output
    value: JsonObject = {
        "name": promised.schema,
        "logicalType": "object",
        "physicalType": "topic",
        "physicalName": output.topic,
    }
    if doc:
        value["description"] = doc
    value["properties"] = [property_of(field, edition, key=promised.key) for field in output.schema.fields]
    quality = [_quality(rule.name, rule.rule, rule.severity) for rule in promised.quality] + record_quality
    if quality:
        value["quality"] = quality
    own: JsonObject = {
        "output": promised.name,
        "key": list(promised.key),
        "subject": output.subject,
        "subjectStrategy": "TopicName",
        "schemaFingerprint": f"{output.schema.fingerprint:016x}",
        "compatibility": str(promised.compatibility),
        "topicConfig": topic_settings(output),
        "corrections": promised.corrections,
        "onInvalid": promised.on_invalid,
        "tick": mesh.tick.text(),
    }
    if promised.accept_late is not None:
        own["acceptLate"] = promised.accept_late.text()
    if promised.grid is not None:
        own["grid"] = promised.grid.text()
    if promised.access:
        own["access"] = dict(promised.access)
    exact = {"aliases": list(getattr(output.schema.type, "aliases", ())), "attributes": attributes}
    if any(exact.values()):
        own["avro"] = {name: kept for name, kept in exact.items() if kept}
    return with_extras(value, extras, own, edition)


def _quality(name: str, rule: str, severity: str) -> JsonObject:
    return {"name": name, "type": "custom", "engine": "headwater", "implementation": rule, "severity": severity}


def _server(name: str, environment: Environment, edition: Edition) -> list[JsonObject]:
    """The brokers of an environment; the local stack is nobody's promise. Credentials are never written."""
    host = environment.kafka.get("bootstrap.servers", "")
    if environment.local_stack or not host:
        return []
    value: JsonObject = {"server": name, "type": "kafka", "host": host, "format": "avro"}
    if environment.registry_url:
        value["customProperties"] = [edition.own("registryUrl", public_url(environment.registry_url))]
    return [value]


def _service_levels(product: ResolvedProduct, edition: Edition) -> list[JsonObject]:
    """The promised levels, and retention. 3.1 has no place for the percentile but the description."""
    output = product.output.output
    levels: list[JsonObject] = []
    for name, text in output.service_levels.items():
        if name == "latency_p99":
            number, unit = duration_parts(text)
            level: JsonObject = {"property": "latency", "value": number, "unit": unit, "description": _LATENCY}
            if edition.modern:
                level["customProperties"] = [edition.own("percentile", 99)]
        else:
            level = {"property": _SLA_NAMES[name], "value": _number(text.removesuffix("%")), "unit": "percent"}
        levels.append({**level, "element": output.schema})
    if output.retention is not None:
        number, unit = duration_parts(Duration(output.retention).text())
        levels.append({"property": "retention", "value": number, "unit": unit, "element": output.schema})
    return levels


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _root_own(contract: Product) -> Mapping[str, Any]:
    output = contract.output
    own: JsonObject = {"productType": str(contract.type), "ports": list(output.ports)}
    if contract.outbox is not None:
        own["outbox"] = {"database": contract.outbox.database, "table": contract.outbox.table}
        if contract.outbox.validate != "database":
            own["outbox"]["validate"] = contract.outbox.validate
    if contract.capture is not None:
        own["capture"] = asdict(contract.capture)
    if contract.inputs:
        own["inputs"] = [read.named() for read in contract.inputs]
    if output.service_levels:
        own["serviceLevels"] = dict(output.service_levels)
    if len(contract.outputs) > 1:
        own["furtherOutputs"] = [
            {
                "name": one.name,
                "schema": one.schema,
                "ports": list(one.ports),
                "serviceLevels": dict(one.service_levels),
            }
            for one in contract.outputs[1:]
        ]
    return own

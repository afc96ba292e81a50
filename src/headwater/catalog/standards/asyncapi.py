"""AsyncAPI 3.0 with the Kafka bindings 0.5.0: which topics a product sends to and reads, and what lies in them."""

from __future__ import annotations

import re
from typing import Any

from headwater import naming
from headwater.catalog.standards.odcs import contact_url, public_url, topic_settings
from headwater.catalog.standards.odcs_own import JsonObject
from headwater.contracts.environment import Environment
from headwater.mesh.products import Mesh, ResolvedOutput, ResolvedProduct

VERSION = "3.0.0"
BINDING_VERSION = "0.5.0"
SCHEMA_FORMAT = "application/vnd.apache.avro;version=1.9.0"
SUFFIX = ".asyncapi.yaml"

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEADERS = {
    "id": "The outbox row of a source-aligned product's record: unique for each row, repeats of an event included.",
    "traceparent": "The trace that the record belongs to, where there is one.",
}


def document(product: ResolvedProduct, mesh: Mesh) -> JsonObject:
    """The product as an application that sends to its topic and receives from those of its inputs."""
    contract = product.product
    servers = {
        name: server
        for environment in mesh.file.environments.values()
        for name, server in _servers(environment)
    }  # fmt: skip
    channels: JsonObject = {}
    operations: JsonObject = {}
    messages: JsonObject = {}
    for one in product.each:
        output = one.output
        _channel(channels, messages, output.topic, output, servers)
        if "current" in output.output.ports:
            _channel(channels, messages, naming.current_topic(one.name, one.major), output, servers)
    for address in channels:
        operations[f"send.{address}"] = _operation("send", address, channels[address])
    for read in product.product.inputs:
        source = mesh.find(read.product)
        if source is not None and source.major == read.major:
            _channel(channels, messages, source.output.topic, source.output, servers)
            operation = _operation("receive", source.output.topic, channels[source.output.topic])
            operation["bindings"] = {"kafka": {"groupId": _group(product), "bindingVersion": BINDING_VERSION}}
            operations[f"receive.{source.output.topic}"] = operation
    contact = contact_url(contract.owner.contact)
    return {
        "asyncapi": VERSION,
        "id": f"urn:headwater:{mesh.file.name}:{product.name}",
        "info": {
            "title": str(product.name),
            "version": str(contract.version),
            "description": contract.purpose,
            "contact": {"name": contract.owner.team, **_contact(contact)},
            "tags": [{"name": str(contract.type)}, {"name": product.name.domain}],
        },
        "defaultContentType": "application/avro",
        **({"servers": servers} if servers else {}),
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _contact(url: str) -> JsonObject:
    if url.startswith("mailto:"):
        return {"email": url.removeprefix("mailto:")}
    return {"url": url} if url else {}


def _servers(environment: Environment) -> list[tuple[str, JsonObject]]:
    """One server for each bootstrap address; the local stack is nobody's promise."""
    addresses = [part.strip() for part in environment.kafka.get("bootstrap.servers", "").split(",") if part.strip()]
    if environment.local_stack:
        return []
    secure = "SSL" in environment.kafka.get("security.protocol", "")
    bindings: JsonObject = {"bindingVersion": BINDING_VERSION}
    registry = public_url(environment.registry_url)
    if registry and not _VARIABLE.search(registry):
        bindings = {"schemaRegistryUrl": registry, "schemaRegistryVendor": "confluent", **bindings}
    servers = []
    for number, address in enumerate(addresses):
        server: JsonObject = {
            "host": _VARIABLE.sub(r"{\1}", address),
            "protocol": "kafka-secure" if secure else "kafka",
        }
        variables = {name: {"description": f"From the environment: {name}."} for name in _VARIABLE.findall(address)}
        if variables:
            server["variables"] = variables
        server["bindings"] = {"kafka": dict(bindings)}
        if registry and "schemaRegistryUrl" not in bindings:
            server["x-schema-registry"] = registry
        servers.append((environment.name if number == 0 else f"{environment.name}-{number + 1}", server))
    return servers


def _channel(
    channels: JsonObject, messages: JsonObject, topic: str, output: ResolvedOutput, servers: JsonObject
) -> None:
    message = output.schema.name
    messages.setdefault(message, _message(output))
    settings = topic_settings(output)
    configuration: JsonObject = {
        "cleanup.policy": [settings["cleanup.policy"]],
        "retention.ms": settings["retention.ms"],
    }
    if topic != output.topic:
        configuration = {"cleanup.policy": ["compact"]}
    channels[topic] = {
        "address": topic,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        **({"servers": [{"$ref": f"#/servers/{name}"} for name in servers]} if servers else {}),
        "bindings": {
            "kafka": {
                "topic": topic,
                "partitions": settings["partitions"],
                "topicConfiguration": configuration,
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _operation(action: str, topic: str, channel: JsonObject) -> JsonObject:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in channel["messages"]],
    }


def _message(output: ResolvedOutput) -> JsonObject:
    key = ", ".join(output.output.key)
    said = f"The value of {key} as UTF-8 text." if len(output.output.key) == 1 else f"[{key}] as a compact JSON array."
    doc: Any = getattr(output.schema.type, "attributes", {}).get("doc", "")
    return {
        "name": output.schema.name,
        "title": output.output.schema,
        **({"summary": doc} if doc and isinstance(doc, str) else {}),
        "contentType": "application/avro",
        "headers": {
            "type": "object",
            "properties": {name: {"type": "string", "description": text} for name, text in _HEADERS.items()},
        },
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": _split_names(output.schema.inlined)},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": said},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicNameStrategy",
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _split_names(avro: Any) -> Any:
    """The schema with names and namespaces apart: AsyncAPI's form of Avro lets no dots into a name or an alias."""
    if isinstance(avro, list):
        return [_split_names(branch) for branch in avro]
    if not isinstance(avro, dict):
        return avro
    value = {name: _split_names(item) if name in ("type", "items", "values") else item for name, item in avro.items()}
    if "fields" in avro:
        value["fields"] = [_split_field(field) for field in avro["fields"]]
    if avro.get("type") not in ("record", "enum", "fixed"):
        return value
    space, _, name = avro["name"].rpartition(".")
    value = {"type": avro["type"], "name": name, "namespace": space, **_without(value, "type", "name", "namespace")}
    if "aliases" in value:
        near = [alias.rpartition(".") for alias in value["aliases"]]
        value["aliases"] = [short for within, _, short in near if within == space]
        value["x-aliases"] = avro["aliases"]
    return value


def _split_field(field: JsonObject) -> JsonObject:
    return {**field, "type": _split_names(field["type"])}


def _without(value: JsonObject, *names: str) -> JsonObject:
    return {name: item for name, item in value.items() if name not in names}


def _group(product: ResolvedProduct) -> JsonObject:
    prefix = re.escape(f"{product.output.topic}.")
    return {"type": "string", "pattern": f"^{prefix}", "description": "One consumer group for each stage of the flow."}

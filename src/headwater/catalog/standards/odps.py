"""ODPS, the Open Data Product Standard 1.1: a product with its input, output and management ports."""

from __future__ import annotations

from dataclasses import asdict

from headwater import naming
from headwater.catalog.standards.odcs import contact_url, contract_id
from headwater.catalog.standards.odcs_own import JsonObject
from headwater.contracts.product import ProductType
from headwater.mesh.products import Mesh, ResolvedProduct

API_VERSION = "v1.1.0"
SUFFIX = ".odps.yaml"
TYPES = {
    ProductType.SOURCE_ALIGNED: "sourceAligned",
    ProductType.AGGREGATE: "aggregate",
    ProductType.CONSUMER_ALIGNED: "consumerAligned",
}

_PORT_PURPOSES = {
    "topic": "Every record, as a Kafka topic.",
    "current": "The newest record of each identity, as a compacted topic.",
    "lake": "Every record, as a table of the lake.",
    "sql": "As-of questions in SQL.",
    "http": "As-of questions over HTTP.",
}


def document(product: ResolvedProduct, mesh: Mesh) -> JsonObject:
    """The product as the standard describes it. `mesh` gives the versions of its inputs."""
    contract = product.product
    value: JsonObject = {
        "apiVersion": API_VERSION,
        "kind": "DataProduct",
        "id": str(product.name),
        "name": str(product.name),
        "version": str(contract.version),
        "status": "active",
        "domain": product.name.domain,
        "type": TYPES[contract.type],
        "description": {"purpose": contract.purpose},
    }
    inputs = _inputs(product, mesh)
    if inputs:
        value["inputPorts"] = inputs
    value["outputPorts"] = [
        port
        for one in product.each
        for port in _outputs(one, contract_id(product), [_contract(read) for read in inputs])
    ]
    value["managementPorts"] = _management(product)
    url = contact_url(contract.owner.contact)
    if url:
        tool = "email" if url.startswith("mailto:") else "other"
        value["support"] = [{"channel": contract.owner.contact, "url": url, "tool": tool}]
    value["team"] = {"name": contract.owner.team}
    own: JsonObject = {} if url else {"contact": contract.owner.contact}
    if contract.outbox is not None:
        own["outbox"] = {"database": contract.outbox.database, "table": contract.outbox.table}
    if contract.capture is not None:
        own["capture"] = asdict(contract.capture)
    if own:
        value["customProperties"] = _own(own)
    return value


def _inputs(product: ResolvedProduct, mesh: Mesh) -> list[JsonObject]:
    ports: list[JsonObject] = []
    for read in product.product.inputs:
        source = mesh.find(read.product)
        port: JsonObject = {
            "name": str(read.product),
            "version": str(source.product.version) if source else str(read.major),
            "contractId": naming.topic(read.product, read.major),
        }
        if read.reads:
            port["customProperties"] = _own({"reads": list(read.reads)})
        ports.append(port)
    return ports


def _contract(port: JsonObject) -> JsonObject:
    """An input port as a contract that an output depends on: lineage at the level of ports."""
    return {"id": port["contractId"], "version": port["version"]}


def _outputs(product: ResolvedProduct, contract: str, inputs: list[JsonObject]) -> list[JsonObject]:
    """The ports of one output; `contract` is the product's."""
    ports: list[JsonObject] = []
    output = product.output
    for kind in output.output.ports:
        port: JsonObject = {
            "name": f"{output.output.name}-{kind}",
            "description": _PORT_PURPOSES[kind],
            "type": "kafka" if kind in ("topic", "current") else kind,
            "version": str(product.product.version),
            "contractId": contract,
        }
        if inputs:
            port["inputContracts"] = inputs
        own: JsonObject = {"key": list(output.output.key)}
        if kind == "topic":
            own = {"topic": output.topic, "subject": output.subject, **own}
        elif kind == "current":
            own = {"topic": naming.current_topic(product.name, product.major), **own}
        elif kind == "lake":
            own = {"table": naming.lake_table(product.name, product.major), **own}
        port["customProperties"] = _own(own)
        ports.append(port)
    return ports


def _management(product: ResolvedProduct) -> list[JsonObject]:
    """The ports that every product has beside its data. Topics are there today; the rest is named by its kind."""
    name, major = product.name, product.major
    commands: list[JsonObject] = [
        {
            "name": "commands",
            "content": "control",
            "type": "topic",
            "channel": naming.control_topic(name, major),
            "description": "Pause and resume, with who, when and why; how each worker's partitions stand.",
        }
    ]
    return [
        {
            "name": "discovery",
            "content": "discoverability",
            "type": "rest",
            "description": "The product's contract, schema and lineage.",
        },
        {
            "name": "observability",
            "content": "observability",
            "type": "topic",
            "channel": naming.progress_topic(name, major),
            "description": "Up to when nothing more is recorded, partition by partition.",
        },
        {
            "name": "control",
            "content": "control",
            "type": "topic",
            "channel": naming.quarantine_topic(name, major),
            "description": "Records that could not be published, whole, with the reason; repaired from there.",
        },
        *(commands if product.product.inputs else []),
    ]


def _own(values: JsonObject) -> list[JsonObject]:
    """Custom properties, which have no vendor in this standard: the name carries it."""
    return [{"property": f"headwater.{name}", "value": value} for name, value in values.items()]

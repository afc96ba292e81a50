"""Backstage's catalogue: products as components, outputs as APIs, topics as resources, teams as groups."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence

from headwater.catalog.standards import asyncapi
from headwater.catalog.standards.odcs import contact_url, contract_id
from headwater.catalog.standards.odcs_own import JsonObject
from headwater.contracts.product import ProductType
from headwater.mesh.products import Mesh, ResolvedProduct

API_VERSION = "backstage.io/v1alpha1"
FILE = "catalog-info.yaml"
NAME_LENGTH_LIMIT = 63  # Backstage's own


def documents(products: Sequence[ResolvedProduct], mesh: Mesh) -> list[JsonObject]:
    """The entities of these products for one `catalog-info.yaml`, what they share once.

    An API's definition is the AsyncAPI file beside it, as `headwater contract export --folder` names it.
    """
    entities: dict[tuple[str, str], JsonObject] = {}
    for product in products:
        for entity in _entities(product, mesh):
            entities.setdefault((entity["kind"], entity["metadata"]["name"]), entity)
    order = ("Group", "Domain", "System", "Resource", "API", "Component")
    return sorted(entities.values(), key=lambda entity: order.index(entity["kind"]))


def entity_name(text: str) -> str:
    """A name in Backstage's letters and length; what is cut keeps a checksum, so that names stay apart.

    >>> entity_name("airport operations")
    'airport-operations'
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "unnamed"
    if len(name) <= NAME_LENGTH_LIMIT:
        return name
    return f"{name[: NAME_LENGTH_LIMIT - 9]}-{zlib.crc32(text.encode()):08x}"


def _entities(product: ResolvedProduct, mesh: Mesh) -> Iterable[JsonObject]:
    contract = product.product
    team, name = entity_name(contract.owner.team), entity_name(str(product.name))
    domain = entity_name(product.name.domain)
    system = entity_name(f"{mesh.file.name}.{product.name.domain}")
    topics = [entity_name(output.topic) for output in product.outputs]
    owner = f"group:default/{team}"
    profile: JsonObject = {"displayName": contract.owner.team}
    url = contact_url(contract.owner.contact)
    if url.startswith("mailto:"):
        profile["email"] = contract.owner.contact
    yield _entity("Group", team, {"type": "team", "profile": profile, "children": []})
    yield _entity("Domain", domain, {"owner": owner})
    yield _entity("System", system, {"owner": owner, "domain": domain})
    lifecycle = {"lifecycle": "production", "owner": owner, "system": system}
    definition = {"$text": f"./{product.name}{asyncapi.SUFFIX}"}
    for topic, output in zip(topics, product.outputs, strict=True):
        yield _entity("Resource", topic, {"type": "kafka-topic", "owner": owner, "system": system}, title=output.topic)
        yield _entity("API", topic, {"type": "asyncapi", **lifecycle, "definition": definition}, title=output.topic)
    reads = [
        entity_name(source.output.topic) for read in contract.inputs if (source := mesh.find(read.product)) is not None
    ]
    spec: JsonObject = {"type": "data-product", **lifecycle, "providesApis": topics}
    if reads:
        spec["consumesApis"] = reads
    spec["dependsOn"] = [f"resource:default/{needed}" for needed in (*topics, *reads)]
    component = _entity("Component", name, spec, title=str(product.name), description=contract.purpose)
    component["metadata"]["annotations"] = {
        "headwater.dev/contract-id": contract_id(product),
        "headwater.dev/version": str(contract.version),
    }
    component["metadata"]["tags"] = [ProductType(contract.type).value]
    yield component


def _entity(kind: str, name: str, spec: JsonObject, *, title: str = "", description: str = "") -> JsonObject:
    metadata: JsonObject = {"name": name}
    if title and title != name:
        metadata["title"] = title
    if description:
        metadata["description"] = description
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}

"""An organisation's ODCS contract to products of a mesh: their `product.yaml`, their schemas, what is not carried.

Nothing is dropped silently, and not by care but by construction: the products that were made are written as ODCS again,
and whatever of the contract does not come back is a finding (`odcs_carried.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headwater import naming
from headwater.catalog.standards import odcs
from headwater.catalog.standards.foreign import Document, read_document
from headwater.catalog.standards.odcs_carried import not_carried
from headwater.catalog.standards.odcs_envelope import NEVER_NULL, with_envelope
from headwater.catalog.standards.odcs_fields import attributes_of, avro_name, extras_of, field_of, record_name
from headwater.catalog.standards.odcs_own import EDITIONS, JsonObject, read_own
from headwater.catalog.standards.odcs_spelling import modern_spelling
from headwater.catalog.standards.odcs_terms import listed, product_terms, product_words
from headwater.catalog.standards.odcs_types import EXTRAS_ATTRIBUTE
from headwater.catalog.standards.product_file import product_text, schema_text
from headwater.contracts.environment import MeshFile
from headwater.contracts.load import PRODUCT_FILE, Contract, read_product
from headwater.contracts.product import Product, ProductType
from headwater.errors import Finding, InvalidFiles
from headwater.mesh.envelope import SchemaFile, key_findings, schema_findings
from headwater.mesh.load import CONNECTORS, FLOW_FILE, STREAMS, schema_path
from headwater.mesh.products import ResolvedOutput, ResolvedProduct
from headwater.naming import ProductName
from headwater.schemas.annotations import payload_schema, shape_of
from headwater.schemas.avro import parse

OBJECTS_LIMIT = 200  # schema objects in one contract, each of them a product


@dataclass(frozen=True, slots=True)
class Imported:
    """`files` are texts by their path in the mesh; empty where a finding is an error. `products` are what they say."""

    products: tuple[ResolvedProduct, ...]
    files: Mapping[str, str]
    findings: tuple[Finding, ...]


def import_contract(data: bytes, *, file: str, mesh: MeshFile) -> Imported:
    """The products of a contract, one for each of its schema objects. Raises `InvalidFiles` where it cannot be read."""
    original = read_document(data, file=file)
    contract, findings = modern_spelling(original)
    objects = contract.value.get("schema")
    listable = isinstance(objects, list) and all(isinstance(value, dict) for value in objects)
    if not isinstance(objects, list) or not listable or not 0 < len(objects) <= OBJECTS_LIMIT:
        why = "each object of a contract's schema becomes a product"
        message = f"the contract has no schema objects, or more than {OBJECTS_LIMIT}"
        raise InvalidFiles([contract.finding("HW-C102", "schema", message, why=why, fix="add schema: [{name: ...}]")])
    made = [_Making(contract, index, value, mesh) for index, value in enumerate(objects)]
    findings += [finding for one in made for finding in one.findings]
    products = [one.product for one in made if one.product is not None]
    findings += _same_twice(contract, products)
    if len(products) == len(made) and not any(finding.severity == "error" for finding in findings):
        written = EDITIONS["3.2" if contract.value["apiVersion"] == EDITIONS["3.2"].api_version else "3.1"]
        again = [odcs.document(product, mesh, written) for product in products]
        findings += not_carried(contract, again)
    broken = any(finding.severity == "error" for finding in findings)
    files = {} if broken else {path: text for one in made for path, text in one.files.items()}
    ordered = sorted(findings, key=lambda finding: (finding.line, finding.column, finding.path, finding.code))
    return Imported(tuple(products), files, tuple(ordered))


class _Making:
    """One schema object on its way to a product. What it finds on the way is in `findings`."""

    def __init__(self, contract: Document, index: int, value: JsonObject, mesh: MeshFile) -> None:
        self.contract, self.path, self.value = contract, f"schema[{index}]", value
        self.findings: list[Finding] = []
        self.files: dict[str, str] = {}
        self.product: ResolvedProduct | None = None
        domain, word = product_words(contract.value, value)
        self.name = ProductName(domain, word)
        schema = record_name(str(value.get("name") or word))
        record = self.record(schema)
        terms = product_terms(contract, self.path, value, mesh=mesh, record=record)
        self.findings += terms.findings
        values = {"product": str(self.name), **terms.values}
        values["outputs"][0] = {"name": values["outputs"][0]["name"], "schema": schema, **values["outputs"][0]}
        aligned = values["type"] == ProductType.SOURCE_ALIGNED
        self.folder = f"{CONNECTORS if aligned else STREAMS}/{domain}/{word}"
        if not any(finding.severity == "error" for finding in terms.findings):
            self.finish(product_text(values), schema_text(record), aligned=aligned)

    def record(self, schema: str) -> JsonObject:
        """The record's JSON, with the fields that the platform needs."""
        exact = read_own(self.value).get("avro")
        exact = exact if isinstance(exact, dict) else {}
        record: JsonObject = {"type": "record", "name": schema, "namespace": str(self.name)}
        if isinstance(self.value.get("description"), str) and self.value["description"]:
            record["doc"] = self.value["description"]
        record |= attributes_of(exact)
        kept = extras_of(self.value, odcs.OBJECT_EXTRAS)
        quality = [check for check in listed(self.value, "quality") if not odcs.own_quality(check)]
        if quality:
            kept["quality"] = quality
            self.report(f"{self.path}.quality", "quality checks are kept in the schema, and nothing measures them",
                        "Headwater measures rules of the engine 'headwater'")  # fmt: skip
        if kept:
            record[EXTRAS_ATTRIBUTE] = kept
        if isinstance(exact.get("aliases"), list):
            record["aliases"] = exact["aliases"]
        fields, added = with_envelope(self.fields())
        for name in added:
            self.report(self.path, f"the field '{name}' was added", "every record says when it was true and when known")
        return {**record, "fields": fields}

    def fields(self) -> list[JsonObject]:
        fields = []
        for index, item in enumerate(listed(self.value, "properties")):
            if isinstance(item, dict):
                needed = bool(item.get("primaryKey")) or avro_name(str(item.get("name"))) in NEVER_NULL
                at = f"{self.path}.properties[{index}]"
                fields.append(field_of(item, at, self.report, required=needed))
        return fields

    def report(self, path: str, message: str, why: str) -> None:
        self.findings.append(self.contract.finding("HW-C103", path, message, severity="warning", why=why))

    def finish(self, text: str, avro: str, *, aligned: bool) -> None:
        """Reads what was written as any file of a mesh is read; what is wrong with it is wrong with the contract."""
        file = f"{self.folder}/{PRODUCT_FILE}"
        contract = read_product(text.encode(), file=file, folder=self.folder)
        self.findings += [self.placed(finding) for finding in contract.findings]
        if contract.value is None:
            return
        place = schema_path(self.name, contract.value.output.schema)
        try:
            read = SchemaFile(place, avro, parse(avro, file=place))
        except InvalidFiles as invalid:
            self.findings += [self.placed(finding) for finding in invalid.findings]
            return
        self.findings += [self.placed(finding) for finding in _resolved_findings(read, contract, contract.value)]
        self.product = _resolved(contract.value, read)
        self.files = {file: text, place: avro}
        if not aligned:
            message = f"the flow is not in a contract: write {self.folder}/{FLOW_FILE}"
            self.report(self.path, message, "a derived product is made by its flow")

    def placed(self, finding: Finding) -> Finding:
        message = f"{finding.message} (in the {finding.file} it would become)"
        code, why, fix = "HW-C104", finding.why, finding.fix
        return self.contract.finding(code, self.path, message, why=why, fix=fix)


def _resolved_findings(read: SchemaFile, contract: Contract[Product], product: Product) -> list[Finding]:
    found = schema_findings(read, product, product.output)
    return found + key_findings(contract, read, product.output)


def _resolved(product: Product, read: SchemaFile) -> ResolvedProduct:
    topic = naming.topic(product.name, product.major)
    output = ResolvedOutput(
        output=product.output,
        schema=read.schema,
        payload_schema=payload_schema(read.schema),
        shape=shape_of(read.schema),
        topic=topic,
        subject=naming.subject(topic),
    )
    return ResolvedProduct(product, (output,), Path(product.folder))


def _same_twice(contract: Document, products: list[ResolvedProduct]) -> list[Finding]:
    findings, seen = [], set[ProductName]()
    for index, product in enumerate(products):
        if product.name in seen:
            message, why = f"two schema objects become the product {product.name}", "names differ by more than spelling"
            finding = contract.finding("HW-C105", f"schema[{index}].name", message, why=why, fix="rename one of them")
            findings.append(finding)
        seen.add(product.name)
    return findings

"""What every output's schema must carry beside its own fields: its full name, its times, kind, revision and its key."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headwater.contracts.load import Contract
from headwater.contracts.product import Output, Product, ProductType
from headwater.errors import Finding
from headwater.naming import schema_full_name
from headwater.schemas.annotations import PLATFORM_FIELDS, envelope_findings
from headwater.schemas.avro import Schema
from headwater.schemas.places import place_of
from headwater.schemas.types import Field, Record, type_name

_KEY_KINDS = ("string", "int", "long", "enum")


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """A schema with the file it was read from, so that findings have a place."""

    file: str
    text: str
    schema: Schema

    def finding(self, code: str, path: str, message: str, *, why: str = "", fix: str = "") -> Finding:
        """A finding at a path such as `.fields[2].delay.type`."""
        return Finding(code, "error", self.file, *place_of(self.text, path), path, message, why, fix)


def schema_findings(read: SchemaFile, product: Product, output: Output) -> list[Finding]:
    """What is wrong with the schema as that of an output: name, shape, platform fields, times."""
    findings = [_placed(read, finding) for finding in envelope_findings(read.schema, read.file)]
    full_name = schema_full_name(product.name, output.schema)
    if isinstance(read.schema.type, Record) and read.schema.name != full_name:
        message = f"the schema is named '{read.schema.name}'"
        why = f"the schema '{output.schema}' of {product.name} has the full name {full_name}"
        fix = f'write "name": "{output.schema}", "namespace": "{product.name}"'
        findings.append(read.finding("HW-C045", ".name", message, why=why, fix=fix))
    return findings


def grid_findings(
    contract: Contract[Product], read: SchemaFile, product: Product, output: Output, place: str = "outputs[0]"
) -> list[Finding]:
    """Why an output cannot promise a grid: it is not the relay that writes it, or it holds no facts."""
    if output.grid is None:
        return []
    path, message = f"{place}.grid", ""
    if output.grid <= 0:
        message, why, fix = "a grid has a length above zero", "no interval is that short", "write one, such as 1h"
    elif product.type is not ProductType.SOURCE_ALIGNED:
        message, why = "only a source-aligned product says grid", "of a flow's facts, its windows say how they lie"
        fix = "remove grid; a product of type aggregate has one by its windows"
    elif any(field.name == "event_id" for field in read.schema.fields):
        message, why, fix = "events have no intervals to lie on a grid", "each is at one instant", "remove grid"
    return [contract.finding("HW-C117", path, message, why=why, fix=fix)] if message else []


def key_findings(
    contract: Contract[Product], read: SchemaFile, output: Output, place: str = "outputs[0]"
) -> list[Finding]:
    """What is wrong with the fields that make the Kafka key; `place` is the output's in the contract."""
    findings = []
    fields = {field.name: field for field in read.schema.fields}
    for index, name in enumerate(output.key):
        path = f"{place}.key[{index}]"
        field = fields.get(name)
        if field is None:
            message = f"the key field '{name}' is not in {read.schema.name}"
            why = "the Kafka key is made of fields of the record"
            fix = f"take one of {', '.join(fields)}"
            findings.append(contract.finding("HW-C046", path, message, why=why, fix=fix))
        elif (problem := _key_problem(field)) != "":
            why = "all records of one key lie in one partition, and keys are text"
            fix = "take a field of type string, int, long or enum that is always there"
            findings.append(contract.finding("HW-C047", path, f"the key field '{name}' {problem}", why=why, fix=fix))
    return findings


def _placed(read: SchemaFile, finding: Finding) -> Finding:
    if finding.line and finding.path:
        return finding
    path = finding.path or ".fields"  # what is missing is missing among the fields
    line, column = place_of(read.text, path)
    return replace(finding, path=path, line=line, column=column)


def _key_problem(field: Field) -> str:
    if field.nullable:
        return "may be null"
    if field.name in PLATFORM_FIELDS and field.name != "event_id":
        return "is the platform's, and differs from version to version of one fact"
    if field.type.kind not in _KEY_KINDS:
        return f"is {type_name(field.type)}"
    return ""

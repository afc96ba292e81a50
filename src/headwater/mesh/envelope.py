"""What every output's schema must carry beside its own fields: its full name, its times, kind, revision and its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headwater.contracts.load import Contract
from headwater.contracts.product import Output, Product
from headwater.errors import Finding
from headwater.mesh.products import Shape
from headwater.naming import schema_full_name
from headwater.schemas.avro import Schema
from headwater.schemas.places import place_of
from headwater.schemas.types import AvroType, Enum, Field, Primitive, Record, Union, logical_of, type_name

KIND_SYMBOLS = ("assert", "correct", "retract")
_INSTANT = '{"type": "long", "logicalType": "timestamp-micros"}'
_KIND = '{"type": "enum", "name": "Kind", "namespace": "headwater", "symbols": ["assert", "correct", "retract"]}'
_KEY_KINDS = ("string", "int", "long", "enum")


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """A schema with the file it was read from, so that findings have a place."""

    file: str
    text: str
    schema: Schema

    def finding(self, code: str, path: str, message: str, *, why: str = "", fix: str = "") -> Finding:
        """A finding at a path such as `.fields[2].type`."""
        return Finding(code, "error", self.file, *place_of(self.text, path), path, message, why, fix)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A field that must be there, and whether a type is right for it."""

    name: str
    fits: Callable[[AvroType], bool]
    written: str
    says: str


def schema_findings(read: SchemaFile, product: Product, output: Output) -> list[Finding]:
    """What is wrong with the schema as that of an output: name, shape, platform fields, times."""
    schema = read.schema
    if not isinstance(schema.type, Record):
        why, fix = "an output's records have fields", 'make it {"type": "record", ...}'
        return [read.finding("HW-C059", ".type", f"the schema is a {schema.type.kind}, not a record", why=why, fix=fix)]
    findings = []
    full_name = schema_full_name(product.name, output.schema)
    if schema.name != full_name:
        why = f"the schema '{output.schema}' of {product.name} has the full name {full_name}"
        fix = f'write "name": "{output.schema}", "namespace": "{product.name}"'
        findings.append(read.finding("HW-C045", ".name", f"the schema is named '{schema.name}'", why=why, fix=fix))
    shape = shape_of_fields({field.name for field in schema.fields})
    if shape is None:
        why = "an event has occurred_at, a fact has valid_from and valid_to, and nothing has both"
        fix = f'add {{"name": "occurred_at", "type": {_INSTANT}}}, or valid_from and valid_to'
        message = "the record is neither an event nor a fact"
        findings.append(read.finding("HW-C050", ".fields", message, why=why, fix=fix))
    for wanted in _wanted(shape):
        findings.extend(_field_findings(read, wanted))
    return findings


def key_findings(contract: Contract[Product], read: SchemaFile, output: Output) -> list[Finding]:
    """What is wrong with the fields that make the Kafka key."""
    findings = []
    fields = {field.name: field for field in read.schema.fields}
    for index, name in enumerate(output.key):
        path = f"outputs[0].key[{index}]"
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


def shape_of_fields(names: set[str]) -> Shape | None:
    """Whether fields make an event or a fact.

    >>> shape_of_fields({"occurred_at"}), shape_of_fields({"valid_from", "valid_to"}), shape_of_fields(set())
    ('event', 'fact', None)
    """
    event, fact = "occurred_at" in names, "valid_from" in names or "valid_to" in names
    if event == fact:
        return None
    return "event" if event else "fact"


def _wanted(shape: Shape | None) -> list[_Wanted]:
    fields = [
        _Wanted("recorded_at", _instant, _INSTANT, "when the mesh first knew"),
        _Wanted("kind", _kind, _KIND, "what the record does to what was known"),
        _Wanted("revision", _long, '"long"', "the how-manieth version it is"),
    ]
    if shape == "event":
        fields += [
            _Wanted("event_id", _string, '"string"', "the event's identity, the same in each correction"),
            _Wanted("occurred_at", _instant, _INSTANT, "when it was true"),
        ]
    if shape == "fact":
        fields += [
            _Wanted("valid_from", _instant, _INSTANT, "from when it holds"),
            _Wanted("valid_to", _open_instant, f'["null", {_INSTANT}]', "until when it holds, null for open"),
        ]
    return fields


def _field_findings(read: SchemaFile, wanted: _Wanted) -> list[Finding]:
    for index, field in enumerate(read.schema.fields):
        if field.name == wanted.name:
            if wanted.fits(field.type):
                return []
            message = f"the field '{wanted.name}' is {type_name(field.type)}"
            why = f"it says {wanted.says}, and has one type in the whole mesh"
            fix = f'write "type": {wanted.written}'
            return [read.finding("HW-C049", f".fields[{index}].type", message, why=why, fix=fix)]
    message, why = f"the field '{wanted.name}' is missing", f"every record says {wanted.says}"
    fix = f'add {{"name": "{wanted.name}", "type": {wanted.written}}}'
    return [read.finding("HW-C048", ".fields", message, why=why, fix=fix)]


def _key_problem(field: Field) -> str:
    if field.nullable:
        return "may be null"
    if field.name in ("recorded_at", "kind", "revision"):
        return "is the platform's, and differs from version to version of one fact"
    if field.type.kind not in _KEY_KINDS:
        return f"is {type_name(field.type)}"
    return ""


def _instant(avro_type: AvroType) -> bool:
    logical = logical_of(avro_type)
    return avro_type.kind == "long" and logical is not None and logical.name == "timestamp-micros"


def _open_instant(avro_type: AvroType) -> bool:
    if not isinstance(avro_type, Union):
        return _instant(avro_type)
    null, *rest = avro_type.branches
    return null.kind == "null" and len(rest) == 1 and _instant(rest[0])


def _string(avro_type: AvroType) -> bool:
    return isinstance(avro_type, Primitive) and avro_type.kind == "string" and avro_type.logical is None


def _long(avro_type: AvroType) -> bool:
    return isinstance(avro_type, Primitive) and avro_type.kind == "long" and avro_type.logical is None


def _kind(avro_type: AvroType) -> bool:
    return isinstance(avro_type, Enum) and avro_type.name == "headwater.Kind" and avro_type.symbols == KIND_SYMBOLS

"""An Avro field as a property of ODCS: for readers by logical types, and exactly by what stands beside them.

The standard's types are coarser than Avro's. `physicalType` names the Avro type; where the rest of a property does not
say the field's JSON to the letter, the custom property `avro` does, so that reading it back gives the same schema.
"""

from __future__ import annotations

from typing import Any, Final

from headwater.catalog.standards.odcs_own import Edition, JsonObject
from headwater.schemas.annotations import tags
from headwater.schemas.types import MISSING, Array, AvroType, Enum, Field, Map, Record, Union, logical_of, type_name

TIME_ROLES: Final = ("occurred_at", "valid_from", "valid_to", "recorded_at")
PERSONAL_TAG: Final = "PII"
EXTRAS_ATTRIBUTE: Final = "odcs"  # of Avro fields: what an imported contract says beyond what Headwater works with
# Keys that are carried through that attribute as they are; those of the second list only 3.2 knows.
PROPERTY_EXTRAS: Final = (
    "id", "businessName", "classification", "encryptedName", "unique", "criticalDataElement", "examples",
    "transformSourceObjects", "transformLogic", "transformDescription", "relationships", "quality",
    "authoritativeDefinitions", "partitioned", "partitionKeyPosition",
)  # fmt: skip
MODERN_EXTRAS: Final = ("enum", "deprecated", "synonyms", "semanticType", "context")
OPTIONS_KEY: Final = "logicalTypeOptions"

_LOGICAL: Final[dict[str, tuple[str, JsonObject]]] = {
    "string": ("string", {}),
    "bytes": ("string", {"format": "binary"}),
    "fixed": ("string", {"format": "binary"}),
    "enum": ("string", {}),
    "int": ("integer", {"format": "i32"}),
    "long": ("integer", {"format": "i64"}),
    "float": ("number", {"format": "f32"}),
    "double": ("number", {"format": "f64"}),
    "boolean": ("boolean", {}),
    "record": ("object", {}),
    "array": ("array", {}),
    "decimal": ("number", {}),
    "uuid": ("string", {"format": "uuid"}),
    "date": ("date", {}),
    "time-millis": ("time", {}),
    "time-micros": ("time", {}),
    "duration": ("string", {"format": "binary"}),
}
_PHYSICAL: Final = {
    **{kind: kind for kind in ("boolean", "int", "long", "float", "double", "bytes", "string")},
    **{
        name: {"type": base, "logicalType": name}
        for base, names in {
            "int": ("date", "time-millis"),
            "long": ("time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos",
                     "local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos"),
            "string": ("uuid",),
        }.items()
        for name in names
    },
}  # fmt: skip


def property_of(
    field: Field, edition: Edition, *, key: tuple[str, ...] = (), above: frozenset[str] = frozenset()
) -> JsonObject:
    """A field as the standard describes it; `key` are the fields of the Kafka key, `above` the records it stands in."""
    extras, attributes = _attributes(field)
    value: JsonObject = {"name": field.name, **described(without_null(field.type), edition, above)}
    options = {**value.pop(OPTIONS_KEY, {}), **extras.pop(OPTIONS_KEY, {})}
    if options:
        value[OPTIONS_KEY] = options
    if field.doc:
        value["description"] = field.doc
    value["required"] = not field.nullable
    if field.name in key:
        value |= {"primaryKey": True, "primaryKeyPosition": key.index(field.name) + 1}
    marks = tags(field)
    if marks:
        value["tags"] = list(marks)
    own: JsonObject = {}
    if field.name in TIME_ROLES and not above:
        own["timeRole"] = field.name
    if PERSONAL_TAG in marks:
        own["personalData"] = True
    exact = _exact(field, value, attributes)
    if exact:
        own["avro"] = exact
    return with_extras(value, extras, own, edition)


def with_extras(value: JsonObject, extras: JsonObject, own: JsonObject, edition: Edition) -> JsonObject:
    """The element with what an import kept for it, and Headwater's own at its end; what 3.1 lacks goes there too."""
    customs = extras.pop("customProperties", [])
    kept: JsonObject = {}
    if not edition.modern:
        kept = {name: extras.pop(name) for name in MODERN_EXTRAS if name in extras}
        with_vendor = [custom for custom in customs if "vendor" in custom]
        customs = [custom for custom in customs if "vendor" not in custom]
        if with_vendor:
            kept["customProperties"] = with_vendor
    if kept:
        own["extras"] = kept
    value |= extras
    if own or customs:
        value["customProperties"] = [*edition.all_own(own), *customs]
    return value


def described(avro_type: AvroType, edition: Edition, above: frozenset[str] = frozenset()) -> JsonObject:
    """The keys that say a type. What holds itself is not unrolled.

    Unions are objects here: the standard has nothing for them, and one of its schemas takes a property without a
    logical type for a map.
    """
    logical = logical_of(avro_type)
    physical = logical.text().replace(" ", "") if logical else type_name(avro_type)
    name, options = _LOGICAL.get(logical.name if logical else avro_type.kind, ("object", {}))
    if logical and "timestamp" in logical.name:
        name, options = "timestamp", {"timezone": not logical.name.startswith("local-")}
    if avro_type.kind == "map":
        name = "map" if edition.modern else "object"
    value: JsonObject = {"logicalType": name, "physicalType": physical}
    if options:
        value[OPTIONS_KEY] = dict(options)
    if isinstance(avro_type, Enum) and edition.modern:
        value["enum"] = [{"value": symbol} for symbol in avro_type.symbols]
    elif isinstance(avro_type, Record) and avro_type.name not in above:
        within = above | {avro_type.name}
        value["properties"] = [property_of(field, edition, above=within) for field in avro_type.fields]
    elif isinstance(avro_type, Array):
        value["items"] = _item(avro_type.items, edition, above)
    elif isinstance(avro_type, Map) and edition.modern:
        value["map"] = {"key": {"logicalType": "string"}, "value": _item(avro_type.values, edition, above)}
    return value


def without_null(avro_type: AvroType) -> AvroType:
    """The other branch of a union with null; any other type as it is."""
    if isinstance(avro_type, Union) and len(avro_type.branches) == 2:
        others = [branch for branch in avro_type.branches if branch.kind != "null"]
        if len(others) == 1:
            return others[0]
    return avro_type


def avro_of(physical: str, *, required: bool) -> Any:
    """The JSON of the Avro type that a physical type of ours names, None where it says too little.

    >>> avro_of("timestamp-micros", required=False)
    ['null', {'type': 'long', 'logicalType': 'timestamp-micros'}]
    >>> avro_of("decimal(9,2)", required=True)["precision"]
    9
    """
    found: Any = _PHYSICAL.get(physical)
    if physical.startswith("decimal(") and physical.endswith(")"):
        precision, _, scale = physical[8:-1].partition(",")
        if precision.isascii() and precision.isdigit() and scale.isascii() and scale.isdigit():
            found = {"type": "bytes", "logicalType": "decimal", "precision": int(precision), "scale": int(scale)}
    return found if found is None or required else ["null", found]


def _item(avro_type: AvroType, edition: Edition, above: frozenset[str]) -> JsonObject:
    nullable = isinstance(avro_type, Union) and any(branch.kind == "null" for branch in avro_type.branches)
    return {**described(without_null(avro_type), edition, above), "required": not nullable}


def _exact(field: Field, value: JsonObject, attributes: JsonObject) -> JsonObject:
    """What the property does not say of the field's JSON. With a type, the default is what stands here, or none."""
    exact: JsonObject = {}
    derived = avro_of(value["physicalType"], required=value["required"])
    implied = MISSING if value["required"] else None
    if derived != _simplest(field.type_json) or (field.default is MISSING and implied is None):
        exact["type"] = field.type_json
        implied = MISSING
    if field.default is not MISSING and (implied is MISSING or field.default is not None):
        exact["default"] = field.default
    if field.aliases:
        exact["aliases"] = list(field.aliases)
    if attributes:
        exact["attributes"] = attributes
    return exact


def _simplest(type_json: Any) -> Any:
    if isinstance(type_json, list):
        return [_simplest(branch) for branch in type_json]
    return type_json["type"] if isinstance(type_json, dict) and set(type_json) == {"type"} else type_json


def _attributes(field: Field) -> tuple[JsonObject, JsonObject]:
    """What an import kept for the property, and the field's other attributes, those that stand elsewhere left out."""
    attributes = dict(field.attributes)
    if attributes.get("doc") == field.doc != "":
        attributes.pop("doc", None)
    marks = attributes.get("confluent:tags")
    if marks and marks == list(tags(field)):
        attributes.pop("confluent:tags")
    return read_extras(attributes, PROPERTY_EXTRAS), attributes


def read_extras(attributes: JsonObject, known: tuple[str, ...]) -> JsonObject:
    """Takes what an import kept out of the attributes, where it is of the form that an import writes."""
    kept = attributes.get(EXTRAS_ATTRIBUTE)
    if not isinstance(kept, dict) or not kept or set(kept) - {*known, *MODERN_EXTRAS, OPTIONS_KEY, "customProperties"}:
        return {}
    attributes.pop(EXTRAS_ATTRIBUTE)
    return dict(kept)

"""Properties of an ODCS contract to fields of an Avro record: our own exactly, those of others by the nearest type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from headwater.catalog.standards.odcs_own import EDITIONS, JsonObject, foreign_customs, read_own
from headwater.catalog.standards.odcs_types import (
    EXTRAS_ATTRIBUTE,
    MODERN_EXTRAS,
    OPTIONS_KEY,
    PERSONAL_TAG,
    PROPERTY_EXTRAS,
    avro_of,
    described,
)
from headwater.errors import CallerFault
from headwater.schemas.avro import parse
from headwater.schemas.types import Record

Report = Callable[[str, str, str], None]  # path, message, why

_SQL = (
    (r"(?:var)?char.*|n?varchar.*|text|string|clob|json|uuid", "string"),
    (r"tinyint|smallint|int|int4|integer|mediumint", "int"),
    (r"bigint|int8|long|serial|bigserial", "long"),
    (r"real|float4", "float"),
    (r"float|float8|double(?: precision)?", "double"),
    (r"bool(?:ean)?|bit", "boolean"),
    (r"date", "date"),
    (r"timestamp.*|datetime.*", "timestamp-micros"),
    (r"time.*", "time-micros"),
    (r"bytea|blob|binary.*|varbinary.*|bytes", "bytes"),
)
_BY_LOGICAL = {
    "string": "string", "date": "date", "timestamp": "timestamp-micros", "time": "time-micros", "boolean": "boolean",
}  # fmt: skip
_MEANT = ("name", "type", "fields", "aliases", "default", "namespace", "items", "values", "symbols", "size")
_SMALL_INTEGERS = ("i8", "i16", "i32", "u8", "u16")
_LARGE_INTEGERS = {"u64": 20, "i128": 39, "u128": 39}


def field_of(value: Mapping[str, Any], path: str, report: Report, *, required: bool = False) -> JsonObject:
    """The JSON of a field; `required` where it must be there whatever the contract says (keys, times)."""
    exact = read_own(value).get("avro")
    exact = exact if isinstance(exact, dict) else {}
    needed = required or _truth(value.get("required"))
    field: JsonObject = {"name": avro_name(str(value.get("name") or "field"))}
    if "type" in exact:
        field["type"] = exact["type"]
    else:
        base = _base(value, path, report, field["name"])
        field["type"] = base if needed else ["null", base]
        if not needed and "default" not in exact:
            field["default"] = None
    if "default" in exact:
        field["default"] = exact["default"]
    if isinstance(value.get("description"), str) and value["description"]:
        field["doc"] = value["description"]
    marks = _marks(value)
    if marks:
        field["confluent:tags"] = marks
    field |= attributes_of(exact)
    kept = extras_of(value, PROPERTY_EXTRAS)
    if "type" in exact:
        kept.pop("enum", None)  # an Avro enum writes its own
    options = _options_beyond(value, field)
    if options:
        kept[OPTIONS_KEY] = options
    if kept:
        field[EXTRAS_ATTRIBUTE] = kept
    if isinstance(exact.get("aliases"), list):
        field["aliases"] = exact["aliases"]
    return field


def attributes_of(exact: Mapping[str, Any]) -> JsonObject:
    """Avro attributes that stand in the custom property `avro`; never one that Avro gives a meaning to."""
    given = exact.get("attributes")
    attributes = given if isinstance(given, dict) else {}
    return {name: item for name, item in attributes.items() if name not in _MEANT}


def extras_of(value: Mapping[str, Any], known: tuple[str, ...]) -> JsonObject:
    """What is kept of an element beside what Headwater works with: the standard's keys, and what others put there."""
    kept = {name: value[name] for name in (*known, *MODERN_EXTRAS) if name in value}
    customs = foreign_customs(value)
    own = read_own(value).get("extras")
    if isinstance(own, dict):  # what 3.1 had no key for
        beside = own.get("customProperties")
        customs = customs + (beside if isinstance(beside, list) else [])
        kept |= {name: item for name, item in own.items() if name in (*known, *MODERN_EXTRAS)}
    return {**kept, **({"customProperties": customs} if customs else {})}


def avro_name(text: str) -> str:
    """The nearest name that Avro takes.

    >>> avro_name("order-id"), avro_name("2nd")
    ('order_id', '_2nd')
    """
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_") if not re.fullmatch(r"[A-Za-z0-9_]+", text) else text
    return f"_{name}" if not name or name[0].isdigit() else name


def record_name(text: str) -> str:
    """A record's name in Headwater's form.

    >>> record_name("customer orders"), record_name("Departure")
    ('CustomerOrders', 'Departure')
    """
    if re.fullmatch(r"[A-Z][A-Za-z0-9_]*", text):
        return text
    words = [word for word in re.split(r"[^A-Za-z0-9]+", text) if word]
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if name and name[0].isalpha() else f"Record{name}"


def _base(value: Mapping[str, Any], path: str, report: Report, name: str) -> Any:
    physical, logical = str(value.get("physicalType") or ""), value.get("logicalType")
    ours = avro_of(physical, required=True)
    if ours is not None and (logical is None or _fits(ours, logical)):
        return ours
    options = value.get(OPTIONS_KEY)
    form = str(options.get("format", "")) if isinstance(options, dict) else ""
    scaled = re.fullmatch(r"(?i)(?:decimal|numeric|number)\s*\(\s*([0-9]{1,3})\s*(?:,\s*([0-9]{1,3})\s*)?\)", physical)
    if scaled and logical in (None, "number", "integer"):
        return _decimal(int(scaled[1]), int(scaled[2] or 0))
    if logical == "string" and form in ("binary", "byte"):
        return "bytes"
    if logical == "integer":
        large = _LARGE_INTEGERS.get(form)
        return _decimal(large, 0) if large else "int" if form in _SMALL_INTEGERS else "long"
    if logical == "number":
        if not form:
            report(path, "a number without precision or format becomes a double", "money and counts want decimals")
        return "float" if form == "f32" else "double"
    if logical in ("object", "array", "map", "vector"):
        return _composed(value, path, report, name)
    if isinstance(logical, str) and logical in _BY_LOGICAL:
        return avro_of(_BY_LOGICAL[logical], required=True)
    for pattern, found in _SQL:
        if re.fullmatch(pattern, physical.lower()):
            return avro_of(found, required=True)
    report(path, "the type is not known, and becomes a string", "neither logicalType nor physicalType say one")
    return "string"


def _composed(value: Mapping[str, Any], path: str, report: Report, name: str) -> Any:
    logical = value.get("logicalType")
    properties = value.get("properties")
    if logical == "object" and isinstance(properties, list) and properties:
        fields = [
            field_of(item, f"{path}.properties[{index}]", report)
            for index, item in enumerate(properties)
            if isinstance(item, dict)
        ]
        # The path makes the name single: two objects of one name in a record would be one Avro type.
        return {"type": "record", "name": record_name("_".join([*_names_in(path), name])) + "Value", "fields": fields}
    if logical == "vector":
        report(path, "a vector becomes an array of float", "Avro has no vectors")
        return {"type": "array", "items": "float"}
    part = value.get("items") if logical == "array" else None
    where = f"{path}.items"
    if logical == "map" and isinstance(value.get("map"), dict):
        part, where = value["map"].get("value"), f"{path}.map.value"
    if not isinstance(part, dict):
        report(path, f"what is in the {logical} is not said, and becomes strings", "Avro types every part")
        part = {"logicalType": "string"}
    item = _base(part, where, report, f"{name}_item")
    item = item if _truth(part.get("required", True)) else ["null", item]
    return {"type": "array", "items": item} if logical == "array" else {"type": "map", "values": item}


def _names_in(path: str) -> list[str]:
    return re.findall(r"properties\[([0-9]+)\]", path)[:-1]


def _decimal(precision: int, scale: int) -> JsonObject:
    precision = max(1, precision)
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": min(scale, precision)}


def _fits(ours: Any, logical: Any) -> bool:
    return bool(_described(ours).get("logicalType") == logical)


def _described(avro_json: Any) -> JsonObject:
    record = {"type": "record", "name": "R", "fields": [{"name": "f", "type": avro_json}]}
    try:
        parsed = parse(json.dumps(record)).type
    except CallerFault:
        return {}
    return described(parsed.fields[0].type, EDITIONS["3.2"]) if isinstance(parsed, Record) else {}


def _options_beyond(value: Mapping[str, Any], field: JsonObject) -> JsonObject:
    """The options that the type alone does not give: lengths, patterns, bounds."""
    options = value.get(OPTIONS_KEY)
    if not isinstance(options, dict):
        return {}
    kind = field["type"]
    if isinstance(kind, list) and len(kind) == 2 and "null" in kind:
        kind = kind[0] if kind[1] == "null" else kind[1]
    given = _described(kind)
    if given.get("logicalType") != value.get("logicalType"):
        return {}
    implied = given.get(OPTIONS_KEY, {})
    return {name: item for name, item in options.items() if implied.get(name) != item and name != "format"} | (
        {"format": options["format"]} if "format" in options and "format" not in implied else {}
    )


def _marks(value: Mapping[str, Any]) -> list[str]:
    given = value.get("tags")
    marks = [mark for mark in given if isinstance(mark, str)] if isinstance(given, list) else []
    if read_own(value).get("personalData") is True and PERSONAL_TAG not in marks:
        marks.append(PERSONAL_TAG)
    return marks


def _truth(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() in ("true", "yes"))

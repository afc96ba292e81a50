"""From a schema's JSON to types, with every finding at its path: the strict half of reading Avro.

Stricter than most parsers, since what is let in here is decoded for years: a default must fit the first branch of its
union (decoders before Avro 1.12 read it so), a logical type that Avro names must stand on the right type, and size,
depth and number of fields have limits, so that no schema can exhaust whoever reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from headwater.errors import Finding, InvalidFiles
from headwater.schemas.defaults import default_problem
from headwater.schemas.types import (
    MISSING,
    PRIMITIVES,
    Array,
    AvroType,
    Enum,
    Field,
    Fixed,
    Logical,
    Map,
    Named,
    Primitive,
    Record,
    Union,
)

TEXT_LENGTH_LIMIT = 1_000_000  # characters; the largest schemas seen in the wild are near 300,000
DEPTH_LIMIT = 32  # of types within types, as the contract lint has it
FIELDS_LIMIT = 2_000  # in one schema, references included
SYMBOLS_LIMIT = 2_000  # of one enum
BRANCHES_LIMIT = 100  # of one union
FINDINGS_LIMIT = 50  # a text with more is not a schema

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LOGICAL_BASES = {
    "decimal": ("bytes", "fixed"),
    "uuid": ("string", "fixed"),
    "date": ("int",),
    "time-millis": ("int",),
    "time-micros": ("long",),
    "timestamp-millis": ("long",),
    "timestamp-micros": ("long",),
    "timestamp-nanos": ("long",),
    "local-timestamp-millis": ("long",),
    "local-timestamp-micros": ("long",),
    "local-timestamp-nanos": ("long",),
    "duration": ("fixed",),
}
_FIXED_SIZES = {"uuid": 16, "duration": 12}


def read_json(text: str, file: str) -> Any:
    """The JSON of a schema's text; raises `InvalidFiles` with the place."""
    if len(text) > TEXT_LENGTH_LIMIT:
        raise InvalidFiles(
            [
                Finding(
                    "HW-S012", "error", file, 0, 0, "", f"the schema has {len(text)} characters",
                    f"at most {TEXT_LENGTH_LIMIT} are read", "split it into schemas that refer to each other",
                )
            ]
        )  # fmt: skip
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        place = (error.lineno, error.colno)
        what = f"not JSON: {error.msg}"
    except RecursionError:
        place, what = (1, 1), "not a schema: the JSON is nested too deeply"
    except ValueError as error:
        place, what = (1, 1), str(error)
    raise InvalidFiles(
        [Finding("HW-S001", "error", file, *place, "", what, "an Avro schema is one JSON text", "mend the JSON")]
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{twice[:60]}' stands twice in one object")
    return keys


def _constant(name: str) -> Any:
    raise ValueError(f"not JSON: {name} is no number")


class Parser:
    """Reads one schema; `names` may hold the types of its references. Findings gather: one reading shows all."""

    def __init__(self, file: str, names: dict[str, Named]) -> None:
        self.file = file
        self.names = names
        self.findings: list[Finding] = []
        self._field_count = 0
        self._defaults: list[tuple[str, AvroType, Any, str]] = []

    def schema(self, value: Any) -> AvroType:
        """The type of a whole schema; raises `InvalidFiles` with all findings."""
        avro_type = self.read(value, "", "")
        if not self.findings:  # a default is held against whole types only: a record may contain itself
            for name, field_type, default, path in self._defaults:
                if problem := default_problem(field_type, default):
                    self.wrong(
                        "HW-S007", path, f"the default of '{name}' {problem}",
                        why="a reader that needs it would fail, or read something else",
                        fix="give a default of the field's type; of a union, of its first branch",
                    )  # fmt: skip
        if self.findings:
            raise InvalidFiles(self.findings)
        return avro_type

    def wrong(self, code: str, path: str, message: str, *, why: str = "", fix: str = "") -> AvroType:
        """Note a finding and stand in with null, so that reading goes on."""
        if len(self.findings) < FINDINGS_LIMIT:
            self.findings.append(Finding(code, "error", self.file, 0, 0, path, message, why, fix))
        return Primitive("null")

    def read(self, value: Any, namespace: str, path: str, depth: int = 0) -> AvroType:
        """The type that a JSON value stands for."""
        if depth > DEPTH_LIMIT or len(self.findings) >= FINDINGS_LIMIT:
            return self.wrong(
                "HW-S013", path, f"types are nested deeper than {DEPTH_LIMIT}", why="decoders recurse", fix="flatten"
            )
        if isinstance(value, str):
            return self._by_name(value, namespace, path)
        if isinstance(value, list):
            return self._union(value, namespace, path, depth)
        if not isinstance(value, Mapping):
            return self.wrong("HW-S002", path, "not a type", why="a type is a name, an object or a list", fix="name it")
        kind = value.get("type")
        if kind in ("record", "error"):
            return self._record(value, namespace, path, depth)
        if kind == "enum":
            return self._enum(value, namespace, path)
        if kind == "fixed":
            return self._fixed(value, namespace, path)
        if kind == "array":
            if "items" not in value:
                return self.wrong("HW-S002", path, "an array without 'items'", fix='add "items"')
            return Array(self.read(value["items"], namespace, f"{path}.items", depth + 1), _others(value, "items"))
        if kind == "map":
            if "values" not in value:
                return self.wrong("HW-S002", path, "a map without 'values'", fix='add "values"')
            return Map(self.read(value["values"], namespace, f"{path}.values", depth + 1), _others(value, "values"))
        if isinstance(kind, str) and kind in PRIMITIVES:
            return Primitive(kind, self._logical(value, kind, path), _others(value))
        if isinstance(kind, dict | list):
            return self.read(kind, namespace, f"{path}.type", depth + 1)
        if isinstance(kind, str):
            return self._by_name(kind, namespace, path)
        return self.wrong("HW-S002", path, "an object without a 'type'", why="it says nothing", fix='add "type"')

    def _by_name(self, name: str, namespace: str, path: str) -> AvroType:
        if name in PRIMITIVES:
            return Primitive(name)
        for full in (name,) if "." in name or not namespace else (f"{namespace}.{name}", name):
            if full in self.names:
                return self.names[full]
        return self.wrong(
            "HW-S005", path, f"the type '{name[:200]}' is not known here",
            why="a name must be defined before it is used, in this schema or in one it refers to",
            fix="define it first, or add the reference",
        )  # fmt: skip

    def _union(self, value: list[Any], namespace: str, path: str, depth: int) -> AvroType:
        if len(value) > BRANCHES_LIMIT or not value:
            return self.wrong(
                "HW-S006", path, f"a union of {len(value)} types", why=f"1 to {BRANCHES_LIMIT} are read", fix="cut it"
            )
        branches: list[AvroType] = []
        seen: set[str] = set()
        for index, item in enumerate(value):
            place = f"{path}[{index}]"
            branch = self.read(item, namespace, place, depth + 1)
            label = branch.name if isinstance(branch, Enum | Fixed | Record) else branch.kind
            if branch.kind == "union":
                self.wrong("HW-S006", place, "a union directly within a union", why="Avro has none", fix="merge them")
            elif label in seen:
                self.wrong(
                    "HW-S006", place, f"'{label}' stands twice in a union",
                    why="a decoder could not tell the branches apart", fix="keep one, or name them apart",
                )  # fmt: skip
            seen.add(label)
            branches.append(branch)
        return Union(tuple(branches))

    def _full_name(self, value: Mapping[str, Any], namespace: str, path: str) -> tuple[str, str]:
        """The full name of a definition, and the namespace for what stands inside it."""
        name = value.get("name")
        space = value.get("namespace", namespace)
        if not isinstance(name, str) or not isinstance(space, str | None):
            self.wrong("HW-S003", path, f"this {value.get('type')} has no name", fix='add "name"')
            return "", namespace
        full = name if "." in name or not space else f"{space}.{name}"
        simple = full.rpartition(".")[2]
        if simple in PRIMITIVES or not all(_NAME.match(part) for part in full.split(".")):
            self.wrong(
                "HW-S003", path, f"'{full[:200]}' is not a name",
                why="a name is of letters, digits and _, no digit first, and no primitive type", fix="rename it",
            )  # fmt: skip
        elif full in self.names:
            self.wrong(
                "HW-S004", path, f"'{full}' is defined twice", why="a name stands for one type",
                fix="define it once, then use the name",
            )  # fmt: skip
        return full, full.rpartition(".")[0]

    def _aliases(self, value: Mapping[str, Any], space: str, path: str) -> tuple[str, ...]:
        aliases = value.get("aliases", [])
        if not isinstance(aliases, list) or not all(
            isinstance(alias, str) and all(_NAME.match(part) for part in alias.split(".")) for alias in aliases
        ):
            self.wrong("HW-S014", path, "'aliases' is not a list of names", fix="write a list of names")
            return ()
        return tuple(alias if "." in alias or not space else f"{space}.{alias}" for alias in aliases)

    def _record(self, value: Mapping[str, Any], namespace: str, path: str, depth: int) -> AvroType:
        full, inner = self._full_name(value, namespace, path)
        fields = value.get("fields")
        if not isinstance(fields, list):
            return self.wrong("HW-S011", path, "a record without a list of 'fields'", fix='add "fields"')
        record = Record(
            full, self._aliases(value, inner, path), _others(value, "name", "namespace", "fields", "aliases")
        )
        self.names.setdefault(full, record)
        read: list[Field] = []
        for index, item in enumerate(fields):
            self._field_count += 1
            if self._field_count > FIELDS_LIMIT:
                self.wrong(
                    "HW-S012", path, f"more than {FIELDS_LIMIT} fields", why="no reader can hold it", fix="split"
                )
                break
            field = self._field(item, inner, f"{path}.fields[{index}]", depth)
            if field is not None:
                read.append(field)
        names = [field.name for field in read]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            self.wrong("HW-S011", path, f"the field '{twice}' stands twice", fix="rename or remove one of them")
        object.__setattr__(record, "fields", tuple(read))
        return record

    def _field(self, value: Any, namespace: str, path: str, depth: int) -> Field | None:
        name = value.get("name") if isinstance(value, Mapping) else None
        if not isinstance(name, str) or not _NAME.match(name) or "type" not in value:
            self.wrong(
                "HW-S011", path, "not a field", why="a field has a name (letters, digits and _) and a type",
                fix='write {"name": ..., "type": ...}',
            )  # fmt: skip
            return None
        if value.get("order", "ascending") not in ("ascending", "descending", "ignore"):
            self.wrong("HW-S014", path, "'order' is not ascending, descending or ignore", fix="leave it out")
        path = f"{path}.{name}"
        field_type = self.read(value["type"], namespace, f"{path}.type", depth + 1)
        default = value.get("default", MISSING)
        if default is not MISSING:
            self._defaults.append((name, field_type, default, f"{path}.default"))
        doc = value.get("doc")
        return Field(
            name,
            field_type,
            value["type"],
            default,
            doc if isinstance(doc, str) else "",
            self._aliases(value, "", path),
            _others(value, "name", "default", "aliases"),
        )

    def _enum(self, value: Mapping[str, Any], namespace: str, path: str) -> AvroType:
        full, inner = self._full_name(value, namespace, path)
        symbols = value.get("symbols")
        if not isinstance(symbols, list) or not all(isinstance(s, str) and _NAME.match(s) for s in symbols):
            return self.wrong("HW-S008", path, "an enum without a list of symbols", why="symbols are names", fix="list")
        if len(set(symbols)) != len(symbols) or len(symbols) > SYMBOLS_LIMIT:
            self.wrong("HW-S008", path, f"symbols repeat, or are more than {SYMBOLS_LIMIT}", fix="cut the list")
        default = value.get("default")
        if default is not None and default not in symbols:
            self.wrong("HW-S008", path, "the enum's default is none of its symbols", fix="take one of the symbols")
            default = None
        kept = _others(value, "name", "namespace", "symbols", "default", "aliases")
        enum = Enum(full, tuple(symbols), default, self._aliases(value, inner, path), kept)
        self.names.setdefault(full, enum)
        return enum

    def _fixed(self, value: Mapping[str, Any], namespace: str, path: str) -> AvroType:
        full, inner = self._full_name(value, namespace, path)
        size = value.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= TEXT_LENGTH_LIMIT:
            return self.wrong("HW-S009", path, "a fixed without a size in bytes", fix='add "size"')
        kept = _others(value, "name", "namespace", "size", "aliases")
        logical = self._logical(value, "fixed", path, size)
        fixed = Fixed(full, size, self._aliases(value, inner, path), logical, kept)
        self.names.setdefault(full, fixed)
        return fixed

    def _logical(self, value: Mapping[str, Any], kind: str, path: str, size: int = 0) -> Logical | None:
        name = value.get("logicalType")
        if not isinstance(name, str) or name not in _LOGICAL_BASES:
            return None  # Avro: what is not known is no logical type
        if kind not in _LOGICAL_BASES[name] or (size and size != _FIXED_SIZES.get(name, size)):
            self.wrong("HW-S010", path, f"{name} cannot stand on this {kind}", fix=f"use {_LOGICAL_BASES[name][0]}")
            return None
        if name != "decimal":
            return Logical(name)
        precision, scale = value.get("precision"), value.get("scale", 0)
        whole = all(isinstance(number, int) and not isinstance(number, bool) for number in (precision, scale))
        digits = len(str(2 ** (8 * size - 1) - 1)) - 1 if 0 < size <= 64 else 150
        if not whole or not isinstance(precision, int) or not 0 <= scale <= precision or not 0 < precision <= digits:
            self.wrong(
                "HW-S010", path, f"a decimal needs 0 <= scale <= precision, 0 < precision <= {digits}", fix="mend"
            )
            return None
        return Logical("decimal", precision, scale)


def _others(value: Mapping[str, Any], *known: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != "type" and key not in known}

"""Pairs of Avro schemas, and data that reaches all of the writer's branches, to hold a compatibility checker against.

Everything comes from one `random.Random`, so that a seed is a whole run. A pair is a writer's schema and a mutation of
it for the reader; `features` names what occurs in it, so that a run can show that it met all of them.
"""

from __future__ import annotations

import copy
import json
import struct
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from headwater.schemas.wire import long_bytes

_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_LOGICALS = (
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "int", "logicalType": "date"},
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
)
_UP = {"int": ("long", "float", "double"), "long": ("float", "double"), "float": ("double",), "string": ("bytes",)}
_Path = tuple[str | int, ...]
_NAMED = ("record", "enum", "fixed")
_DEPTH_LIMIT = 24  # of values within values, where a schema contains itself
BODIES_LIMIT = 80  # bodies of one pair; branches beyond are not reached


@dataclass
class Pair:
    """A writer's and a reader's schema as JSON values, complete in themselves, and the features in them."""

    writer: Any
    reader: Any
    features: set[str] = field(default_factory=set)


class PairGenerator:
    """Makes pairs.

    >>> pair = PairGenerator(Random(1)).pair()
    >>> sorted(pair.writer)[:2]
    ['fields', 'name']
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._count = 0
        self._features: set[str] = set()

    def pair(self) -> Pair:
        """The next pair."""
        self._count, self._features = 0, set()
        writer = self._record(0)
        reader = copy.deepcopy(writer)
        for _ in range(self._random.choice((1, 1, 1, 2, 2, 3))):
            self._mutate(reader)
        return Pair(writer, reader, self._features)

    def _name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def _record(self, depth: int) -> dict[str, Any]:
        name = "test." + self._name("Record")
        fields = [self._field(depth) for _ in range(self._random.randint(1, 4 if depth == 0 else 2))]
        if self._random.random() < 0.12:
            self._features.add("recursion")
            fields.append({"name": self._name("next"), "type": ["null", name], "default": None})
        return {"type": "record", "name": name, "fields": fields}

    def _field(self, depth: int) -> dict[str, Any]:
        made = {"name": self._name("f"), "type": self._type(depth)}
        if self._random.random() < 0.3:
            default = default_of(made["type"])
            if default is not Ellipsis:
                self._features.add("defaults")
                made["default"] = default
        return made

    def _type(self, depth: int, *, union: bool = True) -> Any:
        pick = self._random.random()
        if depth > 2 or pick < 0.4:
            return self._random.choice(_PRIMITIVES[1:])
        if pick < 0.5:
            self._features.add("logical types")
            return dict(self._random.choice(_LOGICALS))
        if pick < 0.6:
            symbols = [f"S{index}" for index in range(self._random.randint(1, 4))]
            made: dict[str, Any] = {"type": "enum", "name": "test." + self._name("Enum"), "symbols": symbols}
            if self._random.random() < 0.3:
                made["default"] = symbols[0]
            return made
        if pick < 0.66:
            return {"type": "fixed", "name": "test." + self._name("Fixed"), "size": self._random.randint(1, 4)}
        if pick < 0.73:
            return {"type": "array", "items": self._type(depth + 1)}
        if pick < 0.78:
            return {"type": "map", "values": self._type(depth + 1)}
        if pick < 0.9 or not union:
            return self._record(depth + 1)
        return self._union(depth)

    def _union(self, depth: int) -> list[Any]:
        self._features.add("unions")
        branches: list[Any] = ["null"] if self._random.random() < 0.6 else []
        if self._random.random() < 0.45:
            self._features.add("unions of records")
            branches += [self._record(depth + 1) for _ in range(self._random.randint(1, 2))]
        kinds = {"null"}
        for _ in range(self._random.randint(1, 2)):
            branch = self._type(depth + 1, union=False)
            if isinstance(branch, list):
                continue
            kind = branch if isinstance(branch, str) else branch["type"]
            named = kind in ("record", "enum", "fixed")
            if named or kind not in kinds:
                branches.append(branch)
                kinds.add(kind)
        self._random.shuffle(branches)
        return branches or ["null", "int"]

    def _mutate(self, reader: Any) -> None:
        """One change at a random place; one that finds nothing to change leaves the schema as it is."""
        choices = (
            self._add_field, self._remove_field, self._rename_field, self._change_type, self._promote, self._symbols,
            self._rename_type, self._nullable, self._branches, self._size, self._logical, self._reorder, self._default,
        )  # fmt: skip
        for _ in range(8):
            if self._random.choice(choices)(reader):
                return

    def _pick(self, reader: Any, kind: str) -> Any:
        found = [node for node in nodes_of(reader) if isinstance(node, dict) and node.get("type") == kind]
        return self._random.choice(found) if found else None

    def _picked_field(self, reader: Any) -> Any:
        fields = [item for node in nodes_of(reader) if isinstance(node, dict) for item in node.get("fields", ())]
        return self._random.choice(fields) if fields else None

    def _add_field(self, reader: Any) -> bool:
        record = self._pick(reader, "record")
        added = self._field(1)
        if self._random.random() < 0.7 and "default" not in added:
            default = default_of(added["type"])
            if default is not Ellipsis:
                self._features.add("defaults")
                added["default"] = default
        record["fields"].insert(self._random.randint(0, len(record["fields"])), added)
        return True

    def _remove_field(self, reader: Any) -> bool:
        record = self._pick(reader, "record")
        removed = record["fields"].pop(self._random.randrange(len(record["fields"]))) if record["fields"] else None
        _reattach(reader, removed)
        return removed is not None

    def _rename_field(self, reader: Any) -> bool:
        item = self._picked_field(reader)
        if item is None:
            return False
        old, item["name"] = item["name"], self._name("renamed")
        if self._random.random() < 0.7:
            self._features.add("aliases")
            item["aliases"] = [old]
        return True

    def _change_type(self, reader: Any) -> bool:
        item = self._picked_field(reader)
        if item is None:
            return False
        old, item["type"] = item["type"], self._type(2)
        item.pop("default", None)
        _reattach(reader, old)
        return True

    def _promote(self, reader: Any) -> bool:
        item = self._picked_field(reader)
        places: list[tuple[Any, Any]] = []
        for holder in [item, *nodes_of(item["type"] if item else None)]:
            for key in ("type", "items", "values"):
                kind = holder.get(key) if isinstance(holder, dict) and (key != "type" or holder is item) else None
                if isinstance(kind, str) and kind in _PRIMITIVES[2:]:
                    places.append((holder, key))
        if not places:
            return False
        holder, key = self._random.choice(places)
        old = holder[key]
        wanted = self._random.choice(_UP[old]) if old in _UP and self._random.random() < 0.8 else None
        holder[key] = wanted or self._random.choice(_PRIMITIVES[1:])
        item.pop("default", None)
        if wanted:
            self._features.add("promotions")
        return True

    def _symbols(self, reader: Any) -> bool:
        enum = self._pick(reader, "enum")
        if enum is None:
            return False
        if self._random.random() < 0.5 and len(enum["symbols"]) > 1:
            gone = enum["symbols"].pop()
            if enum.get("default") == gone:
                enum["default"] = enum["symbols"][0]
        else:
            enum["symbols"].append(self._name("S_new"))
        if self._random.random() < 0.4:
            enum["default"] = enum["symbols"][0]
        return _drop_stale_defaults(reader)

    def _rename_type(self, reader: Any) -> bool:
        node = self._pick(reader, self._random.choice(("record", "record", "enum", "fixed")))
        if node is None:
            return False
        old = node["name"]
        new = f"other.{old.rpartition('.')[2]}" if self._random.random() < 0.3 else "test." + self._name("Renamed")
        _rename(reader, old, new)
        if self._random.random() < 0.7:
            self._features.add("aliases")
            node["aliases"] = [old]
        return True

    def _nullable(self, reader: Any) -> bool:
        item = self._picked_field(reader)
        if item is None or item["type"] == "null":
            return False
        item.pop("default", None)
        if not isinstance(item["type"], list):
            item["type"] = ["null", item["type"]]
        elif "null" in item["type"] and len(item["type"]) > 1:
            item["type"].remove("null")
            if len(item["type"]) == 1:
                item["type"] = item["type"][0]
        self._features.add("unions")
        return True

    def _branches(self, reader: Any) -> bool:
        unions = [node for node in nodes_of(reader) if isinstance(node, list)]
        if not unions:
            return False
        union = self._random.choice(unions)
        if self._random.random() < 0.5 and len(union) > 1:
            gone = union.pop(self._random.randrange(len(union)))
            _reattach(reader, gone)
        else:
            kinds = {branch if isinstance(branch, str) else branch["type"] for branch in union}
            new = self._random.choice(_PRIMITIVES)
            if new not in kinds:
                union.insert(self._random.randint(0, len(union)), new)
        return _drop_stale_defaults(reader)

    def _size(self, reader: Any) -> bool:
        fixed = self._pick(reader, "fixed")
        if fixed is None:
            return False
        fixed["size"] = self._random.randint(1, 4)
        return _drop_stale_defaults(reader)

    def _logical(self, reader: Any) -> bool:
        found = [node for node in nodes_of(reader) if isinstance(node, dict) and "logicalType" in node]
        if not found:
            return False
        node = self._random.choice(found)
        self._features.add("logical types")
        if node["logicalType"] == "decimal":
            if self._random.random() < 0.5:
                node["precision"] = self._random.choice((4, 8, 9, 12))
            else:
                node["scale"] = self._random.choice((0, 1, 2, 4))
        elif self._random.random() < 0.5:
            del node["logicalType"]
        elif node["type"] == "long":
            node["logicalType"] = self._random.choice(("timestamp-micros", "timestamp-millis", "time-micros"))
        return True

    def _reorder(self, reader: Any) -> bool:
        record = self._pick(reader, "record")
        texts = json.dumps(record["fields"])
        if any(f'"{name}"' in texts for name in _defined(record["fields"])):
            return False
        self._random.shuffle(record["fields"])
        return True

    def _default(self, reader: Any) -> bool:
        item = self._picked_field(reader)
        if item is None:
            return False
        default = default_of(item["type"])
        if "default" in item or default is Ellipsis:
            item.pop("default", None)
        else:
            self._features.add("defaults")
            item["default"] = default
        return True


def default_of(avro_type: Any) -> Any:
    """A default that fits a type, or `...` where none is at hand."""
    kind = avro_type[0] if isinstance(avro_type, list) else avro_type
    if isinstance(kind, dict):
        if kind["type"] in ("record", "error") or kind.get("logicalType") in ("decimal", "date"):
            return ...
        if kind["type"] == "enum":
            return kind["symbols"][-1]
        if kind["type"] == "fixed":
            return "\x01" * kind["size"]
        kind = kind["type"]
    simple: dict[str, Any] = {
        "null": None, "boolean": True, "int": 7, "long": 8, "float": 1.5, "double": 2.5, "bytes": "ab", "string": "s",
        "array": [], "map": {},
    }  # fmt: skip
    return copy.copy(simple.get(kind, ...))


def nodes_of(avro_type: Any) -> list[Any]:
    """Every object and list within a type's JSON that is a type itself."""
    found: list[Any] = []
    if isinstance(avro_type, list):
        found.append(avro_type)
        for branch in avro_type:
            found += nodes_of(branch)
    elif isinstance(avro_type, dict):
        found.append(avro_type)
        for item in avro_type.get("fields", ()):
            found += nodes_of(item["type"])
        for key in ("items", "values"):
            found += nodes_of(avro_type.get(key))
    return found


def _defined(value: Any) -> set[str]:
    names = set()
    for item in value:
        names |= {node["name"] for node in nodes_of(item["type"]) if isinstance(node, dict) and "name" in node}
    return names & _mentions([item["type"] for item in value])


def _mentions(value: Any) -> set[str]:
    """The names that are used, not defined."""
    if isinstance(value, str):
        return {value} - set(_PRIMITIVES)
    if isinstance(value, list):
        return set().union(*(_mentions(item) for item in value)) if value else set()
    if isinstance(value, dict):
        inner: list[Any] = [item["type"] for item in value.get("fields", ())]
        inner += [value[key] for key in ("items", "values") if key in value]
        return _mentions(inner)
    return set()


def _reattach(reader: Any, removed: Any) -> None:
    """A type that was removed takes uses of its name with it: they become null."""
    if isinstance(removed, dict) and removed.get("type") not in ("record", "enum", "fixed"):
        removed = removed.get("type")  # a field, not a type
    names = {node["name"] for node in nodes_of(removed) if isinstance(node, dict) and "name" in node}
    names -= {node["name"] for node in nodes_of(reader) if isinstance(node, dict) and "name" in node}
    if names:
        _replace_mentions(reader, names)


def _replace_mentions(value: Any, names: set[str]) -> None:
    for node in nodes_of(value):
        if isinstance(node, list):
            node[:] = [branch for branch in node if not (isinstance(branch, str) and branch in names)] or ["null"]
        for item in node.get("fields", ()) if isinstance(node, dict) else ():
            if isinstance(item["type"], str) and item["type"] in names:
                item["type"] = "null"
        for key in ("items", "values"):
            if isinstance(node, dict) and isinstance(node.get(key), str) and node[key] in names:
                node[key] = "null"


def _rename(value: Any, old: str, new: str) -> None:
    for node in nodes_of(value):
        if isinstance(node, list):
            node[:] = [new if branch == old else branch for branch in node]
            continue
        if node.get("name") == old:
            node["name"] = new
        for item in node.get("fields", ()):
            if item["type"] == old:
                item["type"] = new
        for key in ("items", "values"):
            if node.get(key) == old:
                node[key] = new


def _drop_stale_defaults(reader: Any) -> bool:
    for node in nodes_of(reader):
        for item in node.get("fields", ()) if isinstance(node, dict) else ():
            if "default" in item and item["default"] != default_of(item["type"]):
                del item["default"]
    return True


class BodyGenerator:
    """Bodies of a writer's schema, as bytes made by hand, until every branch and symbol was written at every place.

    A place is a path of fields and branches; within a type that contains itself, the first round counts.
    """

    def __init__(self, random: Random, schema: Any) -> None:
        self._random = random
        self._schema = schema
        self._named = {
            node["name"]: node for node in nodes_of(schema) if isinstance(node, dict) and node["type"] in _NAMED
        }
        self._used: Counter[tuple[_Path, int]] = Counter()
        self._choices: dict[_Path, int] = {}
        self._register(schema, (), frozenset())

    def bodies(self) -> list[bytes]:
        """Bodies that together reach everything, as far as `BODIES_LIMIT` goes."""
        made: list[bytes] = []
        while len(made) < BODIES_LIMIT and (len(made) < 3 or not self._reached(())):
            made.append(self._value(self._schema, ()))
        return made

    def _register(self, value: Any, path: _Path, above: frozenset[str]) -> None:
        value = self._named.get(value, value) if isinstance(value, str) else value
        if isinstance(value, str) or (isinstance(value, dict) and value.get("name") in above):
            return
        if isinstance(value, list):
            self._choices[path] = len(value)
            for index, branch in enumerate(value):
                self._register(branch, (*path, index), above)
            return
        if value["type"] == "enum":
            self._choices[path] = len(value["symbols"])
        for item in value.get("fields", ()):
            self._register(item["type"], (*path, item["name"]), above | {value["name"]})
        for key in ("items", "values"):
            if key in value:
                self._register(value[key], (*path, key), above)

    def _reached(self, path: _Path) -> bool:
        """Whether all choices from a place on were made at least once."""
        for place, count in self._choices.items():
            if place[: len(path)] == path and not all(self._used[place, index] for index in range(count)):
                return False
        return True

    def _choose(self, node: Any, count: int, path: _Path) -> int:
        if len(path) > _DEPTH_LIMIT and isinstance(node, list) and "null" in node:
            return node.index("null")
        wanted = list(range(count))
        if isinstance(node, list):  # where there is still something to reach, if anywhere
            missing = [i for i in wanted if not self._used[path, i] or not self._reached((*path, i))]
            wanted = missing or wanted
        least = min(self._used[path, index] for index in wanted)
        index = self._random.choice([i for i in wanted if self._used[path, i] == least])
        self._used[path, index] += 1
        return index

    def _value(self, avro_type: Any, path: _Path) -> bytes:
        if isinstance(avro_type, list):
            index = self._choose(avro_type, len(avro_type), path)
            return long_bytes(index) + self._value(avro_type[index], (*path, index))
        if isinstance(avro_type, str):
            named = self._named.get(avro_type)
            return self._primitive(avro_type) if named is None else self._value(named, path)
        kind = avro_type["type"]
        if kind == "record":
            return b"".join(self._value(item["type"], (*path, item["name"])) for item in avro_type["fields"])
        if kind == "enum":
            return long_bytes(self._choose(avro_type, len(avro_type["symbols"]), path))
        if kind == "fixed":
            return self._random.randbytes(int(avro_type["size"]))
        if kind in ("array", "map"):
            return self._collection(avro_type, path)
        if avro_type.get("logicalType") == "decimal":
            body = self._random.randint(-999, 999).to_bytes(2, "big", signed=True)
            return long_bytes(len(body)) + body
        if avro_type.get("logicalType") == "date":
            return long_bytes(self._random.randint(-10_000, 50_000))
        if "logicalType" in avro_type:
            return long_bytes(self._random.randint(0, 80_000_000_000))
        return self._primitive(kind)

    def _collection(self, avro_type: Any, path: _Path) -> bytes:
        count = 0 if len(path) > _DEPTH_LIMIT else self._random.randint(1, 2)
        body = long_bytes(count) if count else b""
        for index in range(count):
            if avro_type["type"] == "map":
                body += long_bytes(2) + f"k{index}".encode()
            part = "items" if avro_type["type"] == "array" else "values"
            body += self._value(avro_type[part], (*path, part))
        return body + b"\0"

    def _primitive(self, kind: str) -> bytes:
        random = self._random
        if kind == "null":
            return b""
        if kind == "boolean":
            return random.choice((b"\0", b"\1"))
        if kind == "int":
            return long_bytes(random.choice((0, 1, -1, 2**31 - 1, -(2**31), random.randint(-1000, 1000))))
        if kind == "long":
            return long_bytes(random.choice((0, 2**40, -(2**40), 2**52, random.randint(-1000, 1000))))
        if kind == "float":
            return struct.pack("<f", random.uniform(-10, 10))
        if kind == "double":
            return struct.pack("<d", random.uniform(-10, 10))
        text = random.choice(("", "a", "é", "word")).encode()  # bytes too: what is read as string must be UTF-8
        return long_bytes(len(text)) + text

"""The shapes of lists and mappings, made of the shapes of single values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headwater.contracts import strict_yaml
from headwater.contracts.shape import Reading, Shape, Text, nearest, wrong_kind
from headwater.contracts.strict_yaml import Node, Scalar

LIST_LIMIT = 1000  # of any list or open mapping in a contract


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list whose items have one shape. Where `distinct`, no text stands in it twice."""

    item: Shape
    least: int = 0
    most: int = LIST_LIMIT
    distinct: bool = False

    def read(self, node: Node, reading: Reading, path: str) -> tuple[Any, ...] | None:
        """The items that could be read."""
        if not isinstance(node, strict_yaml.Sequence):
            wrong_kind(node, reading, path, "a list")
            return None
        place = (node.line, node.column)
        count = len(node.items)
        if not self.least <= count <= self.most:
            wanted = f"at least {self.least}" if count < self.least else f"at most {self.most}"
            why = f"it has {count} item{'' if count == 1 else 's'}, and {wanted} must stand here"
            fix = "add what is missing" if count < self.least else "remove the others"
            reading.find("HW-C021", path, place, "the list does not have the right length", why=why, fix=fix)
            return None
        seen: dict[str, int] = {}
        values = []
        for index, item in enumerate(node.items):
            item_path = f"{path}[{index}]"
            reading.places[item_path] = (item.line, item.column)
            if self.distinct and isinstance(item, Scalar):
                if item.text in seen:
                    message, why = f"'{item.text[:40]}' stands twice in the list", f"first in line {seen[item.text]}"
                    reading.find("HW-C022", item_path, (item.line, item.column), message, why=why, fix="keep one")
                    continue
                seen[item.text] = item.line
            value = self.item.read(item, reading, item_path)
            if value is not None:
                values.append(value)
        return tuple(values)

    def json_schema(self) -> dict[str, Any]:
        """An array."""
        schema: dict[str, Any] = {"type": "array", "items": self.item.json_schema(), "maxItems": self.most}
        if self.least:
            schema["minItems"] = self.least
        if self.distinct:
            schema["uniqueItems"] = True
        return schema


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a record: its shape, what it says (one sentence, shown by editors), and whether it must be there."""

    shape: Shape
    says: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with known keys; any other key is a finding that names the nearest known one."""

    title: str
    keys: Mapping[str, Key]

    def read(self, node: Node, reading: Reading, path: str) -> dict[str, Any] | None:
        """The values by key; what is missing or wrong is left out."""
        if not isinstance(node, strict_yaml.Mapping):
            wrong_kind(node, reading, path, f"a mapping ({self.title})")
            return None
        values: dict[str, Any] = {}
        present = {key.text for key, _ in node.entries}
        for key, value_node in node.entries:
            key_path = f"{path}.{key.text}" if path else key.text
            if key.text not in self.keys:
                present.add(self._unknown(key, reading, key_path))  # a key misspelt is not missing as well
                continue
            reading.places[key_path] = (value_node.line, value_node.column)
            value = self.keys[key.text].shape.read(value_node, reading, key_path)
            if value is not None:
                values[key.text] = value
        for name, key_declared in self.keys.items():
            if key_declared.required and name not in present:
                key_path = f"{path}.{name}" if path else name
                message = f"the key '{name}' is missing in {self.title}"
                fix = f"add {name}: ..."
                place = (node.line, node.column)
                reading.find("HW-C024", key_path, place, message, why=key_declared.says.rstrip("."), fix=fix)
        return values

    def _unknown(self, key: Scalar, reading: Reading, path: str) -> str:
        near = nearest(key.text, self.keys)
        why = f"{self.title} has the keys " + ", ".join(self.keys)
        fix = f"write {near}" if near else "remove it"
        message = f"unknown key '{key.text[:40]}'"
        reading.find("HW-C025", path, (key.line, key.column), message, why=why, fix=fix)
        return near

    def json_schema(self) -> dict[str, Any]:
        """An object without further properties."""
        properties = {name: {**key.shape.json_schema(), "description": key.says} for name, key in self.keys.items()}
        required = [name for name, key in self.keys.items() if key.required]
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping whose keys have one form and whose values have one shape."""

    key: Text
    value: Shape
    least: int = 0

    def read(self, node: Node, reading: Reading, path: str) -> dict[str, Any] | None:
        """The values that could be read."""
        if not isinstance(node, strict_yaml.Mapping):
            wrong_kind(node, reading, path, "a mapping")
            return None
        if not self.least <= len(node.entries) <= LIST_LIMIT:
            why = f"at least {self.least} and at most {LIST_LIMIT:,} must stand here"
            message, place = "the mapping has too few or too many keys", (node.line, node.column)
            reading.find("HW-C026", path, place, message, why=why, fix="add what is missing, or remove the others")
            return None
        values: dict[str, Any] = {}
        for key, value_node in node.entries:
            key_path = f"{path}.{key.text}"
            reading.places[key_path] = (value_node.line, value_node.column)
            name = self.key.read(key, reading, key_path)
            value = self.value.read(value_node, reading, key_path)
            if name is not None and value is not None:
                values[name] = value
        return values

    def json_schema(self) -> dict[str, Any]:
        """An object whose property names have a pattern."""
        schema: dict[str, Any] = {
            "type": "object",
            "propertyNames": {"pattern": f"^(?:{self.key.pattern})$", "maxLength": self.key.length_limit},
            "additionalProperties": self.value.json_schema(),
            "maxProperties": LIST_LIMIT,
        }
        return {**schema, "minProperties": self.least} if self.least else schema

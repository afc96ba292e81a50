"""Reads `schemas/avro`: every schema of a mesh by its full name, each after those that it refers to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headwater.errors import Finding, InvalidFiles
from headwater.schemas.avro import Schema, parse
from headwater.schemas.parsing import TEXT_LENGTH_LIMIT, read_json
from headwater.schemas.types import PRIMITIVES

SUFFIX = ".avsc"


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """A schema and where it stands; `file` is relative to the mesh, with `/`, `text` what stands in it."""

    file: str
    path: Path
    schema: Schema
    references: tuple[str, ...]
    text: str = field(default="", repr=False)


def read_tree(folder: Path, *, root: Path | None = None) -> dict[str, SchemaFile]:
    """All schemas under a folder, by full name; raises `InvalidFiles` with every finding of every file.

    `<domain>/<product>/<Name>.avsc` holds `<domain>.<product>.<Name>`. Files are named relative to `root`.
    """
    tree, findings = survey_tree(folder, root=root)
    if findings:
        raise InvalidFiles(findings)
    return tree


def survey_tree(folder: Path, *, root: Path | None = None) -> tuple[dict[str, SchemaFile], list[Finding]]:
    """The schemas that can be read, by full name, and every finding of the files that cannot."""
    return _Tree(folder, root or folder).read()


def read_schema(path: Path, references: Mapping[str, str | Schema] | None = None) -> Schema:
    """One schema's file; raises `InvalidFiles`."""
    return parse(read_text(path, str(path)), references, file=str(path))


def read_text(path: Path, file: str) -> str:
    """A file's text, bounded; raises `InvalidFiles` HW-S060 where it cannot be read."""
    try:
        if path.stat().st_size > TEXT_LENGTH_LIMIT * 4:
            raise ValueError("the file is too large for a schema")
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        what = (
            "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", "") or str(error)
        )
        finding = Finding(
            "HW-S060", "error", file, 0, 0, "", f"the file cannot be read: {what}", "it should hold one Avro schema",
            "look at the file and its rights",
        )  # fmt: skip
        raise InvalidFiles([finding]) from None


class _Tree:
    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = root
        self._findings: list[Finding] = []
        self._texts: dict[str, tuple[str, Path, str, Any]] = {}
        self._read: dict[str, SchemaFile | None] = {}

    def read(self) -> tuple[dict[str, SchemaFile], list[Finding]]:
        for path in sorted(self._folder.rglob(f"*{SUFFIX}")):
            self._open(path)
        for name in self._texts:
            self._schema(name, ())
        return {name: found for name, found in sorted(self._read.items()) if found is not None}, self._findings

    def _open(self, path: Path) -> None:
        file = path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else str(path)
        parts = path.relative_to(self._folder).with_suffix("").parts
        try:
            text = read_text(path, file)
            value = read_json(text, file)
        except InvalidFiles as invalid:
            self._findings.extend(invalid.findings)
            return
        expected = ".".join(parts)
        name = _root_name(value)
        if name != expected:
            self._findings.append(
                Finding(
                    "HW-S061", "error", file, 1, 1, "", f"the file defines {name or 'no named type'}, not {expected}",
                    "a schema's place is its name: others find it by that", f"name it {expected}, or move the file",
                )
            )  # fmt: skip
            return
        self._texts[name] = (file, path, text, value)

    def _schema(self, name: str, above: tuple[str, ...]) -> SchemaFile | None:
        """The schema of a name, after those that it refers to."""
        if name in self._read:
            return self._read[name]
        file, path, text, value = self._texts[name]
        if name in above:
            ring = " -> ".join((*above[above.index(name) :], name))
            self._findings.append(
                Finding(
                    "HW-S062", "error", file, 1, 1, "", f"schemas refer to each other in a ring: {ring}",
                    "none of them could be registered first", "put the types that need each other into one file",
                )
            )  # fmt: skip
            self._read[name] = None
            return None
        direct = sorted({used for used in _names_used(value, "") if used in self._texts and used != name})
        found: dict[str, Schema] = {}
        for used in direct:
            referred = self._schema(used, (*above, name))
            if referred is None:
                self._read[name] = None
                return None
            found[used] = referred.schema
        if self._read.get(name, ...) is None:
            return None
        try:
            read = SchemaFile(file, path, parse(text, found, file=file), tuple(direct), text)
        except InvalidFiles as invalid:
            self._findings.extend(invalid.findings)
            self._read[name] = None
            return None
        self._read[name] = read
        return read


def _root_name(value: Any) -> str:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return ""
    name, space = value["name"], value.get("namespace")
    return name if "." in name or not isinstance(space, str) or not space else f"{space}.{name}"


def _names_used(value: Any, namespace: str) -> Iterator[str]:
    """Every name that may stand for a type of another file."""
    if isinstance(value, str):
        if value not in PRIMITIVES:
            yield value
            if namespace and "." not in value:
                yield f"{namespace}.{value}"
    elif isinstance(value, list):
        for item in value:
            yield from _names_used(item, namespace)
    elif isinstance(value, dict):
        name = _root_name({**value, "namespace": value.get("namespace", namespace)})
        inner = name.rpartition(".")[0] if name else namespace
        for key in ("type", "items", "values"):
            if key in value:
                yield from _names_used(value[key], inner)
        for field in value.get("fields") or () if isinstance(value.get("fields"), list) else ():
            yield from _names_used(field.get("type") if isinstance(field, dict) else None, inner)

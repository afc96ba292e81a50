"""Names and texts for generated Python: classes, fields, enum members, literals and docstrings that are always valid.

An Avro name is any identifier, a Python one may be a keyword, hide a type that an annotation needs, or be a method of
the class around it: such a name gets an underscore at its end, always the same, whatever stands beside it.
"""

from __future__ import annotations

import builtins
import keyword
import re
import textwrap
from collections.abc import Iterable

WIDTH = 88  # columns: what the common formatters leave as it is

_ANNOTATIONS = frozenset((
    "Annotated", "Any", "AwareDatetime", "AfterValidator", "BaseModel", "ConfigDict", "Decimal", "Field", "Instant",
    "Int32", "Int64", "Mapping", "Callable", "Self", "StrEnum", "UUID", "Context", "Inexact", "InvalidOperation",
))  # fmt: skip
_ALIAS = re.compile(r"(Decimal\d+x\d+|Bytes\d+)\Z")
_IN_CLASS_BODIES = frozenset((
    "bool", "bytes", "dict", "float", "int", "list", "str", "dt", "dataclasses", "classmethod", "self", "cls",
    "to_record", "from_record",
))  # fmt: skip
# Public names of pydantic's BaseModel: a field of that name would hide a method.
_OF_MODELS = frozenset((
    "construct", "copy", "dict", "from_orm", "json", "model_computed_fields", "model_config", "model_construct",
    "model_copy", "model_dump", "model_dump_json", "model_extra", "model_fields", "model_fields_set",
    "model_json_schema", "model_parametrized_name", "model_post_init", "model_rebuild", "model_validate",
    "model_validate_json", "model_validate_strings", "parse_file", "parse_obj", "parse_raw", "schema",
    "schema_json", "update_forward_refs", "validate",
))  # fmt: skip


class ClassNames:
    """Gives each named type a class name of its own: the first keeps its simple name, others take their namespace's."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def take(self, full_name: str, kind: str, wanted: str = "") -> str:
        """The class name of a type; `wanted` in place of its own.

        >>> names = ClassNames()
        >>> names.take("a.b.Leg", "record"), names.take("c.d.Leg", "record"), names.take("x.exception", "record")
        ('Leg', 'DLeg', 'ExceptionRecord')
        """
        *space, simple = (wanted or full_name).split(".")
        name = _camel(simple) or "Type"
        if name in _ANNOTATIONS or _ALIAS.match(name) or hasattr(builtins, name) or keyword.iskeyword(name):
            name += kind.capitalize()
        for part in reversed(space):
            if name in self.taken:
                name = _camel(part) + name
        self.taken.add(unique := _free(name, self.taken))
        return unique


def field_names(names: Iterable[str], *, model: bool, classes: Iterable[str]) -> dict[str, str]:
    """The attribute of each field, by the field's name; `model` where the class is pydantic's.

    >>> field_names(["id", "class", "_id", "copy"], model=True, classes=[])
    {'id': 'id', 'class': 'class_', '_id': 'id_', 'copy': 'copy_'}
    """
    reserved = _IN_CLASS_BODIES | _ANNOTATIONS | frozenset(classes) | (_OF_MODELS if model else frozenset())
    fields = list(names)
    kept = {name for name in fields if _fine(name, reserved)}
    attributes: dict[str, str] = {}
    for name in fields:
        if name in kept:
            attributes[name] = name
            continue
        stem = name.strip("_")
        stem = f"field_{stem}" if not stem or stem[0].isdigit() else stem
        attribute = stem if _fine(stem, reserved) and stem not in kept and name[0] != "_" else stem + "_"
        while attribute in kept or attribute in attributes.values():
            attribute += "_"
        attributes[name] = attribute
    return attributes


def member_names(symbols: Iterable[str]) -> dict[str, str]:
    """The constant of each symbol of an enum.

    >>> member_names(["assert", "OnTime", "ontime", "on_time"])
    {'assert': 'ASSERT', 'OnTime': 'ON_TIME', 'ontime': 'ONTIME', 'on_time': 'ON_TIME_2'}
    """
    members: dict[str, str] = {}
    for symbol in symbols:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", symbol).upper().strip("_")
        name = f"SYMBOL_{name}" if not name or name[0].isdigit() else name
        members[symbol] = _free(name, set(members.values()))
    return members


def snake(name: str) -> str:
    """A class name in the form of a function's.

    >>> snake("HourlyPunctuality")
    'hourly_punctuality'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def text_literal(text: str) -> str:
    """A string literal, quoted as formatters like it.

    >>> print(text_literal('a "b"'), text_literal("it's\\n"))
    'a "b"' "it's\\n"
    """
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_escaped(character, quote) for character in text) + quote


def bytes_literal(body: bytes) -> str:
    """A literal of bytes.

    >>> print(bytes_literal(b"a\\xff"))
    b"a\\xff"
    """
    plain = [chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in body]
    return 'b"' + "".join(plain) + '"'


def docstring(text: str, indent: int) -> list[str]:
    """A docstring's lines, wrapped; none where there is nothing to say."""
    clean = "".join(character if character.isprintable() else " " for character in text)
    words = " ".join(clean.split()).replace("\\", "\\\\")
    words = re.sub(r'"{2,}|"$', lambda quotes: '\\"' * len(quotes[0]), words)
    if not words:
        return []
    if words.startswith('"'):
        words = " " + words  # or the quotes would run together
    space = " " * indent
    if len(space) + len(words) + 6 <= WIDTH:
        return [f'{space}"""{words}"""']
    options = {"width": WIDTH - indent, "break_long_words": False, "break_on_hyphens": False}
    first, *rest = textwrap.wrap(words, initial_indent="123", drop_whitespace=True, **options)  # type: ignore[arg-type]
    return [f'{space}"""{first[3:]}', *(space + line for line in rest), f'{space}"""']


def _fine(name: str, reserved: frozenset[str]) -> bool:
    return name not in reserved and not keyword.iskeyword(name) and name[0] != "_"


def _camel(name: str) -> str:
    parts = [part for part in name.split("_") if part]
    camel = "".join(part[0].upper() + part[1:] for part in parts)
    return f"Type{camel}" if camel[:1].isdigit() else camel


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def _escaped(character: str, quote: str) -> str:
    if character in ("\\", quote):
        return "\\" + character
    if character in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"

"""Python source for the records of a schema: pydantic models or dataclasses that need nothing of Headwater.

Pure text from values: the same schemas give the same source, byte for byte. Records become classes with `to_record`
and `from_record`, which speak the codec's form (instants in microseconds, enums and UUIDs as text); enums become
`StrEnum`s. What a record says about its fields is kept: docs as docstrings, defaults, marks for personal data and the
role of a field (key, times) as metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from headwater.errors import CallerFault
from headwater.schemas.annotations import tags
from headwater.schemas.avro import Schema, parts_of
from headwater.schemas.typed_names import WIDTH, ClassNames, docstring, field_names, member_names, snake, text_literal
from headwater.schemas.typed_support import complete, early_support, import_lines, late_support
from headwater.schemas.typed_values import Form, Style, Values
from headwater.schemas.types import AvroType, Enum, Field, Record, Union

__all__ = ["Root", "Style", "generate"]

_ROLES: Final = {
    "event_id": "identity",
    "occurred_at": "valid time",
    "valid_from": "valid time",
    "valid_to": "valid time",
    "recorded_at": "recorded time",
    "kind": "kind",
    "revision": "revision",
}


@dataclass(frozen=True, slots=True)
class Root:
    """A record to generate. `class_name` in place of its own; `key` names the fields of the contract's key."""

    schema: Schema
    class_name: str = ""
    key: tuple[str, ...] = ()


def generate(roots: Sequence[Root], style: Style, *, about: str) -> str:
    """The source of one module with the records of these schemas and all that they hold.

    Types that are the same in several of them become one class. Raises `CallerFault` HW-S090 for what is no record.

    >>> from headwater.schemas.avro import parse
    >>> schema = parse('{"type": "record", "name": "a.b.R", "fields": [{"name": "x", "type": "long"}]}')
    >>> "class R:" in generate([Root(schema)], "dataclass", about="a.b")
    True
    """
    for root in roots:
        if not isinstance(root.schema.type, Record):
            raise CallerFault(
                f"{root.schema.name} is no record: there is no class to make of it",
                code="HW-S090",
                hint="name a product, or a schema whose type is a record",
            )
    return _Module(roots, style).text(about)


class _Module:
    """One module: all its types named first, then written."""

    def __init__(self, roots: Sequence[Root], style: Style) -> None:
        self._roots = roots
        self._style = style
        self._classes: dict[tuple[str, str], str] = {}
        self._types: list[Record | Enum] = []
        self._by_identity: dict[Record | Enum, str] = {}
        names = ClassNames()
        for root in roots:
            self._collect(root.schema.type, names, root.class_name)
        enums = (item for item in self._types if isinstance(item, Enum))
        self._members = {self._by_identity[item]: member_names(item.symbols) for item in enums}
        self._attributes = {
            self._by_identity[item]: field_names(
                (part.name for part in item.fields), model=style == "pydantic", classes=names.taken
            )
            for item in self._types
            if isinstance(item, Record)
        }
        self._values = Values(style, self._by_identity.__getitem__, self._members, self._attributes)
        self._root_records = {root.schema.type: root for root in roots}

    def _collect(self, avro_type: AvroType, names: ClassNames, wanted: str = "") -> None:
        """Name every record and enum, the outermost first; write them the other way round."""
        if isinstance(avro_type, Record | Enum):
            if avro_type in self._by_identity:
                return
            identity = (avro_type.name, _spelled(avro_type))
            known = self._classes.get(identity)
            if known is not None and not wanted:
                self._by_identity[avro_type] = known
                for part in parts_of(avro_type):
                    self._collect(part, names)
                return
            name = names.take(avro_type.name, avro_type.kind, wanted)
            self._classes[identity] = self._by_identity[avro_type] = name
        for part in parts_of(avro_type):
            self._collect(part, names)
        if isinstance(avro_type, Record | Enum):
            self._types.append(avro_type)

    def text(self, about: str) -> str:
        enums = [self._enum(item) for item in self._types if isinstance(item, Enum)]
        records = [self._record(item) for item in self._types if isinstance(item, Record)]
        values = self._values
        values.needs |= {"typing:Any", "typing:Self", "collections.abc:Mapping"}
        values.needs |= {"enum:StrEnum"} if enums else set()
        model = self._style == "pydantic"
        values.needs |= {"pydantic:BaseModel", "pydantic:ConfigDict"} if model else {"dataclasses"}
        needs = complete(values.needs)
        aliases = "".join(f"{text}\n" for _, text in sorted(values.aliases.items()))
        checks = [text for _, text in sorted(values.checks.items())]
        definitions = [*enums, *([_MODEL] if model else []), *records, *values.functions, *checks, *late_support(needs)]
        head = [*self._head(about), "", "from __future__ import annotations", "", *import_lines(needs)]
        parts = ["\n".join(head) + "\n", *early_support(needs), *([aliases] if aliases else []), *definitions]
        return _joined(parts)

    def _head(self, about: str) -> list[str]:
        sources = [
            f"{self._by_identity[root.schema.type]} from {root.schema.name}, fingerprint {root.schema.fingerprint:016x}"
            for root in self._roots
            if isinstance(root.schema.type, Record)
        ]
        lines = [f'"""The records of {about} as Python types.', ""]
        lines += [f"Made by `headwater schema generate --style {self._style}`. Do not edit: make it again where a"]
        lines += ["schema changes.", "", *(f"- {source}" for source in dict.fromkeys(sources)), '"""']
        mixed = any(name != name.lower() for names in self._attributes.values() for name in names.values())
        return [*lines, *(["", "# ruff: noqa: N815 - fields keep the names of the schema"] if mixed else [])]

    def _enum(self, enum: Enum) -> str:
        name = self._by_identity[enum]
        lines = [f"class {name}(StrEnum):", *_about(enum)]
        members = [f"    {self._members[name][symbol]} = {text_literal(symbol)}" for symbol in enum.symbols]
        return "\n".join([*lines, *([""] if members else []), *members]) + "\n"

    def _record(self, record: Record) -> str:
        name, root = self._by_identity[record], self._root_records.get(record)
        lines = ["@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)"] * (self._style == "dataclass")
        lines += [f"class {name}(_Model):" if self._style == "pydantic" else f"class {name}:"]
        lines += _about(record)
        forms: list[tuple[Field, str, Form]] = []
        for index, item in enumerate(record.fields):
            attribute = self._attributes[name][item.name]
            form = self._values.form(item.type, f"{snake(name)}_{attribute}".rstrip("_"))
            forms.append((item, attribute, form))
            lines += [""] * (index == 0)
            lines += self._field(item, attribute, form.annotation, root)
            lines += docstring(item.doc, 4)
        return "\n".join([*lines, "", *self._to_record(forms), "", *self._from_record(forms)]) + "\n"

    def _field(self, item: Field, attribute: str, annotation: str, root: Root | None) -> list[str]:
        default = self._default(item)
        marks = _marks(item, root)
        head = f"    {attribute}: {annotation}"
        if not default and not marks:
            return [head]
        if not marks and not default.startswith("default_factory="):
            return [f"{head} = {default.removeprefix('default=')}"]
        arguments = [part for part in (default, self._marks_argument(marks)) if part]
        if self._style == "pydantic":
            self._values.needs.add("pydantic:Field")
        call = "Field" if self._style == "pydantic" else "dataclasses.field"
        return _call(f"{head} = {call}", arguments, 4)

    def _default(self, item: Field) -> str:
        if not item.optional:
            return ""
        try:
            text = self._values.default(item)
        except ValueError:
            return ""  # an instant that Python cannot hold: whoever makes the record must say
        if text in ("[]", "{}"):
            return "default_factory=" + ("list" if text == "[]" else "dict")
        avro_type = item.type.branches[0] if isinstance(item.type, Union) else item.type
        plain = avro_type.kind not in ("array", "map", "record")
        return f"default={text}" if plain else f"default_factory=lambda: {text}"

    def _marks_argument(self, marks: dict[str, list[str]]) -> str:
        if not marks:
            return ""
        pairs = (f'"{key}": [{", ".join(map(text_literal, names))}]' for key, names in marks.items())
        return f"{'json_schema_extra' if self._style == 'pydantic' else 'metadata'}={{{', '.join(pairs)}}}"

    def _to_record(self, forms: list[tuple[Field, str, Form]]) -> Iterator[str]:
        yield "    def to_record(self) -> dict[str, Any]:"
        yield '        """The record as a codec takes it; raises `ValueError` for what does not fit."""'
        if not forms:
            yield "        return {}"
            return
        yield "        return {"
        for item, attribute, form in forms:
            self._values.use(form)
            yield from _entry(f"{text_literal(item.name)}: ", form.writing(f"self.{attribute}"))
        yield "        }"

    def _from_record(self, forms: list[tuple[Field, str, Form]]) -> Iterator[str]:
        yield "    @classmethod"
        yield "    def from_record(cls, record: Mapping[str, Any]) -> Self:"
        yield '        """The value of a record as a codec gives it, with every field."""'
        if not forms:
            yield "        return cls()"
            return
        yield "        return cls("
        for item, attribute, form in forms:
            yield from _entry(f"{attribute}=", form.reading(f"record[{text_literal(item.name)}]"))
        yield "        )"


_MODEL = '''\
class _Model(BaseModel):
    """Strict and frozen; descriptions are the texts below the fields."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        strict=True,
        use_attribute_docstrings=True,
    )
'''


def _entry(head: str, expression: str) -> list[str]:
    """An entry of a dict or a call, its own call broken where it is too long for a line."""
    line = f"            {head}{expression},"
    if len(line) <= WIDTH or not expression.endswith(")"):
        return [line]
    function, _, arguments = expression.removesuffix(")").partition("(")
    if not arguments:
        return [line]
    parts = [f"                {part}," for part in arguments.split(", ")]
    return [f"            {head}{function}(", *parts, "            ),"]


def _call(head: str, arguments: list[str], indent: int) -> list[str]:
    line = f"{head}({', '.join(arguments)})"
    if len(line) <= WIDTH:
        return [line]
    space = " " * (indent + 4)
    return [f"{head}(", *(f"{space}{argument}," for argument in arguments), " " * indent + ")"]


def _marks(item: Field, root: Root | None) -> dict[str, list[str]]:
    """The roles of a field, which only the outermost record's fields have, and its marks for personal data."""
    roles = []
    if root is not None:
        roles = [role for role in ("key" if item.name in root.key else "", _ROLES.get(item.name, "")) if role]
    marked: dict[str, Any] = {"roles": roles, "tags": list(tags(item))}
    return {key: names for key, names in marked.items() if names}


def _about(item: Record | Enum) -> list[str]:
    """The docstring of a class: the schema's text, else the full name."""
    doc = item.attributes.get("doc")
    return (docstring(doc, 4) if isinstance(doc, str) else []) or docstring(f"{item.name}.", 4)


def _spelled(avro_type: Record | Enum) -> str:
    """A type written out whole: equal for types that say the same."""
    return repr(Schema("", (), None, avro_type).inlined)


def _joined(parts: Sequence[str]) -> str:
    """Definitions two lines apart; what is a constant one line from what stands before it."""
    text = parts[0]
    for part in parts[1:]:
        block = part.startswith(("class ", "def ", "@"))
        text += ("\n\n" if block or text.rstrip().rpartition("\n")[2].startswith(" ") else "\n") + part
    return text

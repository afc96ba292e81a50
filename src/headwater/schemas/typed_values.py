"""What a type looks like in generated Python: its annotation, and how values go to a codec's record and back.

A conversion is the name of a function, so that lists and optional values can be built of it; values that are the same
on both sides have none. Lists, maps and unions get functions of their own, written into the module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from headwater.schemas.defaults import default_value
from headwater.schemas.logical import python_logical, uuid_text
from headwater.schemas.typed_names import WIDTH, bytes_literal, text_literal
from headwater.schemas.typed_support import decimal_check, size_check
from headwater.schemas.types import (
    Array,
    AvroType,
    Enum,
    Field,
    Fixed,
    Logical,
    Map,
    Primitive,
    Record,
    Union,
    logical_of,
)

Style = Literal["pydantic", "dataclass"]
_PLAIN = {"null": "None", "boolean": "bool", "float": "float", "double": "float", "bytes": "bytes", "string": "str"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Form:
    """A type in Python. `to_record` and `from_record` name functions, empty where nothing is to be done."""

    annotation: str
    to_record: str = ""
    from_record: str = ""
    optional: bool = False

    def writing(self, value: str) -> str:
        """The expression that makes the record's value of this value."""
        method = self.to_record.endswith(".to_record") and not self.optional
        return f"{value}.to_record()" if method else self._called(self.to_record, value)

    def reading(self, value: str) -> str:
        """The expression that makes the value of the record's."""
        return self._called(self.from_record, value)

    def _called(self, function: str, value: str) -> str:
        if not function:
            return value
        return f"_optional({function}, {value})" if self.optional else f"{function}({value})"


@dataclass
class Values:
    """Forms of the types of one module; gathers the functions and imports that they need.

    `class_of` gives the class name of a record or enum, `members` the constants of an enum's symbols.
    """

    style: Style
    class_of: Callable[[Record | Enum], str]
    members: Mapping[str, Mapping[str, str]]
    attributes: Mapping[str, Mapping[str, str]]
    needs: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)
    functions: list[str] = field(default_factory=list)
    checks: dict[str, str] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def form(self, avro_type: AvroType, place: str) -> Form:
        """The form of a type; `place` names the functions that are written for it."""
        if isinstance(avro_type, Record):
            name = self.class_of(avro_type)
            return Form(name, f"{name}.to_record", f"{name}.from_record")
        if isinstance(avro_type, Enum):
            return Form(self.class_of(avro_type), "str", self.class_of(avro_type))
        if isinstance(avro_type, Array):
            return self._list(avro_type, place)
        if isinstance(avro_type, Map):
            return self._dict(avro_type, place)
        if isinstance(avro_type, Union):
            return self._union(avro_type, place)
        logical = logical_of(avro_type)
        if logical is not None and (made := self._logical(avro_type, logical)) is not None:
            return made
        if isinstance(avro_type, Fixed):
            return self._fixed(avro_type)
        if avro_type.kind in ("int", "long"):
            bits = 32 if avro_type.kind == "int" else 64
            limits = f"ge=-(2**{bits - 1}), le=2**{bits - 1} - 1"
            return Form(self._alias(f"Int{bits}", "int", limits))
        return Form(_PLAIN[avro_type.kind])

    def _logical(self, avro_type: AvroType, logical: Logical) -> Form | None:
        if logical.name in ("timestamp-micros", "timestamp-millis"):
            back = "_microseconds" if logical.name == "timestamp-micros" else "_whole_milliseconds"
            self.needs |= {back, "_instant", "datetime as dt"}
            return Form(self._instant(), back, "_instant")
        if logical.name == "decimal":
            precision, scale = logical.precision, logical.scale
            self.needs |= {"decimal:Decimal", "_exact"}
            name, text = decimal_check(precision, scale)
            self.checks[name] = text
            limits = f"max_digits={precision}, decimal_places={scale}"
            return Form(self._alias(f"Decimal{precision}x{scale}", "Decimal", limits), name)
        if logical.name == "date":
            self.needs.add("datetime as dt")
            return Form("dt.date")
        if logical.name == "uuid":
            self.needs |= {"uuid:UUID", "_uuid"}
            return Form("UUID", "str", "_uuid")
        return None  # the number, or the bytes, that Avro carries

    def _fixed(self, fixed: Fixed) -> Form:
        name, text = size_check(fixed.size)
        self.checks[name] = text
        self.needs.add("_sized")
        limits = f"min_length={fixed.size}, max_length={fixed.size}"
        return Form(self._alias(f"Bytes{fixed.size}", "bytes", limits), name)

    def _alias(self, name: str, plain: str, limits: str) -> str:
        if self.style != "pydantic":
            return plain
        self.needs |= {"typing:Annotated", "pydantic:Field"}
        self.aliases[name] = f"{name} = Annotated[{plain}, Field({limits})]"
        return name

    def _instant(self) -> str:
        if self.style != "pydantic":
            return "dt.datetime"
        self.needs |= {"typing:Annotated", "pydantic:AfterValidator", "pydantic:AwareDatetime", "_in_utc"}
        self.aliases["Instant"] = "Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]"
        return "Instant"

    def _list(self, array: Array, place: str) -> Form:
        item = self.form(array.items, f"{place}_item")
        self.use(item)
        to = self._gathered(place, "to", item.to_record and item.writing("item"), mapping=False)
        back = self._gathered(place, "from", item.from_record and item.reading("item"), mapping=False)
        return Form(f"list[{item.annotation}]", to, back)

    def _dict(self, mapping: Map, place: str) -> Form:
        item = self.form(mapping.values, f"{place}_value")
        self.use(item)
        to = self._gathered(place, "to", item.to_record and item.writing("item"), mapping=True)
        back = self._gathered(place, "from", item.from_record and item.reading("item"), mapping=True)
        return Form(f"dict[str, {item.annotation}]", to, back)

    def use(self, form: Form) -> None:
        """Note what calling the conversions of a form needs."""
        if form.optional and (form.to_record or form.from_record):
            self.needs.add("_optional")

    def _gathered(self, place: str, way: str, converted: str, *, mapping: bool) -> str:
        """The function that converts each item; a loop where the comprehension would be too long for a line."""
        if not converted:
            return ""
        if mapping:
            short = f"    return {{key: {converted} for key, item in value.items()}}"
            long = ["    made = {}", "    for key, item in value.items():", f"        made[key] = {converted}"]
        else:
            short = f"    return [{converted} for item in value]"
            long = ["    made = []", "    for item in value:", f"        made.append({converted})"]
        return self._write(place, way, [short] if len(short) <= WIDTH else [*long, "    return made"])

    def _write(self, place: str, way: str, body: list[str]) -> str:
        name, number = f"_{place}_{way}_record", 2
        while name in self._names:
            name, number = f"_{place}_{number}_{way}_record", number + 1
        self._names.add(name)
        self.functions.append("\n".join([f"def {name}(value: Any) -> Any:", *body]) + "\n")
        return name

    def _union(self, union: Union, place: str) -> Form:
        branches = [branch for branch in union.branches if branch.kind != "null"]
        nullable = len(branches) < len(union.branches)
        if not branches:
            return Form("None")
        if len(branches) == 1:
            only = self.form(branches[0], place)
            if not nullable:
                return only
            return Form(f"{only.annotation} | None", only.to_record, only.from_record, optional=True)
        forms = [self.form(branch, f"{place}_{index}") for index, branch in enumerate(union.branches, 1)
                 if branch.kind != "null"]  # fmt: skip
        annotations = list(dict.fromkeys(form.annotation for form in forms)) + ["None"] * nullable
        annotation = " | ".join(annotations)
        pairs = list(zip(branches, forms, strict=True))
        to = self._write(place, "to", self._union_to(pairs)) if any(form.to_record for form in forms) else ""
        back = self._write(place, "from", self._union_from(pairs)) if any(form.from_record for form in forms) else ""
        return Form(annotation, to, back, optional=nullable)

    def _union_to(self, pairs: list[tuple[AvroType, Form]]) -> list[str]:
        lines: list[str] = []
        for branch, form in pairs:
            if form.to_record:
                converted = form.writing("value")
                lines += self._attempt(_made_test(branch, form), converted, sure=not form.to_record.startswith("_"))
        return [*lines, "    return value"]

    def _union_from(self, pairs: list[tuple[AvroType, Form]]) -> list[str]:
        lines: list[str] = []
        # Records before maps: both are dicts, and only a record says which keys it has.
        for branch, form in sorted(pairs, key=lambda pair: pair[0].kind == "map"):
            if form.from_record or branch.kind == "int":
                lines += self._attempt(_read_test(branch), form.reading("value"), sure=not form.from_record)
            elif branch.kind == "string":
                lines += self._attempt("isinstance(value, str)", "value", sure=True)
            elif branch.kind == "map":
                lines += self._attempt("isinstance(value, dict)", "value", sure=True)
            elif branch.kind == "long":
                lines += self._attempt("type(value) is int", "value", sure=True)
        return [*lines, "    return value"]

    def _attempt(self, test: str, result: str, *, sure: bool) -> list[str]:
        if sure:
            return [f"    if {test}:", f"        return {result}"]
        self.needs.add("contextlib")
        quiet = "        with contextlib.suppress(KeyError, TypeError, ValueError):"
        return [f"    if {test}:", quiet, f"            return {result}"]

    def default(self, item: Field) -> str:
        """The expression of a field's default; raises `ValueError` for one that Python cannot hold."""
        try:
            return self.literal(item.type, default_value(item.type, item.default))
        except (OverflowError, ValueError):  # an instant before the year 1, a text that is no UUID
            raise ValueError("a default that Python cannot hold") from None

    def literal(self, avro_type: AvroType, value: Any) -> str:
        """The expression of a value as a codec gives it."""
        if isinstance(avro_type, Union):
            return self.literal(avro_type.branches[0], value)
        if isinstance(avro_type, Array):
            return f"[{', '.join(self.literal(avro_type.items, item) for item in value)}]"
        if isinstance(avro_type, Map):
            pairs = (f"{text_literal(key)}: {self.literal(avro_type.values, item)}" for key, item in value.items())
            return f"{{{', '.join(pairs)}}}"
        if isinstance(avro_type, Record):
            names = self.attributes[self.class_of(avro_type)]
            parts = (f"{names[f.name]}={self.literal(f.type, value[f.name])}" for f in avro_type.fields)
            return f"{self.class_of(avro_type)}({', '.join(parts)})"
        if isinstance(avro_type, Enum):
            name = self.class_of(avro_type)
            return f"{name}.{self.members[name][value]}"
        return self._scalar(avro_type, value)

    def _scalar(self, avro_type: Primitive | Fixed, value: Any) -> str:
        logical = logical_of(avro_type)
        kind = logical.name if logical else ""
        if kind in ("timestamp-micros", "timestamp-millis"):
            at = _EPOCH + timedelta(microseconds=value)
            parts = [at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond]
            while len(parts) > 3 and not parts[-1]:
                parts.pop()
            return f"dt.datetime({', '.join(map(str, parts))}, tzinfo=dt.UTC)"
        if isinstance(value, date):
            return f"dt.date({value.year}, {value.month}, {value.day})"
        if isinstance(value, Decimal):
            return f'Decimal("{value}")'
        if python_logical(avro_type) is not None and kind == "uuid":
            return f'UUID("{uuid_text(value)}")'
        if isinstance(value, bytes):
            return bytes_literal(value)
        return text_literal(value) if isinstance(value, str) else repr(value)


def _made_test(branch: AvroType, form: Form) -> str:
    """Whether a Python value is of a branch: for those whose values are converted."""
    if isinstance(branch, Record | Enum):
        return f"isinstance(value, {form.annotation})"
    kinds = {"array": "list", "map": "dict"}
    if branch.kind in kinds:
        return f"isinstance(value, {kinds[branch.kind]})"
    logical = logical_of(branch)
    if logical is None:
        return "isinstance(value, bytes)"
    known = {"decimal": "Decimal", "uuid": "UUID"}
    return f"isinstance(value, {known.get(logical.name, 'dt.datetime' if branch.kind == 'long' else 'bytes')})"


def _read_test(branch: AvroType) -> str:
    """Whether a record's value may be of a branch."""
    if isinstance(branch, Record):
        return f"isinstance(value, dict) and len(value) == {len(branch.fields)}"
    logical = logical_of(branch)
    if isinstance(branch, Enum) or (logical is not None and logical.name == "uuid"):
        return "isinstance(value, str)"
    if branch.kind == "int":
        return "type(value) is int and -(2**31) <= value < 2**31"
    tests = {"array": "isinstance(value, list)", "map": "isinstance(value, dict)"}
    return tests.get(branch.kind, "type(value) is int")

"""Whether a reader's schema can read all that a writer's schema may have written, and if not: where, why, what to do.

The verdict is what decoders do. Avro's resolution leaves room where a reader's union has several branches that match;
decoders choose differently there, so every branch that one of them may choose has to fit. What decodes but then means
something else (another unit of time, another scale) is refused too: no decoder will say so later.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from headwater.errors import Severity
from headwater.schemas.avro import Schema
from headwater.schemas.types import (
    Array,
    AvroType,
    Enum,
    Field,
    Fixed,
    Logical,
    Map,
    Named,
    Record,
    Union,
    logical_of,
    type_name,
)

BREAKS_LIMIT = 200  # findings of one comparison; more help nobody
PROMOTIONS = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
_LOSSY = {("long", "float"), ("long", "double"), ("int", "float")}


@dataclass(frozen=True, slots=True)
class Break:
    """One thing that a reader meets: severity `error` where it cannot read, `warning` where it reads something else.

    The paths are those of the schemas' JSON, with the field's name after its index: `.fields[2].delay.type`.
    """

    code: str
    severity: Severity
    reader_path: str
    writer_path: str
    reader: str
    writer: str
    message: str
    why: str
    fix: str

    def as_json(self) -> dict[str, object]:
        """As the published JSON form has it."""
        return asdict(self)


def compare(reader: Schema, writer: Schema) -> list[Break]:
    """What keeps the reader's schema from reading what the writer's wrote; without errors in it, it can read all.

    >>> from headwater.schemas.avro import parse
    >>> [found.message for found in compare(parse('"int"'), parse('"long"'))]
    ['a reader of int cannot read long']
    """
    comparison = _Comparison()
    comparison.types(reader.type, writer.type, "", "")
    return comparison.found


class _Comparison:
    """One walk over both schemas at once. A pair of named types is looked at once: records may contain themselves."""

    def __init__(self) -> None:
        self.found: list[Break] = []
        self._seen: set[tuple[AvroType, AvroType]] = set()

    def note(
        self, code: str, sides: tuple[AvroType, AvroType, str, str], message: str, *, why: str, fix: str,
        severity: Severity = "error",
    ) -> None:  # fmt: skip
        """Keep one finding; `sides` are reader, writer and their paths."""
        reader, writer, reader_path, writer_path = sides
        if len(self.found) < BREAKS_LIMIT:
            self.found.append(
                Break(
                    code, severity, reader_path, writer_path, type_name(reader), type_name(writer), message, why, fix
                )
            )  # fmt: skip

    def types(self, reader: AvroType, writer: AvroType, reader_path: str, writer_path: str) -> None:
        """Compare two types at their paths."""
        sides = (reader, writer, reader_path, writer_path)
        if isinstance(writer, Union):
            for index, branch in enumerate(writer.branches):
                self.types(reader, branch, reader_path, f"{writer_path}[{index}]")
            return
        if isinstance(reader, Union):
            self._reader_union(reader, writer, reader_path, writer_path)
            return
        if isinstance(reader, Enum | Fixed | Record) or isinstance(writer, Enum | Fixed | Record):
            self._named(sides)
            return
        if isinstance(reader, Array) and isinstance(writer, Array):
            self.types(reader.items, writer.items, f"{reader_path}.items", f"{writer_path}.items")
            return
        if isinstance(reader, Map) and isinstance(writer, Map):
            self.types(reader.values, writer.values, f"{reader_path}.values", f"{writer_path}.values")
            return
        if reader.kind == writer.kind:
            self._logical(sides)
            return
        if reader.kind in PROMOTIONS.get(writer.kind, ()):
            self._promotion(sides)
            return
        self._mismatch(sides)

    def _mismatch(self, sides: tuple[AvroType, AvroType, str, str]) -> None:
        reader, writer = type_name(sides[0]), type_name(sides[1])
        self.note(
            "HW-S101", sides, f"a reader of {reader} cannot read {writer}",
            why="the bytes are laid out in another way, and Avro promotes only int, long, float, double in this order, "
            "and string and bytes to each other",
            fix="keep the type; for another type add a field with a default beside it, and retire this one later",
        )  # fmt: skip

    def _promotion(self, sides: tuple[AvroType, AvroType, str, str]) -> None:
        reader, writer = sides[0], sides[1]
        logical = logical_of(writer)
        if logical is not None or logical_of(reader) is not None:
            self._logical(sides)
        if (writer.kind, reader.kind) in _LOSSY:
            self.note(
                "HW-S111", sides, f"{writer.kind} is read as {reader.kind}",
                severity="warning",
                why="large numbers are rounded", fix="read it as double, or keep the whole number",
            )  # fmt: skip
        elif writer.kind == "string":
            self.note(
                "HW-S116", sides, "string is read as bytes",
                severity="info",
                why="Avro promotes it, but Python's avro package does not", fix="read it as string",
            )  # fmt: skip
        elif writer.kind == "bytes":
            self.note(
                "HW-S112", sides, "bytes are read as string",
                severity="warning",
                why="bytes that are not UTF-8 cannot be read", fix="keep bytes, unless all of them are text",
            )  # fmt: skip

    def _logical(self, sides: tuple[AvroType, AvroType, str, str]) -> None:
        reader, writer = logical_of(sides[0]), logical_of(sides[1])
        if _same_logical(reader, writer):
            return
        theirs = writer.text() if writer else "no logical type"
        said = f"{theirs} is read as {reader.text() if reader else 'a plain value'}"
        if reader is not None and writer is not None:
            self.note(
                "HW-S107", sides, said,
                why="the bytes decode, but stand for other values, and no decoder notices",
                fix="keep the logical type, its precision and its scale; for another add a field with a default",
            )  # fmt: skip
        else:
            self.note(
                "HW-S113", sides, said, severity="warning",
                why="readers get a value of another kind from the same bytes",
                fix="keep the logical type as it was, or make sure that no reader relies on it",
            )  # fmt: skip

    def _named(self, sides: tuple[AvroType, AvroType, str, str]) -> None:
        reader, writer, reader_path, writer_path = sides
        if reader.kind != writer.kind:
            self._mismatch(sides)
            return
        assert isinstance(reader, Enum | Fixed | Record) and isinstance(writer, Enum | Fixed | Record)
        if (reader, writer) in self._seen:
            return
        self._seen.add((reader, writer))
        self._name(reader, writer, sides)
        if isinstance(reader, Record) and isinstance(writer, Record):
            self._fields(reader, writer, reader_path, writer_path)
        elif isinstance(reader, Enum) and isinstance(writer, Enum):
            self._symbols(reader, writer, sides)
        elif isinstance(reader, Fixed) and isinstance(writer, Fixed):
            if reader.size != writer.size:
                self.note(
                    "HW-S105", sides, f"{reader.name} has {reader.size} bytes, not {writer.size}",
                    why="every value after it would be read from the wrong place",
                    fix="keep the size; for another define a new fixed and add a field with a default",
                )  # fmt: skip
            self._logical(sides)

    def _name(self, reader: Named, writer: Named, sides: tuple[AvroType, AvroType, str, str]) -> None:
        if reader.name == writer.name:
            return
        if writer.name in reader.aliases:
            self._alias(sides, writer.name, reader.name)
            return
        if same_simple_name(reader, writer):
            self.note(
                "HW-S110", sides, f"{writer.name} is read as {reader.name}: only the namespace differs",
                severity="warning",
                why="Avro matches simple names; decoders that compare full names refuse it",
                fix=f'add "aliases": ["{writer.name}"] to the reader, or keep the namespace',
            )  # fmt: skip
            return
        self.note(
            "HW-S104", sides, f"the reader calls {reader.kind} {writer.name} {reader.name}",
            why="decoders match records, enums and fixed by name",
            fix=f'keep the name, or add "aliases": ["{writer.name}"] to {reader.name}',
        )  # fmt: skip

    def _alias(self, sides: tuple[AvroType, AvroType, str, str], theirs: str, ours: str) -> None:
        self.note(
            "HW-S114", sides, f"{theirs} is read as {ours}, through an alias",
            severity="info",
            why="decoders know aliases, but for Python's avro package", fix="keep the name, if such readers matter",
        )  # fmt: skip

    def _symbols(self, reader: Enum, writer: Enum, sides: tuple[AvroType, AvroType, str, str]) -> None:
        unknown = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
        if unknown and reader.default is not None:
            self.note(
                "HW-S115", sides, f"{_listed(unknown)} of enum {writer.name} is read as {reader.default}",
                severity="info",
                why="it is the enum's default; Python's avro package does not know such defaults",
                fix=f"add the symbols to {reader.name} to see them",
            )  # fmt: skip
        elif unknown:
            self.note(
                "HW-S103", sides, f"the reader does not know {_listed(unknown)} of enum {writer.name}",
                why="a record that carries it cannot be read",
                fix=f"keep the symbols in {reader.name}, or give the enum a default: all must read with that before "
                "new symbols are written",
            )  # fmt: skip

    def _fields(self, reader: Record, writer: Record, reader_path: str, writer_path: str) -> None:
        written = {field.name: (index, field) for index, field in enumerate(writer.fields)}
        names = {field.name for field in reader.fields}
        claimed: dict[str, str] = {}
        for index, field in enumerate(reader.fields):
            path = f"{reader_path}.fields[{index}].{field.name}"
            source = field.name if field.name in written else next((a for a in field.aliases if a in written), None)
            if source is None:
                if not field.optional:
                    self._absent(field, writer, path, writer_path)
                continue
            if source != field.name and (source in names or source in claimed):
                other = claimed.get(source, source)
                self.note(
                    "HW-S108", (field.type, written[source][1].type, path, writer_path),
                    f"'{field.name}' and '{other}' both claim the writer's field '{source}'",
                    why="decoders give it to one of them, and not to the same one",
                    fix=f"remove the alias '{source}' from '{field.name}', or rename '{other}'",
                )  # fmt: skip
                continue
            claimed[source] = field.name
            place, theirs = written[source]
            if source != field.name:
                sides = (field.type, theirs.type, path, f"{writer_path}.fields[{place}].{source}")
                self._alias(sides, f"'{source}'", f"'{field.name}'")
            self.types(field.type, theirs.type, f"{path}.type", f"{writer_path}.fields[{place}].{theirs.name}.type")

    def _absent(self, field: Field, writer: Record, path: str, writer_path: str) -> None:
        self.note(
            "HW-S102", (field.type, writer, path, writer_path),
            f"the reader's field '{field.name}' is not in {writer.name}, and has no default",
            why="a record without it cannot be read",
            fix=f"give '{field.name}' a default in the reader's schema, or, if it was renamed, an alias: its old name",
        )  # fmt: skip

    def _reader_union(self, reader: Union, writer: AvroType, reader_path: str, writer_path: str) -> None:
        candidates = _candidates(reader, writer)
        for index in candidates:
            self.types(reader.branches[index], writer, f"{reader_path}[{index}]", writer_path)
        if not candidates:
            self.note(
                "HW-S106", (reader, writer, reader_path, writer_path),
                f"the reader's union has no branch for {type_name(writer)}",
                why="a value of it cannot be read", fix=f"keep {type_name(writer)} in the union",
            )  # fmt: skip


def same_simple_name(reader: Named, writer: Named) -> bool:
    """Whether two names are the same without their namespaces."""
    return reader.name.rpartition(".")[2] == writer.name.rpartition(".")[2]


def _candidates(reader: Union, writer: AvroType) -> list[int]:
    """The branches that some decoder may choose: the exact one, and the first that matches at first sight."""
    exact = [index for index, branch in enumerate(reader.branches) if _exact(branch, writer)]
    loose = [index for index, branch in enumerate(reader.branches) if _loose(branch, writer)]
    return sorted({*exact[:1], *loose[:1]})


def _exact(reader: AvroType, writer: AvroType) -> bool:
    if isinstance(reader, Enum | Fixed | Record) and isinstance(writer, Enum | Fixed | Record):
        return reader.kind == writer.kind and reader.name == writer.name
    return reader.kind == writer.kind and not isinstance(reader, Enum | Fixed | Record)


def _loose(reader: AvroType, writer: AvroType) -> bool:
    if isinstance(reader, Enum | Fixed | Record) and isinstance(writer, Enum | Fixed | Record):
        named = same_simple_name(reader, writer) or writer.name in reader.aliases
        sized = not (isinstance(reader, Fixed) and isinstance(writer, Fixed)) or reader.size == writer.size
        return reader.kind == writer.kind and named and sized
    return reader.kind == writer.kind or reader.kind in PROMOTIONS.get(writer.kind, ())


def _same_logical(one: Logical | None, other: Logical | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.name, one.precision, one.scale) == (other.name, other.precision, other.scale)


def _listed(symbols: list[str]) -> str:
    shown = ", ".join(symbols[:5])
    return f"{shown} and {len(symbols) - 5} more" if len(symbols) > 5 else shown

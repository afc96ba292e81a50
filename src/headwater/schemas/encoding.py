"""A record to Avro bytes: one strict function per schema, which refuses what fastavro's writer would let through.

Each field must be there, or have a default; no field may be more; a whole number is an int in range, no bool and no
float; text is str; an instant is int microseconds. The bytes are canonical: the shortest varints, one block per array.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from headwater.errors import Misfit
from headwater.schemas import logical, wire
from headwater.schemas.decoding import INLINE_DEPTH_LIMIT, self_containing
from headwater.schemas.defaults import default_value
from headwater.schemas.generated import Source
from headwater.schemas.matching import matcher
from headwater.schemas.types import FLOATS, MISSING, Array, AvroType, Enum, Fixed, Map, Primitive, Record, Union
from headwater.schemas.wire import Damage

_Choice = tuple[bytes, Callable[[Any], bool], Callable[[Any, int], bytes], bool]


def compile_encoder(avro_type: AvroType, name: str) -> Callable[[Any], bytes]:
    """A function from a value to bytes; raises `Misfit` with the field, never anything else."""
    return _Encoder(name).compile(avro_type)


class _Encoder:
    def __init__(self, name: str) -> None:
        self._name = name
        self._functions: dict[AvroType, str] = {}
        self._inlined: set[AvroType] = set()
        self._choices: list[tuple[list[_Choice], Union, list[str]]] = []
        self._source = Source(
            {
                "SMALL": wire.SMALL_NUMBERS.get,
                "long_bytes": wire.long_bytes,
                "int_bytes": wire.int_bytes,
                "Damage": Damage,
                "MISSING": MISSING,
                "pack_float": struct.Struct("<f").pack,
                "pack_double": struct.Struct("<d").pack,
                "date_to_day": logical.date_to_day,
                "milliseconds": logical.milliseconds,
                "decimal_to_bytes": logical.decimal_to_bytes,
                "uuid_text": logical.uuid_text,
                "uuid_to_bytes": logical.uuid_to_bytes,
                "whole": _whole,
                "number": _number,
                "octets": _octets,
                "items_of": _items_of,
                "wrong": _wrong,
                "unknown": _unknown,
                "pick": _pick,
            }
        )

    def compile(self, avro_type: AvroType) -> Callable[[Any], bytes]:
        source = self._source
        source.names["misfit"] = self._misfit
        source.add("def encode(value):")
        source.indent()
        source.add("try:")
        source.indent()
        source.add(f"return {_joined(self._value(source, avro_type, 'value', '', 0, '0'))}")
        source.dedent()
        source.add("except Exception as error: raise misfit(error) from None")
        names = source.compile()
        for choices, union, functions in self._choices:
            for index, (branch, function) in enumerate(zip(union.branches, functions, strict=True)):
                choices.append((wire.long_bytes(index), matcher(branch), names[function], branch.kind in FLOATS))
            # A whole number fits a float, but a large one not without loss: whole branches are asked first.
            choices.sort(key=lambda choice: choice[3])
        encode: Callable[[Any], bytes] = names["encode"]
        return encode

    def _misfit(self, error: Exception) -> Misfit:
        field = self._source.field_at(error.__traceback__)
        if isinstance(error, Damage):
            what = str(error)
        elif isinstance(error, KeyError):
            what = "missing, and without a default"
        elif isinstance(error, UnicodeEncodeError):
            what = "text that UTF-8 cannot carry"
        elif isinstance(error, struct.error | OverflowError):
            what = "a number that does not fit"
        else:
            what = "a value of another type"
        place = f"field '{field}' of {self._name}" if field else self._name
        return Misfit(
            f"{place}: {what}",
            code="HW-S030",
            field=field,
            detail="the record does not fit its schema",
            hint="give the value that the schema asks for, or change the schema first",
        )

    def _value(self, source: Source, avro_type: AvroType, value: str, path: str, level: int, depth: str) -> list[str]:
        """Lines that turn the value of an expression into bytes; the expressions of the pieces."""
        if isinstance(avro_type, Record):
            if level > INLINE_DEPTH_LIMIT or avro_type in self._inlined or self_containing(avro_type):
                return self._call(source, avro_type, value, path, depth)
            self._inlined.add(avro_type)
            return self._record(source, avro_type, value, path, level, depth)
        if isinstance(avro_type, Array | Map | Union) and level > INLINE_DEPTH_LIMIT:
            return self._call(source, avro_type, value, path, depth)
        if isinstance(avro_type, Array | Map):
            return self._collection(source, avro_type, value, path, level, depth)
        if isinstance(avro_type, Union):
            return self._union(source, avro_type, value, path, level, depth)
        if isinstance(avro_type, Enum):
            symbols = {symbol: wire.long_bytes(index) for index, symbol in enumerate(avro_type.symbols)}
            target = source.fresh("p")
            get = source.constant(symbols.get)
            source.add(f"{target} = {get}({value}) or wrong('none of the symbols')", path)
            return [target]
        if isinstance(avro_type, Fixed):
            return [self._fixed(source, avro_type, value, path)]
        return self._primitive(source, avro_type, value, path)

    def _function(self, avro_type: AvroType, path: str) -> str:
        """The name of a function (value, depth) -> bytes for a type, built when it is first wanted."""
        if avro_type in self._functions:
            return self._functions[avro_type]
        name = self._functions[avro_type] = self._source.fresh("part_")

        def build(inner: Source) -> None:
            inner.add(f"def {name}(value, depth):")
            inner.indent()
            inner.add(f"if depth > {wire.DEPTH_LIMIT}: raise Damage('values are nested too deeply')", path)
            if isinstance(avro_type, Record):
                pieces = self._record(inner, avro_type, "value", path, 0, "depth")
            else:
                pieces = self._value(inner, avro_type, "value", path, 0, "depth")
            inner.add(f"return {_joined(pieces)}", path)

        self._source.function(build)
        return name

    def _call(self, source: Source, avro_type: AvroType, value: str, path: str, depth: str) -> list[str]:
        name = self._function(avro_type, path)
        target = source.fresh("p")
        source.add(f"{target} = {name}({value}, {depth} + 1)", path)
        return [target]

    def _record(self, source: Source, record: Record, value: str, path: str, level: int, depth: str) -> list[str]:
        absent = source.fresh("m") if any(field.optional for field in record.fields) else ""
        if absent:
            source.add(f"{absent} = 0")
        pieces: list[str] = []
        for field in record.fields:
            inner = f"{path}.{field.name}" if path else field.name
            item = source.fresh("v")
            if field.optional:
                default = source.constant(default_value(field.type, field.default))
                source.add(f"{item} = {value}.get({field.name!r}, MISSING)", path)
                source.add(f"if {item} is MISSING: {item} = {default}; {absent} += 1")
            else:
                source.add(f"{item} = {value}[{field.name!r}]", inner)
            pieces += self._value(source, field.type, item, inner, level + 1, depth)
        names = source.constant(frozenset(field.name for field in record.fields))
        count = f"len({value}) + {absent}" if absent else f"len({value})"
        source.add(f"if {count} != {len(record.fields)}: unknown({value}, {names})", path)
        return pieces

    def _collection(
        self, source: Source, avro_type: Array | Map, value: str, path: str, level: int, depth: str
    ) -> list[str]:
        pieces, add, item = source.fresh("q"), source.fresh("f"), source.fresh("x")
        mapping = isinstance(avro_type, Map)
        items = source.fresh("v")
        source.add(f"{items} = items_of({value}, {'dict' if mapping else 'list'})", path)
        source.add(f"{pieces} = []; {add} = {pieces}.append")
        source.add(f"if {items}: {add}(SMALL(len({items})) or long_bytes(len({items})))")
        if isinstance(avro_type, Map):
            key = source.fresh("k")
            source.add(f"for {key}, {item} in {items}.items():")
            source.indent()
            parts = self._text(source, key, path)
            parts += self._value(source, avro_type.values, item, path, level + 2, depth)
        else:
            source.add(f"for {item} in {items}:")
            source.indent()
            parts = self._value(source, avro_type.items, item, path, level + 2, depth)
        source.add(f"{add}({_joined(parts)})")
        source.dedent()
        source.add(f"{add}(b'\\0')")
        return [f"b''.join({pieces})"]

    def _union(self, source: Source, union: Union, value: str, path: str, level: int, depth: str) -> list[str]:
        target = source.fresh("p")
        kinds = [branch.kind for branch in union.branches]
        if len(kinds) == 2 and "null" in kinds:
            null = kinds.index("null")
            source.add(f"if {value} is None: {target} = {wire.long_bytes(null)!r}")
            source.add("else:")
            source.indent()
            pieces = self._value(source, union.branches[1 - null], value, path, level + 1, depth)
            source.add(f"{target} = {' + '.join([repr(wire.long_bytes(1 - null)), *pieces])}")
            source.dedent()
            return [target]
        choices: list[_Choice] = []
        functions = [self._branch(branch, path) for branch in union.branches]
        self._choices.append((choices, union, functions))
        source.add(f"{target} = pick({value}, {depth} + 1, {source.constant(choices)})", path)
        return [target]

    def _branch(self, branch: AvroType, path: str) -> str:
        if isinstance(branch, Record):
            self._inlined.add(branch)
        return self._function(branch, path)

    def _fixed(self, source: Source, fixed: Fixed, value: str, path: str) -> str:
        target = source.fresh("p")
        name = fixed.logical.name if fixed.logical else ""
        if fixed.logical is not None and name == "decimal":
            precision, scale = fixed.logical.precision, fixed.logical.scale
            source.add(f"{target} = decimal_to_bytes({value}, {precision}, {scale}, {fixed.size})", path)
        elif name == "uuid":
            source.add(f"{target} = uuid_to_bytes({value})", path)
        else:
            source.add(f"{target} = octets({value})", path)
            source.add(f"if len({target}) != {fixed.size}: raise Damage('not {fixed.size} bytes')", path)
        return target

    def _primitive(self, source: Source, primitive: Primitive, value: str, path: str) -> list[str]:
        kind, name = primitive.kind, primitive.logical.name if primitive.logical else ""
        if kind == "null":
            source.add(f"if {value} is not None: raise Damage('not null')", path)
            return ["b''"]
        if kind == "string":
            if name == "uuid":
                source.add(f"uuid_text({value})", path)
            return self._text(source, value, path)
        target = source.fresh("p")
        if kind == "boolean":
            source.add(
                f"{target} = b'\\1' if {value} is True else b'\\0' if {value} is False else wrong('not a boolean')",
                path,
            )
        elif kind == "bytes":
            if primitive.logical is not None and name == "decimal":
                precision, scale = primitive.logical.precision, primitive.logical.scale
                source.add(f"{target} = decimal_to_bytes({value}, {precision}, {scale})", path)
            else:
                source.add(f"{target} = octets({value})", path)
            return [f"(SMALL(len({target})) or long_bytes(len({target})))", target]
        elif kind in ("float", "double"):
            source.add(f"if type({value}) is not float: {value} = number({value})", path)
            source.add(f"{target} = pack_{kind}({value})", path)
        else:
            if name == "date":
                source.add(f"{value} = date_to_day({value})", path)
            source.add(f"if type({value}) is not int: {value} = whole({value})", path)
            if name == "timestamp-millis":
                source.add(f"{value} = milliseconds({value})", path)
            if name.startswith("timestamp"):  # never small
                source.add(f"{target} = long_bytes({value})", path)
            else:
                source.add(f"{target} = SMALL({value}) or {kind}_bytes({value})", path)
        return [target]

    def _text(self, source: Source, value: str, path: str) -> list[str]:
        target, length = source.fresh("p"), source.fresh("n")
        source.add(f"{target} = {value}.encode() if type({value}) is str else wrong_text({value})", path)
        source.add(f"{length} = len({target}); {length} = SMALL({length}) or long_bytes({length})")
        source.names["wrong_text"] = _text_bytes
        return [length, target]


def _joined(pieces: list[str]) -> str:
    return pieces[0] if len(pieces) == 1 else f"b''.join(({', '.join(pieces)}))"


def _wrong(what: str) -> NoReturn:
    raise Damage(what)


def _text_bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise Damage("not text")
    return value.encode()


def _whole(value: Any) -> int:
    """An int from a subclass of int, such as an instant."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Damage("not a whole number")
    return int(value)


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Damage("not a number")
    return float(value)


def _octets(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if not isinstance(value, bytes | bytearray | memoryview):
        raise Damage("not bytes")
    return bytes(value)


def _items_of(value: Any, kind: type) -> Any:
    if not (isinstance(value, Mapping) if kind is dict else isinstance(value, list | tuple)):
        raise Damage("not a map" if kind is dict else "not a list")
    return value


def _unknown(value: Any, names: frozenset[str]) -> None:
    others = [str(name)[:60] for name in value if name not in names]
    if others:
        raise Damage(f"a field that the schema does not have: '{others[0]}'")


def _pick(value: Any, depth: int, choices: list[_Choice]) -> bytes:
    """The branch of a union that takes a value: the first that fits."""
    for index, fits, encode, _ in choices:
        if fits(value):
            try:
                return index + encode(value, depth)
            except (Damage, KeyError, TypeError, AttributeError, ValueError, OverflowError):
                continue  # another branch may take it
    raise Damage("fits no branch of the union")

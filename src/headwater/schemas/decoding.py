"""Avro bytes to a record: one strict function per schema.

Every check sits in the same pass as the reading: the shortest varints only, indexes in range, lengths and counts held
against the bytes that are left, depth bounded, text in UTF-8, nothing left over. No bytes can crash it.
fastavro, whose C code overflows the stack on nested values and takes negative indexes and trailing bytes, is the
oracle of the tests; for the records of products this function is also faster.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

from headwater.errors import CallerFault, Misfit
from headwater.schemas import logical, wire
from headwater.schemas.generated import Source
from headwater.schemas.types import Array, AvroType, Enum, Fixed, Map, Primitive, Record, Union
from headwater.schemas.wire import Damage

INLINE_DEPTH_LIMIT = 4  # deeper types get functions of their own: Python bounds nested blocks
BYTE_VALUES = 64  # indexes up to here take one byte


def compile_decoder(avro_type: AvroType, name: str) -> Callable[..., Any]:
    """A function from bytes (and an offset to start at) to a value; raises `Misfit`, never anything else.

    Raises `CallerFault` HW-S016 for a schema whose values cannot be bounded: items of arrays that take no bytes.
    """
    return _Decoder(name).compile(avro_type)


class _Decoder:
    def __init__(self, name: str) -> None:
        self._name = name
        self._functions: dict[AvroType, str] = {}
        self._inlined: set[AvroType] = set()
        self._widths: dict[AvroType, int] = {}
        self._source = Source(
            {
                "read_long": wire.read_long,
                "read_int": wire.read_int,
                "read_length": wire.read_length,
                "read_block": wire.read_block,
                "SMALL": wire.SMALL_VALUES,
                "Damage": Damage,
                "BOOLEANS": {0: False, 1: True},
                "read_float": Struct("<f").unpack_from,
                "read_double": Struct("<d").unpack_from,
                "day_to_date": logical.day_to_date,
                "unscaled_to_decimal": logical.unscaled_to_decimal,
                "uuid_text": logical.uuid_text,
                "bytes_to_uuid": logical.bytes_to_uuid,
            }
        )

    def compile(self, avro_type: AvroType) -> Callable[..., Any]:
        source = self._source
        source.names["misfit"] = self._misfit
        source.add("def decode(body, at=0):")
        source.indent()
        source.add("try:")
        source.indent()
        result = self._value(source, avro_type, "", 0, "0")
        source.add("if at != len(body): raise Damage('bytes are missing' if at > len(body) else 'bytes are left over')")
        source.add(f"return {result}")
        source.dedent()
        source.add("except Exception as error: raise misfit(error) from None")
        decode: Callable[..., Any] = source.compile()["decode"]
        return decode

    def _misfit(self, error: Exception) -> Misfit:
        field = self._source.field_at(error.__traceback__)
        if isinstance(error, Damage):
            what = str(error)
        elif isinstance(error, UnicodeDecodeError):
            what = "text is not UTF-8"
        elif isinstance(error, KeyError):
            what = "an index is out of range"
        else:
            what = "bytes are missing"
        return Misfit(
            f"the bytes are no {self._name}: {what}",
            code="HW-S020",
            field=field,
            detail="they were damaged, or written with another schema than their id says",
            hint="look at the writer; the record is kept whole in quarantine",
        )

    def _value(self, source: Source, avro_type: AvroType, path: str, level: int, depth: str) -> str:
        """Lines that read a value; the expression that then stands for it."""
        if isinstance(avro_type, Record):
            if level > INLINE_DEPTH_LIMIT or self_containing(avro_type) or avro_type in self._inlined:
                return self._call(source, avro_type, path, depth)
            self._inlined.add(avro_type)  # once only, or the source could grow beyond all bounds
            return self._record(source, avro_type, path, level, depth)
        if isinstance(avro_type, Array | Map) and level > INLINE_DEPTH_LIMIT:
            return self._call(source, avro_type, path, depth)
        if isinstance(avro_type, Array):
            return self._array(source, avro_type, path, level, depth)
        if isinstance(avro_type, Map):
            return self._map(source, avro_type, path, level, depth)
        if isinstance(avro_type, Union):
            if level > INLINE_DEPTH_LIMIT:
                return self._call(source, avro_type, path, depth)
            return self._union(source, avro_type, path, level, depth)
        if isinstance(avro_type, Enum):
            return self._enum(source, avro_type, path)
        if isinstance(avro_type, Fixed):
            return self._fixed(source, avro_type, path)
        return self._primitive(source, avro_type, path)

    def _call(self, source: Source, avro_type: AvroType, path: str, depth: str) -> str:
        """Read a value by a function of its own, which is built when it is first wanted."""
        name = self._functions.get(avro_type)
        if name is None:
            name = self._functions[avro_type] = self._source.fresh("part_")

            def build(inner: Source) -> None:
                inner.add(f"def {name}(body, at, depth):")
                inner.indent()
                inner.add(f"if depth > {wire.DEPTH_LIMIT}: raise Damage('values are nested too deeply')", path)
                if isinstance(avro_type, Record):
                    result = self._record(inner, avro_type, path, 0, "depth")
                else:
                    result = self._value(inner, avro_type, path, 0, "depth")
                inner.add(f"return {result}, at")

            source.function(build)
        target = source.fresh("v")
        source.add(f"{target}, at = {name}(body, at, {depth} + 1)", path)
        return target

    def _record(self, source: Source, record: Record, path: str, level: int, depth: str) -> str:
        values = []
        for field in record.fields:
            inner = f"{path}.{field.name}" if path else field.name
            values.append(f"{field.name!r}: {self._value(source, field.type, inner, level + 1, depth)}")
        target = source.fresh("v")
        source.add(f"{target} = {{{', '.join(values)}}}", path)
        return target

    def _array(self, source: Source, array: Array, path: str, level: int, depth: str) -> str:
        width = least_width(array.items, self._widths)
        if width == 0:
            raise CallerFault(
                f"{self._name}: the items of the array '{path}' take no bytes",
                code="HW-S016",
                detail="a few bytes could stand for any number of items, so no decoder can be safe",
                hint="use a count, or items with at least one field",
            )
        target, add = source.fresh("v"), source.fresh("f")
        source.add(f"{target} = []; {add} = {target}.append")
        self._blocks(source, path, width, lambda: self._item(source, array, path, level, depth, add))
        return target

    def _item(self, source: Source, array: Array, path: str, level: int, depth: str, add: str) -> None:
        source.add(f"{add}({self._value(source, array.items, path, level + 2, depth)})", path)

    def _map(self, source: Source, mapping: Map, path: str, level: int, depth: str) -> str:
        target = source.fresh("v")
        source.add(f"{target} = {{}}")

        def entry() -> None:
            key = self._text(source, path)
            source.add(f"if {key} in {target}: raise Damage('a key stands twice in a map')", path)
            source.add(f"{target}[{key}] = {self._value(source, mapping.values, path, level + 2, depth)}", path)

        self._blocks(source, path, 1 + least_width(mapping.values, self._widths), entry)
        return target

    def _blocks(self, source: Source, path: str, width: int, entry: Callable[[], None]) -> None:
        count, end = source.fresh("n"), source.fresh("e")
        source.add("while True:")
        source.indent()
        source.add(f"{count}, at, {end} = read_block(body, at, {width})", path)
        source.add(f"if not {count}: break")
        source.add(f"for _ in range({count}):")
        source.indent()
        entry()
        source.dedent()
        source.add(f"if {end} >= 0 and {end} != at: raise Damage('a block is not as long as it says')", path)
        source.dedent()

    def _union(self, source: Source, union: Union, path: str, level: int, depth: str) -> str:
        target, index = source.fresh("v"), source.fresh("n")
        if len(union.branches) <= BYTE_VALUES:
            source.add(f"{index} = body[at]; at += 1", path)
        else:
            source.add(f"{index}, at = read_long(body, at); {index} *= 2", path)
        for position, branch in enumerate(union.branches):
            source.add(f"{'elif' if position else 'if'} {index} == {position * 2}:", path)
            source.indent()
            source.add(f"{target} = {self._value(source, branch, path, level + 1, depth)}", path)
            source.dedent()
        source.add("else: raise Damage('the branch of a union is out of range')", path)
        return target

    def _enum(self, source: Source, enum: Enum, path: str) -> str:
        target = source.fresh("v")
        if len(enum.symbols) <= BYTE_VALUES:
            symbols = source.constant({index * 2: symbol for index, symbol in enumerate(enum.symbols)})
            source.add(f"{target} = {symbols}[body[at]]; at += 1", path)
        else:
            symbols = source.constant(dict(enumerate(enum.symbols)))
            source.add(f"{target}, at = read_int(body, at); {target} = {symbols}[{target}]", path)
        return target

    def _fixed(self, source: Source, fixed: Fixed, path: str) -> str:
        target = source.fresh("v")
        source.add(f"{target} = body[at:at + {fixed.size}]; at += {fixed.size}", path)
        source.add("if at > len(body): raise Damage('bytes are missing')", path)
        if fixed.logical is not None and fixed.logical.name == "decimal":
            precision, scale = fixed.logical.precision, fixed.logical.scale
            padding = max(0, fixed.size - precision)  # a fixed is as long as it is; its padding is no damage
            source.add(f"{target} = unscaled_to_decimal({target}, {precision}, {scale}, {padding})", path)
        elif fixed.logical is not None and fixed.logical.name == "uuid":
            source.add(f"{target} = bytes_to_uuid({target})", path)
        return target

    def _primitive(self, source: Source, primitive: Primitive, path: str) -> str:
        kind = primitive.kind
        if kind == "null":
            return "None"
        if kind == "string" or kind == "bytes":
            return self._text(source, path, primitive)
        target = source.fresh("v")
        if kind == "boolean":
            source.add(f"{target} = BOOLEANS[body[at]]; at += 1", path)
        elif kind in ("float", "double"):
            source.add(f"{target} = read_{kind}(body, at)[0]; at += {4 if kind == 'float' else 8}", path)
        else:
            number = source.fresh("n")
            source.add(f"{number} = body[at]", path)
            source.add(f"if {number} < 128: {target} = SMALL[{number}]; at += 1")
            source.add(f"else: {target}, at = read_{kind}(body, at)", path)
        logical_name = primitive.logical.name if primitive.logical else ""
        if logical_name == "date":
            source.add(f"{target} = day_to_date({target})", path)
        elif logical_name == "timestamp-millis":
            source.add(f"{target} *= 1000", path)
        return target

    def _text(self, source: Source, path: str, primitive: Primitive | None = None) -> str:
        """Text or bytes: a length, then so many bytes."""
        target, length = source.fresh("v"), source.fresh("n")
        source.add(f"{length} = body[at]", path)
        source.add(f"if {length} & 129: {length}, at = read_length(body, at); {length} += at", path)
        source.add(f"else: at += 1; {length} = at + ({length} >> 1)")
        raw = primitive is not None and primitive.kind == "bytes"
        source.add(f"{target} = body[at:{length}]{'' if raw else '.decode()'}; at = {length}", path)
        if primitive is not None and primitive.logical is not None:
            if primitive.logical.name == "decimal":
                precision, scale = primitive.logical.precision, primitive.logical.scale
                source.add(f"{target} = unscaled_to_decimal({target}, {precision}, {scale})", path)
            elif primitive.logical.name == "uuid":
                source.add(f"uuid_text({target})", path)
        return target


def least_width(avro_type: AvroType, known: dict[AvroType, int]) -> int:
    """The fewest bytes that a value of a type takes; `known` keeps what was worked out."""
    if isinstance(avro_type, Record):
        if avro_type not in known:
            known[avro_type] = 1  # within itself, a value ends only where an array, map or union lets it: a byte each
            known[avro_type] = min(sum(least_width(field.type, known) for field in avro_type.fields), 1 << 20)
        return known[avro_type]
    if isinstance(avro_type, Union):
        return 1 + min(least_width(branch, known) for branch in avro_type.branches)
    if isinstance(avro_type, Fixed):
        return avro_type.size
    return {"null": 0, "float": 4, "double": 8}.get(avro_type.kind, 1)


def self_containing(record: Record) -> bool:
    """Whether a record may contain itself, at any depth."""
    stack: list[AvroType] = [field.type for field in record.fields]
    seen: set[AvroType] = set()
    while stack:
        part = stack.pop()
        if part is record:
            return True
        if part in seen:
            continue
        seen.add(part)
        if isinstance(part, Record):
            stack.extend(field.type for field in part.fields)
        elif isinstance(part, Union):
            stack.extend(part.branches)
        elif isinstance(part, Array):
            stack.append(part.items)
        elif isinstance(part, Map):
            stack.append(part.values)
    return False

"""When a JSON value is wrong for an Avro type without parts, as a SQL condition: the twin of `schemas/payload_scalars`.

A condition is over one jsonb expression, which is never SQL's null where it is asked. It is true where the relay would
refuse the value, and false otherwise; a property test holds both to each other.
"""

from __future__ import annotations

from headwater.schemas.types import AvroType, Enum, Fixed, logical_of
from headwater.schemas.wire import INT_MAX, INT_MIN, LONG_MAX, LONG_MIN

# Above these a whole number has no float: halfway from the largest one to what would come next.
_DOUBLE_END = (1 << 1024) - (1 << 970)
_FLOAT_END = (1 << 128) - (1 << 103)
_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_UUID = "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
# Days as they are, but for leap days, which `_no_day` judges; readers cut off a fraction's digits beyond the sixth.
_DAY = (
    "[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-9]))"
)
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.]FRACTION)?)?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_MICROSECONDS = _TIME.replace("FRACTION", "[0-9]+")
_MILLISECONDS = _TIME.replace("FRACTION", "(?:[0-9]{1,3}|[0-9]{3}0{1,3}|[0-9]{3}000[0-9]+)")
_DECIMAL = "^[+-]?(?:[0-9]+(?:[.][0-9]*)?|[.][0-9]+)(?:[eE][+-]?[0-9]{1,3})?$"
_PLAIN = {"null": "null", "boolean": "boolean", "string": "string"}
_WHAT = {
    "null": "not null",
    "boolean": "not a boolean",
    "string": "not text",
    "int": "not a whole number of 32 bits",
    "long": "not a whole number of 64 bits",
    "float": "not a number that a float holds",
    "double": "not a number",
    "bytes": "not bytes: they are written in base64",
}


def wrong_scalar(avro_type: AvroType, value: str) -> tuple[str, str]:
    """The condition that a value, a jsonb expression, is wrong, and what is said of it then.

    >>> from headwater.schemas.types import Primitive
    >>> wrong_scalar(Primitive("string"), "v")
    ("jsonb_typeof(v) <> 'string'", 'not text')
    """
    logical = logical_of(avro_type)
    name, kind = logical.name if logical else "", avro_type.kind
    text = f"({value} #>> '{{}}')"
    if logical is not None and name == "decimal":
        return _decimal(value, text, logical.precision, logical.scale), "not a decimal that fits, written as text"
    if name in ("timestamp-micros", "timestamp-millis"):
        whole = f"{_integer(value, LONG_MIN, LONG_MAX)}"
        if name == "timestamp-millis":
            whole = f"({whole} OR mod(({value})::numeric, 1000) <> 0)"
        time = _MILLISECONDS if name == "timestamp-millis" else _MICROSECONDS
        string = f"(length({text}) > 40 OR {text} !~ '^{_DAY}T{time}$' OR {_no_day(text)})"
        return _by_type(value, number=whole, string=string), (
            "not an instant: ISO 8601 text with a zone, or integer microseconds"
        )
    if name == "date":
        return _by_type(value, string=f"({text} !~ '^{_DAY}$' OR {_no_day(text)})"), "not a date: ISO 8601 text"
    if name == "uuid":
        return _by_type(value, string=f"{text} !~ '{_UUID}'"), "not a UUID in its usual form"
    if isinstance(avro_type, Enum):
        symbols = ", ".join(quoted(symbol) for symbol in avro_type.symbols)
        return _by_type(value, string=f"{text} <> ALL (ARRAY[{symbols}])"), "none of the symbols"
    if isinstance(avro_type, Fixed):
        return _bytes(value, text, avro_type.size), f"not {avro_type.size} bytes, written in base64"
    return _primitive(kind, value, text), _WHAT[kind]


def quoted(text: str) -> str:
    """A text as a SQL literal.

    >>> quoted("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def _primitive(kind: str, value: str, text: str) -> str:
    if kind in _PLAIN:
        return f"jsonb_typeof({value}) <> '{_PLAIN[kind]}'"
    if kind == "bytes":
        return _bytes(value, text, -1)
    if kind in ("int", "long"):
        bounds = (INT_MIN, INT_MAX) if kind == "int" else (LONG_MIN, LONG_MAX)
        return _by_type(value, number=_integer(value, *bounds))
    number, end = f"({value})::numeric", _DOUBLE_END
    if kind == "double":  # with a fraction, what is too large becomes infinity, as in every reader of JSON
        return _by_type(value, number=f"scale({number}) = 0 AND abs({number}) >= {end}")
    # Rounded twice, to a double and then to a float: what rounds up to the end is beyond it too.
    beyond = f"abs({number}) >= {_FLOAT_END - (1 << 74)}"
    return _by_type(value, number=f"{beyond} AND (scale({number}) = 0 OR abs({number}) < {end})")


def _by_type(value: str, *, number: str = "true", string: str = "true") -> str:
    """By what JSON calls the value, so that nothing is cast that cannot be."""
    return f"CASE jsonb_typeof({value}) WHEN 'number' THEN {number} WHEN 'string' THEN {string} ELSE true END"


def _integer(value: str, low: int, high: int) -> str:
    number = f"({value})::numeric"
    return f"(scale({number}) > 0 OR {number} NOT BETWEEN {low} AND {high})"


def _bytes(value: str, text: str, size: int) -> str:
    wrong = f"{text} !~ '{_BASE64}'"
    if size >= 0:
        padding = f"length({text}) - length(rtrim({text}, '='))"
        wrong = f"({wrong} OR length({text}) / 4 * 3 - ({padding}) <> {size})"
    return _by_type(value, string=wrong)


def _decimal(value: str, text: str, precision: int, scale: int) -> str:
    def unfit(number: str) -> str:
        return f"(abs({number}) >= 1e{precision - scale} OR trunc({number}, {scale}) <> {number})"

    string = f"CASE WHEN length({text}) > 200 OR {text} !~ '{_DECIMAL}' THEN true ELSE {unfit(f'{text}::numeric')} END"
    return _by_type(value, number=f"(scale(({value})::numeric) > 0 OR {unfit(f'({value})::numeric')})", string=string)


def _no_day(text: str) -> str:
    """Whether what looks like a day is none: of the year 0, or the 29th of February where there is none."""
    year = f"substr({text}, 1, 4)"
    leap = f"({year}::int % 4 = 0 AND {year}::int % 100 <> 0 OR {year}::int % 400 = 0)"
    return f"{year} = '0000' OR CASE WHEN substr({text}, 6, 5) = '02-29' THEN NOT {leap} ELSE false END"

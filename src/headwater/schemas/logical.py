"""Values of logical types between Avro's bytes and Python: instants as int microseconds, decimals as Decimal, dates.

What is no instant of UTC (local timestamps, times of day, nanoseconds) stays the number that Avro carries.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation, Rounded
from functools import lru_cache

from headwater.schemas.types import AvroType, Logical, logical_of
from headwater.schemas.wire import Damage

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
INSTANTS = ("timestamp-micros", "timestamp-millis")


def python_logical(avro_type: AvroType) -> Logical | None:
    """The logical type, where values of it are other than the plain ones."""
    logical = logical_of(avro_type)
    known = logical is not None and logical.name in ("decimal", "date", "uuid", "timestamp-millis")
    return logical if known else None


def day_to_date(days: int) -> date:
    """A date from days since 1970."""
    try:
        return date.fromordinal(days + _EPOCH_DAY)
    except (ValueError, OverflowError):
        raise Damage("a date is outside of the years 1 to 9999") from None


def date_to_day(value: date) -> int:
    """Days since 1970."""
    if type(value) is not date:
        raise Damage("not a date")
    return value.toordinal() - _EPOCH_DAY


def milliseconds(instant: int) -> int:
    """Whole milliseconds of an instant; one that has a remainder does not fit."""
    whole, rest = divmod(instant, 1000)
    if rest:
        raise Damage("an instant of timestamp-millis has microseconds")
    return whole


def unscaled_to_decimal(body: bytes, precision: int, scale: int, padding: int = 0) -> Decimal:
    """A decimal from two's complement bytes.

    >>> unscaled_to_decimal(bytes([0x04, 0xD2]), 6, 2)
    Decimal('12.34')
    """
    if not body or len(body) > precision + padding + 8:  # bytes beyond what the precision needs can only be padding
        raise Damage("a decimal has no bytes, or too many")
    unscaled = int.from_bytes(body, "big", signed=True)
    if abs(unscaled) >= _power(precision):
        raise Damage("a decimal has more digits than its precision")
    sign, digits = (1, str(-unscaled)) if unscaled < 0 else (0, str(unscaled))
    return Decimal((sign, tuple(map(int, digits)), -scale))


def decimal_to_unscaled(value: Decimal, precision: int, scale: int) -> int:
    """The unscaled number of a decimal; nothing is rounded: what does not fit is refused."""
    if not isinstance(value, Decimal):
        raise Damage("not a decimal")
    if not value.is_finite():
        raise Damage("a decimal is not finite")
    try:
        scaled = value.quantize(Decimal((0, (1,), -scale)), context=_exact(precision))
    except (InvalidOperation, Inexact, Rounded):
        raise Damage("a decimal does not fit its precision and scale") from None
    return int(scaled.scaleb(scale, context=_exact(precision)))


def decimal_to_bytes(value: Decimal, precision: int, scale: int, size: int = 0) -> bytes:
    """Two's complement bytes: as few as it takes, or `size` of them."""
    unscaled = decimal_to_unscaled(value, precision, scale)
    needed = (unscaled + (unscaled < 0)).bit_length() // 8 + 1
    return unscaled.to_bytes(size or needed, "big", signed=True)


def uuid_text(value: str) -> str:
    """The text of a UUID, if it is one in the usual form."""
    if type(value) is not str or not _UUID.match(value):
        raise Damage("not a UUID in its usual form")
    return value


def uuid_to_bytes(value: str) -> bytes:
    """A UUID's sixteen bytes."""
    return bytes.fromhex(uuid_text(value).replace("-", ""))


def bytes_to_uuid(body: bytes) -> str:
    """A UUID's text from its sixteen bytes."""
    digits = body.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@lru_cache(maxsize=512)
def _exact(precision: int) -> Context:
    return Context(prec=max(precision, 1), rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, Inexact])


@lru_cache(maxsize=512)
def _power(precision: int) -> int:
    return int(10**precision)

"""What services hand in as a record, in the codec's form: mappings, dataclasses, pydantic models, generated types."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from headwater.errors import CallerFault, Misfit
from headwater.timeline.instant import Instant

_AS_THEY_ARE = frozenset((str, int, float, bool, bytes, Decimal, date, type(None)))


def codec_fields(record: object) -> dict[str, Any]:
    """The payload's fields in the codec's form; a generated type says them itself.

    Raises `Misfit` HW-O048 where a generated type refuses, `CallerFault` HW-O047 for what is no record.

    >>> from datetime import UTC
    >>> codec_fields({"at": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)})
    {'at': 1000000}
    """
    to_record = getattr(record, "to_record", None)
    if callable(to_record) and not isinstance(record, type):
        try:
            return dict(to_record())
        except (ValueError, TypeError, AttributeError) as error:
            # Its text may hold the value, which may be personal.
            raise Misfit(
                f"{type(record).__name__} cannot be made into a record: {type(error).__name__} in to_record",
                code="HW-O048",
                detail="a decimal beyond its precision, an instant without a zone, or a value of another type",
                hint="call to_record() yourself to see which",
            ) from None
    if isinstance(record, Mapping) or _kept(record) is not None:
        return {name: value if type(value) in _AS_THEY_ARE else _plain(value) for name, value in _parts(record)}
    raise CallerFault(
        f"a record is a mapping or a dataclass, not {type(record).__name__}",
        code="HW-O047",
        hint="pass a dict with the payload's fields, or a type made by headwater schema generate",
    )


def _parts(record: Any) -> Iterable[tuple[str, Any]]:
    return (
        record.items()
        if isinstance(record, Mapping)
        else [(name, getattr(record, name)) for name in _kept(record) or ()]
    )


def _kept(record: Any) -> Iterable[str] | None:
    """The names of what a dataclass or a pydantic model holds; None for anything else."""
    if isinstance(record, type):
        return None
    if is_dataclass(record):
        return [field.name for field in fields(record)]
    names = getattr(type(record), "model_fields", None)  # pydantic's, which is not imported for that
    return names if isinstance(names, dict) else None


def _plain(value: Any) -> Any:
    """A value as the codec takes it: instants in microseconds, enums and UUIDs as text, records as dicts."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, datetime):
        return int(Instant.from_datetime(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) or _kept(value) is not None:
        return {name: _plain(item) for name, item in _parts(value)}
    return value

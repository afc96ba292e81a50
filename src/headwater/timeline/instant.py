"""UTC instants and durations in whole microseconds; both are integers, so that the hot path pays nothing for them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from headwater.errors import CallerFault

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"(\d+)\s*(us|ms|s|min|m|h|d)\Z")
_UNITS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}


class Instant(int):
    """Microseconds since 1970-01-01T00:00:00Z.

    >>> Instant.parse("2013-01-05T14:06:00Z").iso()
    '2013-01-05T14:06:00.000000Z'
    >>> Instant.from_milliseconds(1).iso()
    '1970-01-01T00:00:00.001000Z'
    """

    __slots__ = ()

    @classmethod
    def from_milliseconds(cls, milliseconds: int) -> Instant:
        """From Kafka's timestamps."""
        return cls(milliseconds * 1_000)

    @classmethod
    def from_datetime(cls, moment: datetime) -> Instant:
        """From a datetime that knows its zone; a bare one is refused, since nobody knows what it means."""
        if moment.tzinfo is None:
            raise CallerFault(
                "a datetime without a time zone is not an instant",
                code="HW-T001",
                hint="give it one, for example datetime.now(UTC)",
            )
        return cls((moment - _EPOCH) // timedelta(microseconds=1))

    @classmethod
    def parse(cls, text: str) -> Instant:
        """From ISO 8601 text with a zone; raises `CallerFault` HW-T001."""
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise CallerFault(
                f"'{text[:40]}' is not an instant",
                code="HW-T001",
                detail="an instant is ISO 8601 with a time zone",
                hint="for example 2013-01-05T14:06:00Z",
            )
        return cls.from_datetime(moment)

    def to_datetime(self) -> datetime:
        """As a datetime in UTC."""
        return _EPOCH + timedelta(microseconds=int(self))

    def iso(self) -> str:
        """ISO 8601, UTC, six decimals, `Z`."""
        return self.to_datetime().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    @property
    def milliseconds(self) -> int:
        """Whole milliseconds, rounded down, as Kafka's timestamps want them."""
        return int(self) // 1_000


class Duration(int):
    """A length of time in microseconds.

    >>> Duration.parse("100ms") == Duration.from_milliseconds(100) == 100_000
    True
    >>> Duration.parse("5s").text()
    '5s'
    """

    __slots__ = ()

    @classmethod
    def from_milliseconds(cls, milliseconds: int) -> Duration:
        """From milliseconds."""
        return cls(milliseconds * 1_000)

    @classmethod
    def parse(cls, text: str) -> Duration:
        """From a whole number and a unit: us, ms, s, min (or m), h, d; raises `CallerFault` HW-T002."""
        match = _DURATION.match(text.strip())
        if match is None:
            raise CallerFault(
                f"'{text[:40]}' is not a duration",
                code="HW-T002",
                detail="a duration is a whole number and one of us, ms, s, min, h, d",
                hint="for example 100ms or 30d",
            )
        return cls(int(match[1]) * _UNITS[match[2]])

    def text(self) -> str:
        """In the largest unit that divides it."""
        for unit in ("d", "h", "min", "s", "ms"):
            if int(self) and int(self) % _UNITS[unit] == 0:
                return f"{int(self) // _UNITS[unit]}{unit}"
        return f"{int(self)}us"

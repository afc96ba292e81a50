"""`headwater query "SELECT …"`: what one SELECT finds in the mesh's products."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar

from headwater.cli import console


class _Settled(Protocol):
    @property
    def settled(self) -> bool: ...


Firm = TypeVar("Firm", bound=_Settled)


def show(
    text: str,
    valid: str | None,
    recorded: str | None,
    *,
    key: list[str] | None,
    history: bool,
    limit: int,
    seconds: float,
    wait: float,
    output: Literal["text", "json"],
) -> None:
    """Run it, print its rows, and say how firm they are."""
    from headwater.errors import CallerFault
    from headwater.sdk.query import Bounds, query

    if key or history:
        raise CallerFault(
            "--key and --history belong to a product's name",
            code="HW-K069",
            detail="a SELECT says both itself",
            hint="WHERE names keys; history('domain.product') is every record of a product",
        )
    bounds = Bounds(seconds=seconds, rows=limit)
    found = until_settled(lambda: query(text, valid=valid, recorded=recorded, bounds=bounds), wait)
    for row in found.rows.to_pylist():
        console.record({name: plain(value) for name, value in row.items()}, output)
    console.err().print(found.firmness(), markup=False)


def until_settled(ask: Callable[[], Firm], wait: float) -> Firm:
    """Ask, and again until the answer is settled or so many seconds have passed."""
    from headwater.timeline.clock import SystemClock

    clock = SystemClock()
    until = clock.monotonic() + int(wait * 1_000_000)
    while True:
        found = ask()
        if found.settled or clock.monotonic() >= until:
            return found
        clock.sleep(200_000)


def plain(value: Any) -> Any:
    """A value of a result as JSON has it: instants ISO 8601 in UTC, decimals text, bytes base64, as records are shown.

    >>> from datetime import UTC, datetime
    >>> plain({"at": datetime(2013, 1, 5, 14, tzinfo=UTC), "raw": b"ab", "many": [1.5]})
    {'at': '2013-01-05T14:00:00.000000Z', 'raw': 'YWI=', 'many': [1.5]}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "tzinfo") and hasattr(value, "year"):
        text: str = value.isoformat(timespec="microseconds")
        return text.replace("+00:00", "Z")
    return str(value)

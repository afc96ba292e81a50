"""`headwater query "SELECT …"`: what one SELECT finds in the mesh's products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeVar

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
    port: Literal["topic", "lake"],
    output: Literal["text", "json"],
) -> None:
    """Run it, print its rows, and say how firm they are."""
    from headwater.errors import CallerFault
    from headwater.schemas.arrow import plain_rows
    from headwater.sdk.query import Bounds, query

    if key or history:
        raise CallerFault(
            "--key and --history belong to a product's name",
            code="HW-K069",
            detail="a SELECT says both itself",
            hint="WHERE names keys; history('domain.product') is every record of a product",
        )
    bounds = Bounds(seconds=seconds, rows=limit)
    found = until_settled(lambda: query(text, valid=valid, recorded=recorded, bounds=bounds, port=port), wait)
    for row in plain_rows(found.rows):
        console.record(row, output)
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

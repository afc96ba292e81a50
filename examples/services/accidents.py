"""What goes wrong with a report, fixed by a seed: 2 % come hours to days late, 1 % are wrong at first, 0.1 % withdrawn.

The data set holds the truth. A report that is corrected afterwards says something else at first, and its correction
says what the data set says; so at the end only what was withdrawn is missing. Each thing draws its own lot from its
name and the seed: the order of the draws, and how many flights are replayed, change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from examples.services.data import HOUR, MINUTE

LATE_PER_MILLE = 20
CORRECTED_PER_MILLE = 10
WITHDRAWN_PER_MILLE = 1


@dataclass(frozen=True, slots=True)
class Accident:
    """What happens to the reports of one thing. Durations are microseconds; `error` is a number of minutes, never 0."""

    late: int
    corrected_after: int | None
    withdrawn_after: int | None
    error: int


NONE = Accident(late=0, corrected_after=None, withdrawn_after=None, error=1)


def accident(seed: int, product: str, identity: str) -> Accident:
    """The lot of one thing; the same for the same seed, always."""
    digest = blake2b(f"{seed}/{product}/{identity}".encode(), digest_size=32).digest()
    late, corrected, withdrawn = digest[0:4], digest[4:8], digest[8:12]
    if not (_hit(late, LATE_PER_MILLE) or _hit(corrected, CORRECTED_PER_MILLE) or _hit(withdrawn, WITHDRAWN_PER_MILLE)):
        return NONE
    error = 5 + digest[24] % 60
    return Accident(
        late=_between(digest[12:16], 2 * HOUR, 5 * 24 * HOUR) if _hit(late, LATE_PER_MILLE) else 0,
        corrected_after=_between(digest[16:20], HOUR, 72 * HOUR) if _hit(corrected, CORRECTED_PER_MILLE) else None,
        withdrawn_after=_between(digest[20:24], 73 * HOUR, 120 * HOUR)
        if _hit(withdrawn, WITHDRAWN_PER_MILLE)
        else None,
        error=error if digest[25] % 2 else -error,
    )


def event_id(product: str, identity: str) -> str:
    """The id of an event, from its name alone: with another seed a flight is still the same flight."""
    digest = blake2b(f"{product}/{identity}".encode(), digest_size=16).digest()
    return str(UUID(bytes=digest, version=5))


def _hit(draw: bytes, per_mille: int) -> bool:
    return int.from_bytes(draw, "big") % 1_000 < per_mille


def _between(draw: bytes, least: int, most: int) -> int:
    """Whole minutes between two durations."""
    return least + int.from_bytes(draw, "big") % ((most - least) // MINUTE) * MINUTE

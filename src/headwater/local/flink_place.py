"""Where a live job runs: what `deploy` asks of a process of its own, and of a cluster elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from headwater.errors import Fault
from headwater.processing.deployed import Deployed


class Note(Protocol):
    """Writes down more of a job that is being started; raises where the record is no longer this command's."""

    def __call__(self, *, cluster: str = "", job: str = "", session: str = "") -> None:
        """What is known of it now."""


class Place(Protocol):
    """A place that takes one job. `prepare` and then `start`; `clear` after a failure, and `close` in any case."""

    def deployed(self, called: str, fits: str) -> Deployed:
        """What will be on record of a job here."""

    def prepare(self, statements: Sequence[str], settings: Mapping[str, object]) -> None:
        """Look whether it can be begun, as long as nothing is changed yet; raises what is missing."""

    def start(self, statements: Sequence[str], settings: Mapping[str, object], note: Note) -> None:
        """Begin the job. These statements differ from those of `prepare` in the last one alone."""

    def clear(self) -> None:
        """End what was begun."""

    def close(self) -> None:
        """Let go."""


def not_running(why: str) -> Fault:
    """A job was begun and does not run."""
    return Fault(
        "the Flink job does not run",
        code="HW-P255",
        detail=why,
        hint="headwater runner flink deploy --fresh computes from the first record on, whatever was kept",
    )

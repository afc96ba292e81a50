"""What a system under test must answer. A later rival is one more file here, and a line in `bench/folding.py`.

The driver calls `install` once, and for each round `prepare` (not measured), starts `command`, asks `progress` until
it reaches the input's size, stops the program, and calls `verify` and `clean`. A rival in Python brings a virtual
environment of its own, as `bench/systems/environment.py` makes them.
"""

from __future__ import annotations

from typing import Any, Protocol

from bench.machine import Command
from bench.oracle import Verdict


class System(Protocol):
    """One system, ready for one workload."""

    name: str

    def version(self) -> str:
        """What exactly is measured."""

    def settings(self) -> dict[str, Any]:
        """Guarantee, state store, cache, commit interval, heap: what stands beside the figure."""

    def install(self) -> None:
        """Whatever must be there before the first input is written."""

    def prepare(self, round_: int) -> None:
        """Make everything that the program needs and may not make itself, fresh for this round."""

    def command(self) -> Command:
        """The program under test."""

    def progress(self) -> int:
        """How many inputs are done: their outputs are committed and their offsets with them."""

    def verify(self) -> Verdict:
        """Read back what was written, committed records only, and compare it with the oracle."""

    def clean(self) -> None:
        """Remove what this round made."""

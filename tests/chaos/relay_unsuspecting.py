"""The saboteur of R7: the relay as it is, on a guarded producer that suspects nothing."""

from __future__ import annotations

import sys

from tests.chaos.r7_writer import UnsuspectingProducer

from headwater.cli.main import main
from headwater.ports import kafka

if __name__ == "__main__":
    kafka.GuardedProducer = UnsuspectingProducer  # type: ignore[misc]
    sys.argv = ["headwater", "relay", *sys.argv[1:]]
    main()

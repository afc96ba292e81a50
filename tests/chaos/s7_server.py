"""A server for S7 to be attacked: the port over a product in memory, listening as `headwater serve` does."""

from __future__ import annotations

import sys

from tests.chaos.s7 import HEAD_SECONDS
from tests.unit.ports.http.serving import HTTP, Site
from tests.unit.ports.index.kept import MemoryStores
from tests.unit.ports.test_answers import FIRST, PARTITIONS, World

from headwater.cli import listening
from headwater.ports.http.limits import Limits
from headwater.testing.source_products import order_events


def main() -> None:
    """`python -m tests.chaos.s7_server PORT [loose]`; loose: a saboteur that waits and counts without an end."""
    port, loose = int(sys.argv[1]), "loose" in sys.argv[2:]
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    world.write(*({**FIRST, "event_id": f"e{number}"} for number in range(1_000)), marked=49)
    limits = Limits(rate=1e9, burst=1_000_000_000) if loose else Limits(rate=200, burst=400)
    site = Site(world, stores=MemoryStores(), limits=limits)
    assert site.index is not None
    while site.index.step():
        pass
    listening.HEAD_SECONDS = 1e6 if loose else HEAD_SECONDS
    listening.OF_ONE_ADDRESS = 1_000_000 if loose else listening.OF_ONE_ADDRESS
    listening.listen(site.app, "127.0.0.1", port, goodbye_seconds=1)


if __name__ == "__main__":
    main()

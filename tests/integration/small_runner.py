"""A process that runs the small mesh: what the tests kill. Not a test.

python small_runner.py <bootstrap> <mesh folder> <nonce> <state folder> <slot> <failpoint or -> <saboteur or ->
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from headwater.hooks import Hooks, arm
from headwater.ports.kafka import KafkaBroker
from headwater.ports.protocol import GroupSource
from headwater.ports.record import TopicPartition
from headwater.processing.checkpoint import Checkpoint
from headwater.processing.runners.kafka import KafkaRunner
from headwater.testing.broker_mesh import BrokerMesh


def offsets_apart(broker: KafkaBroker) -> type[Checkpoint]:
    """A checkpoint that commits offsets in a transaction of their own: what must turn tests red."""

    class OffsetsApart(Checkpoint):
        def send_offsets(self, offsets: Mapping[TopicPartition, int], source: GroupSource) -> None:
            apart = broker.sink(f"apart-{self._targets.stage.group}")
            apart.open()
            apart.begin()
            apart.send_offsets(offsets, source)
            apart.commit()
            apart.close()

    return OffsetsApart


def main() -> None:
    bootstrap, mesh, nonce, state, slot, failpoint, saboteur = sys.argv[1:]
    broker = KafkaBroker({"bootstrap.servers": bootstrap})
    small = BrokerMesh.loaded(broker, Path(mesh), nonce)
    checkpoint = offsets_apart(broker) if saboteur == "offsets_apart" else Checkpoint
    hooks = Hooks([lambda happening, fields: print("restored", flush=True) if happening == "stage.restored" else None])
    around = small.surroundings(
        Path(state),
        hooks=hooks,
        slot=int(slot),
        failpoint=arm("" if failpoint == "-" else failpoint),
        checkpoint=checkpoint,
    )
    runner = KafkaRunner([small.plan], around)
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    runner.run()


if __name__ == "__main__":
    main()

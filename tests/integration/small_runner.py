"""A process that runs the small mesh: what the tests kill. Not a test.

python small_runner.py <bootstrap> <mesh folder> <nonce> <state folder> <slot> <failpoint or -> <saboteur or ->
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headwater.hooks import Hooks, arm
from headwater.ports.kafka import KafkaBroker
from headwater.ports.protocol import GroupSource
from headwater.ports.record import TopicPartition
from headwater.processing.checkpoint import Checkpoint
from headwater.processing.records import RecordWriter
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


def dying(broker: KafkaBroker, marker: Path, *, apart: bool) -> type[Checkpoint]:
    """A checkpoint that dies once, when the first records of a second output are at the broker and not committed.

    With `apart` they are: in a transaction of their own, what must turn tests red.
    """

    class Dying(Checkpoint):
        def _records(self, writer: RecordWriter, partition: int, records: Any, replay: Any) -> int:
            if not writer.output or not records:
                return super()._records(writer, partition, records, replay)
            ours = self._sink
            if apart:
                self._sink = broker.sink(f"apart-{writer.topic}")
                self._sink.open()
                self._sink.begin()
            written = super()._records(writer, partition, records, replay)
            self._sink.flush()
            if apart:
                self._sink.commit()
                self._sink.close()
                self._sink = ours
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return written

    return Dying


def main() -> None:
    bootstrap, mesh, nonce, state, slot, failpoint, saboteur = sys.argv[1:]
    broker = KafkaBroker({"bootstrap.servers": bootstrap})
    small = BrokerMesh.loaded(broker, Path(mesh), nonce)
    checkpoint = {
        "offsets_apart": lambda: offsets_apart(broker),
        "outputs_apart": lambda: dying(broker, Path(mesh) / "died", apart=True),
        "dying": lambda: dying(broker, Path(mesh) / "died", apart=False),
    }.get(saboteur, lambda: Checkpoint)()
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

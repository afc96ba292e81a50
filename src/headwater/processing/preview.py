"""A flow over a sample of its inputs, in this process: what it would publish, and what of the sample made it do so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.ports.keys import key_bytes
from headwater.processing.compiler import compile_plan
from headwater.processing.graph import Graph, Port
from headwater.processing.runners.memory import MemoryRunner, Quarantined

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a sample of an input is like. `out_of_order` are records whose valid time lies before that of an earlier
    record of their key: they came late. Moments are microseconds."""

    port: Port
    records: int
    kinds: Mapping[str, int]
    out_of_order: int
    first_recorded: int | None
    last_recorded: int | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a flow makes of samples: records in order of recorded time, and the ones of the inputs that it refuses."""

    records: tuple[Record, ...]
    refused: tuple[Quarantined, ...]
    inputs: tuple[Sampled, ...]

    def kinds(self) -> Mapping[str, int]:
        """How many records of each kind are made."""
        return Counter(str(record["kind"]) for record in self.records)


def preview(graph: Graph, samples: Sequence[Sequence[Record]], *, tick: int, topic: str = "") -> Preview:
    """Run a flow over records of its inputs, each input's in the order of its partitions; `tick` in microseconds.

    `topic` names the output that is wanted, the first one where it is empty.

    What was recorded before a sample is not known to it: intervals that began earlier are partial, and a correction
    whose first version lies before it counts as new.
    """
    runner = MemoryRunner(compile_plan(graph, tick=tick))
    inputs = []
    for port, records in zip(graph.inputs, samples, strict=True):
        inputs.append(_sampled(port, records))
        for record in records:
            runner.write(port.topic, [record[name] for name in port.key], record)
    newest = max((one.last_recorded for one in inputs if one.last_recorded is not None), default=0)
    for read in dict.fromkeys(port.topic for port in graph.inputs):
        runner.mark(read, (newest // tick + 1) * tick - 1)
    runner.run()
    made = sorted(runner.records(topic), key=lambda record: int(record["recorded_at"]))
    return Preview(tuple(made), tuple(runner.quarantined), tuple(inputs))


def _sampled(port: Port, records: Sequence[Record]) -> Sampled:
    instant = "occurred_at" if port.shape == "event" else "valid_from"
    latest: dict[bytes, int] = {}
    late = 0
    for record in records:
        key = key_bytes([record[name] for name in port.key])
        late += record[instant] < latest.get(key, record[instant])
        latest[key] = max(record[instant], latest.get(key, record[instant]))
    recorded = [int(record["recorded_at"]) for record in records]
    kinds = Counter(str(record["kind"]) for record in records)
    return Sampled(port, len(records), kinds, late, min(recorded, default=None), max(recorded, default=None))

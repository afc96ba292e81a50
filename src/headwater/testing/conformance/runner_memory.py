"""The memory runner on trial: what it makes is written into the products' topics, each life after the other."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from headwater import naming
from headwater.naming import ProductName
from headwater.ports.progress import decode_mark, encode_mark, mark_key
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import Message, TopicPartition
from headwater.processing.flow_file import load_plan
from headwater.processing.runners.memory import MemoryRunner
from headwater.schemas.codec import RowCodec, frame, unframe
from headwater.testing.conformance.runner_trial import Running, Scene


class _Ended:
    def require_running(self) -> None:
        """There is nothing to wait for."""

    def kill(self) -> None:
        """It has done all there is to do."""

    stop = kill


@dataclass
class MemoryOnTrial:
    """Each life makes everything anew, in batches and a schedule by chance, and with crashes; what is there stays."""

    name: str = "memory"
    refused: Collection[str] = ()
    seed: int = 0
    forgets: bool = False  # a saboteur: a life knows nothing of what was there before it
    batches: Sequence[int] = (1, 3, 500)
    lives: int = 0

    def refusal(self, trial: Scene, product: ProductName) -> str:
        """Nothing."""
        return ""

    def start(self, trial: Scene, products: Sequence[ProductName]) -> Running:
        """All of it, at once."""
        self.lives += 1
        chance = random.Random(self.seed + self.lives)
        for name in products:
            plan = load_plan(trial.mesh, name)
            crash: Callable[[], bool] = lambda: chance.random() < 0.2  # noqa: E731
            memory = MemoryRunner(plan, batch=chance.choice(self.batches), choose=chance.randrange, crash=crash)
            for read in trial.mesh.product(name).product.inputs:
                self._given(trial, memory, read.product)
            memory.run()
            self._written(trial, memory, name)
        return _Ended()

    def _given(self, trial: Scene, memory: MemoryRunner, source: ProductName) -> None:
        product = trial.mesh.product(source)
        output = product.output
        decode = RowCodec(output.schema).decode
        for message in _all(trial, output.topic):
            record = decode(unframe(message.value)[1])
            memory.write(output.topic, [record[name] for name in output.output.key], record)
        for message in _all(trial, naming.progress_topic(source, product.major)):
            memory.mark(output.topic, decode_mark(message.value or b"")[0], partition=message.partition)

    def _written(self, trial: Scene, memory: MemoryRunner, name: ProductName) -> None:
        product = trial.mesh.product(name)
        output = product.output
        registered = trial.registry.find(output.subject, output.schema)
        assert registered is not None
        encode = RowCodec(output.schema).encode
        known = [] if self.forgets else _all(trial, output.topic)
        sink = trial.broker.sink(f"memory-{output.topic}")
        sink.open()
        sink.begin()
        through: dict[int, int] = {}
        for number, log in enumerate(memory.topics[output.topic]):
            said: list[Any] = [(entry.key, entry.record) for entry in log if entry.record is not None]
            through[number] = max((entry.through for entry in log if entry.through is not None), default=0)
            for key, record in said[sum(message.partition == number for message in known) :]:
                value = frame(registered.id, encode(dict(record)))
                sink.send(output.topic, key, value, timestamp=record["recorded_at"] // 1_000, partition=number)
        ends = sink.flush()
        progress = naming.progress_topic(name, product.major)
        for number, last in through.items():
            mark = encode_mark(last, ends.get(TopicPartition(output.topic, number), 0))
            sink.send(progress, mark_key(number), mark, timestamp=max(0, last) // 1_000, partition=number)
        sink.commit()
        sink.close()


def _all(trial: Scene, topic: str) -> list[Message]:
    starts = trial.broker.starts(places_of(trial.broker, topic))
    return [item for item in read_to_end(trial.broker, starts) if isinstance(item, Message)]

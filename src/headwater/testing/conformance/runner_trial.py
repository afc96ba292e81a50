"""A trial of a runner: a mesh of cases on a broker, its inputs written as a relay would, what comes out read back.

The trial knows no runner. A runner on trial is started on the folder of the mesh, killed while half of the input is
there, started again, and stopped once every product is settled past the last input. Then its log is compared with the
oracle's, record by record.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from headwater import naming
from headwater.mesh.load import load_mesh
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.naming import ProductName
from headwater.plan.desired import desired
from headwater.ports.progress import decode_mark
from headwater.ports.protocol import Broker
from headwater.ports.record import Message, TopicDescription
from headwater.processing.flow_file import load_plan
from headwater.schemas.codec import RowCodec, unframe
from headwater.schemas.registry import Registry
from headwater.testing.asked_again import asked_again
from headwater.testing.broker_mesh import wait_until
from headwater.testing.conformance.runner_cases import Case, Histories
from headwater.testing.conformance.runner_mesh import CaseFile, named, write_case_mesh
from headwater.testing.source_writer import SourceWriter, messages_of

AFTER_ALL = 100_000  # recorded time that no history reaches
LOOK_SECONDS = 0.3  # a look reads marks of many topics
AT_ONCE = 7  # records of a transaction: several ticks in one, several in a tick


class Running(Protocol):
    """A runner at work on products of a trial."""

    def require_running(self) -> None:
        """Raises an AssertionError with its reason where it has ended by itself, so that nobody waits for it."""

    def kill(self) -> None:
        """End it at once, as a crash does."""

    def stop(self) -> None:
        """End it in order, and return when it has ended. Raises where it had failed by itself."""


def wait_for(running: Running, reached: Callable[[], bool], *, seconds: float) -> None:
    """Wait for what a runner does; an AssertionError where that takes too long, and at once where it has ended."""

    def seen() -> bool:
        running.require_running()
        return reached()

    wait_until(seen, seconds=seconds, pause=LOOK_SECONDS)


class Scene(Protocol):
    """Where a runner is tried: a mesh in a folder, on a broker. `environment` are the variables under which
    `headwater` finds mesh and stack.
    """

    @property
    def folder(self) -> Path:
        """Where logs may be left."""

    @property
    def broker(self) -> Broker:
        """It holds inputs and outputs."""

    @property
    def registry(self) -> Registry:
        """It has every schema of the mesh."""

    @property
    def mesh(self) -> Mesh:
        """The mesh."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Beside the process's own."""


class RunnerOnTrial(Protocol):
    """A runner, as the suite drives it. What it makes lies in the products' topics.

    `refused` are the names of the cases that it is known to refuse: one that it refuses beside them is a failure, and
    so is one of them that it takes.
    """

    name: str
    refused: Collection[str]

    def refusal(self, trial: Scene, product: ProductName) -> str:
        """Why it cannot run this product, with the place, as `plan` says it; empty where it can."""

    def start(self, trial: Scene, products: Sequence[ProductName]) -> Running:
        """Run these until told otherwise, going on from where an earlier life was killed."""


@dataclass
class Trial:
    """Cases as a mesh on a broker. `environment` are the variables under which `headwater` finds mesh and stack."""

    folder: Path
    broker: Broker
    registry: Registry
    mesh: Mesh
    files: Sequence[CaseFile]
    histories: Histories
    nonce: str
    environment: Mapping[str, str] = field(default_factory=dict)
    partitions: int = 2
    _sources: Sequence[ResolvedProduct] = ()
    _writers: dict[ProductName, SourceWriter] = field(default_factory=dict)

    @classmethod
    def made(
        cls,
        folder: Path,
        broker: Broker,
        registry: Registry,
        files: Sequence[CaseFile],
        histories: Histories,
        nonce: str,
        environment: Mapping[str, str] | None = None,
    ) -> Trial:
        """Write the mesh and register its schemas."""
        mesh = load_mesh(write_case_mesh(folder / "mesh", files, nonce))
        for product in mesh.in_order():
            for output in product.outputs:
                registry.register(output.subject, output.schema)
        variables = {**(environment or {}), "HEADWATER_MESH": str(folder / "mesh")}
        return cls(folder, broker, registry, mesh, files, histories, nonce, variables)

    def apply(self, products: Sequence[ProductName]) -> None:
        """Make the topics of these derived products and of what they read, as `headwater apply` would."""
        plans = {name: load_plan(self.mesh, name) for name in products}
        read = {one.product for name in products for one in self.mesh.product(name).product.inputs}
        self._sources = [source for source in self.mesh.in_order() if source.name in read]
        for topic in desired(self.mesh, plans, {*plans, *read}).topics:
            description = TopicDescription(topic.name, topic.partitions, dict(topic.settings))
            asked_again(partial(self.broker.create_topic, description))

    def product(self, case: Case) -> ProductName:
        """What a case's output is called here."""
        return named(case.output.product, self.nonce)

    def feed(self, first: float, last: float, seed: int) -> None:
        """Write this part of what is read, from one share of each history to another; after the last record marks far
        ahead.

        Topics interleave by chance, each in its own order.
        """
        chance = random.Random(seed)
        left = []
        for source in self._sources:
            history = self._history(source)
            records = history[int(first * len(history)) : int(last * len(history))]
            pieces = [records[start : start + AT_ONCE] for start in range(0, len(records), AT_ONCE)]
            if pieces:
                left.append((source, pieces))
        with ExitStack() as open_:
            writers = {source.name: open_.enter_context(self._writer(source)) for source in self._sources}
            while left:
                source, pieces = chance.choice(left)
                records = pieces.pop(0)
                writers[source.name].write(records, records[-1]["recorded_at"] - 1)
                left = [entry for entry in left if entry[1]]
            if last == 1:
                for writer in writers.values():
                    writer.write((), AFTER_ALL)

    def settled(self, case: Case) -> bool:
        """Whether every partition of a case's output is settled past all input."""
        product = self.mesh.product(self.product(case))
        marks = messages_of(self.broker, naming.progress_topic(product.name, product.major))
        newest = {message.partition: decode_mark(message.value or b"")[0] for message in marks}
        count = product.output.output.partitions
        return len(newest) == count and min(newest.values()) >= AFTER_ALL - self.mesh.file.tick

    def messages(self, case: Case) -> list[Message]:
        """What the case's topic holds, partition after partition."""
        return messages_of(self.broker, self.mesh.product(self.product(case)).output.topic)

    def log(self, case: Case) -> list[dict[str, Any]]:
        """What was published, in the form and order of the oracle's log; repeats of a place are in it."""
        decode = RowCodec(self.mesh.product(self.product(case)).output.schema).decode
        entries = []
        for message in self.messages(case):
            record = self._plain(decode(unframe(message.value)[1]))
            entries.append(
                {
                    "identity": case.identity(record),
                    "value": case.value(record),
                    "kind": record["kind"],
                    "revision": record["revision"],
                    "recorded_at": record["recorded_at"],
                }
            )
        return sorted(entries, key=lambda entry: (entry["recorded_at"], case.order(entry["identity"])))

    def _plain(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Names of products, where a union writes them into a record, as the case has them."""
        sign = f"{self.nonce}."
        return {name: value.replace(sign, ".") if isinstance(value, str) else value for name, value in record.items()}

    def _history(self, source: ResolvedProduct) -> Sequence[Mapping[str, Any]]:
        ports = {port.topic: port for file in self.files for port in file.case.inputs}
        (topic,) = [topic for topic, port in ports.items() if named(port.product, self.nonce) == source.name]
        return self.histories[topic]

    def _writer(self, source: ResolvedProduct) -> SourceWriter:
        return self._writers.setdefault(source.name, SourceWriter(self.broker, self.registry, source))

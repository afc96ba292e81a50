"""The reference mesh under names of its own, with real flights written as relays would: for runners to be held against
the recomputation of the data set.

The same reports are in the same transactions with the same recorded times in each mesh that is made, so that what
runners publish can be compared to the byte. Reports come late, are corrected and withdrawn, as in the reference mesh;
here some also come twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache, partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from examples import verify
from examples.services.data import instant
from examples.services.reports import SEED_DEFAULT, Replay, Report

from headwater.contracts.load import PRODUCT_FILE
from headwater.mesh.load import load_mesh
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.naming import ProductName
from headwater.plan.desired import desired
from headwater.ports.marks import newest_marks
from headwater.ports.protocol import Broker
from headwater.ports.reading import places_of
from headwater.ports.record import Message, TopicDescription
from headwater.processing.flow_file import load_plan
from headwater.schemas.codec import unframe
from headwater.schemas.registry import Registry
from headwater.testing.asked_again import asked_again
from headwater.testing.source_writer import SourceWriter, messages_of

ROOT = Path(__file__).resolve().parents[2]
FOLDED = ("airports.hourly_punctuality", "routes.daily_performance")
JOINED = "planning.delay_features"
DERIVED = (*FOLDED, JOINED)
TWICE = 40  # one of so many reports comes a second time
TOGETHER = 397  # reports of a transaction: several ticks in one, several reports in a tick
BEGAN = instant("2026-01-01T00:00:00Z")
APART = 40_000  # microseconds from one report to the next; a tick has 100,000
AFTER = 60_000_000

Record = Mapping[str, Any]


@lru_cache
def reports(rows: int) -> Sequence[Report]:
    """Of so many flights and their companions, in order; now and then one twice."""
    found: list[Report] = []
    for report in Replay(rows):
        if isinstance(report, Report):
            found += [report, report] if len(found) % TWICE == 0 else [report]
    return found


@dataclass
class ReferenceFlights:
    """The reference mesh on a broker. `environment` are the variables under which `headwater` finds mesh and stack."""

    folder: Path
    broker: Broker
    registry: Registry
    mesh: Mesh
    nonce: str
    rows: int
    products: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    _writers: dict[ProductName, SourceWriter] = field(default_factory=dict)

    @classmethod
    def made(
        cls,
        folder: Path,
        broker: Broker,
        registry: Registry,
        *,
        nonce: str,
        rows: int,
        products: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> ReferenceFlights:
        """Copy the mesh, make topics and register schemas, as `apply` would, for these derived products and what they
        read.
        """
        mesh = load_mesh(copied(folder / "mesh", nonce))
        derived = [mesh.product(named(name, nonce)) for name in products]
        plans = {one.name: load_plan(mesh, one.name) for one in derived}
        needed = {*plans, *(read.product for one in derived for read in one.product.inputs)}
        for topic in desired(mesh, plans, needed).topics:
            description = TopicDescription(topic.name, topic.partitions, dict(topic.settings))
            asked_again(partial(broker.create_topic, description))
        for name in sorted(needed, key=str):
            for output in mesh.product(name).outputs:
                registry.register(output.subject, output.schema)
        variables = {**(environment or {}), "HEADWATER_MESH": str(folder / "mesh")}
        return cls(folder, broker, registry, mesh, nonce, rows, products, variables)

    def product(self, name: str) -> ResolvedProduct:
        """A product of the reference mesh as it is called here."""
        return self.mesh.product(named(name, self.nonce))

    def names_runner(self, name: str, runner: str) -> None:
        """Write into a product's contract which runner it has."""
        file = self.product(name).folder / PRODUCT_FILE
        lines = [line for line in file.read_text().splitlines() if not line.startswith("runner:")]
        file.write_text("\n".join([*lines, f"runner: {runner}", ""]))

    def feed(self, first: float, last: float) -> int:
        """Write what is reported to the sources, from one share of it to another, and marks behind each transaction;
        after the last report far ahead. Up to when all is told, in microseconds.
        """
        names = {source.name for source in self._sources()}
        told = [pair for pair in enumerate(reports(self.rows)) if named(pair[1].product, self.nonce) in names]
        start, stop = (int(share * len(told)) for share in (first, last))
        numbered = iter(told[start:stop])
        with ExitStack() as open_:
            writers = {source.name: open_.enter_context(self._writer(source)) for source in self._sources()}
            while group := list(islice(numbered, TOGETHER)):
                through = BEGAN + (group[-1][0] + 1) * APART - 1
                self._write(writers, group, through)
            if last == 1:
                through += AFTER
                self._write(writers, [], through)
        return through

    def begun(self, name: str) -> bool:
        """Whether a product's topic holds anything that is committed."""
        return any(self.broker.stable_ends(places_of(self.broker, self.product(name).output.topic)).values())

    def settled(self, name: str) -> int:
        """Up to when every partition of a product has a mark; -1 before all have one."""
        product = self.product(name)
        partitions = range(product.output.output.partitions)
        marks = newest_marks(self.broker, product, partitions)
        return min(int(through) for through, _ in marks.values()) if len(marks) == len(partitions) else -1

    def messages(self, name: str) -> list[Message]:
        """What a product's topic holds, partition after partition."""
        return messages_of(self.broker, self.product(name).output.topic)

    def digest(self, name: str) -> str:
        """Of partitions, keys, Avro bodies and timestamps in their order; a schema's id and offsets are a broker's."""
        digest = blake2b(digest_size=16)
        for one in self.messages(name):
            parts = (str(one.partition).encode(), one.key or b"", unframe(one.value)[1], str(one.timestamp).encode())
            for part in parts:
                digest.update(len(part).to_bytes(4, "big") + part)
        return digest.hexdigest()

    def kinds(self, name: str) -> set[str]:
        """Which kinds of record a product has published."""
        return {record["kind"] for record in verify.records(self.broker, self.product(name))}

    def differences(self, name: str) -> list[str]:
        """Where a product's newest records leave the plain recomputation of the data set, in words."""
        newest = verify.newest(self.broker, self.product(name))
        found, expected = verify.COMPARISONS[name](newest, self.rows, SEED_DEFAULT)
        assert len(expected) > 100
        return verify.differing(found, expected)

    def _sources(self) -> list[ResolvedProduct]:
        """What the products read."""
        names = {read.product for name in self.products for read in self.product(name).product.inputs}
        return [self.mesh.product(name) for name in sorted(names, key=str)]

    def _writer(self, source: ResolvedProduct) -> SourceWriter:
        return self._writers.setdefault(source.name, SourceWriter(self.broker, self.registry, source))

    def _write(
        self, writers: Mapping[ProductName, SourceWriter], group: Sequence[tuple[int, Report]], through: int
    ) -> None:
        """A transaction for each source, as relays that read one log of a database."""
        for source in self._sources():
            writers[source.name].write(self._records(source, group), through)

    def _records(self, source: ResolvedProduct, group: Sequence[tuple[int, Report]]) -> Iterator[Record]:
        for number, report in group:
            if named(report.product, self.nonce) == source.name:
                platform = {"recorded_at": BEGAN + number * APART, "kind": report.kind, "revision": report.revision}
                event = {"event_id": report.event_id} if report.event_id is not None else {}
                yield {**report.record, **event, **platform}


def named(name: str, nonce: str) -> ProductName:
    """A product of the reference mesh under the name that it has in a mesh with this nonce.

    >>> str(named("flights.departures", "x1"))
    'flightsx1.departures'
    """
    domain, product = name.split(".")
    return ProductName(domain + nonce, product)


def copied(folder: Path, nonce: str) -> Path:
    """The reference mesh with a nonce behind each domain, its flows as they stand."""
    domains = {one.name.domain for one in load_mesh(ROOT).products.values()}
    names = re.compile(rf"\b({'|'.join(sorted(domains))})\.(?=[a-z])")
    for part in ("connectors", "streams", "schemas"):
        for file in sorted((ROOT / part).rglob("*")):
            if file.suffix in (".yaml", ".py", ".avsc") and file.name != "tests.yaml":
                place = [f"{one}{nonce}" if one in domains else one for one in file.relative_to(ROOT).parts]
                target = folder.joinpath(*place)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(names.sub(rf"\g<1>{nonce}.", file.read_text()))
    (folder / "mesh.yaml").write_text((ROOT / "mesh.yaml").read_text())
    return folder

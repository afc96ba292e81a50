"""What is run and how much of it: workloads by name, sizes, the choice of systems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench import folding, queries, sellers, wide_totals
from bench.drain import FAULTS
from bench.folding import Workload
from bench.kafka import Kafka
from bench.stack import MESH, NEXMARK
from bench.systems.protocol import System

WORKLOADS = (
    "W1",
    *folding.workloads(1, full=False),
    *wide_totals.workloads(1),
    *queries.workloads(1),
    *sellers.workloads(1),
    "W8",
    "W10",
)

# Only where they are named: rivals that bring hundreds of megabytes, and our own products on other runners.
NAMED = ("quix", "faust", "flink", "flink-heap", "headwater-faust", "headwater-flink")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How much a run does; the first `discarded` rounds warm the broker and the page cache and do not count."""

    rows: int
    events: int
    rounds: int
    discarded: int
    latency_seconds: float
    full: bool = False


SIZES = {
    "small": Size(rows=100_000, events=200_000, rounds=2, discarded=0, latency_seconds=5.0),
    "full": Size(rows=1_000_000, events=5_000_000, rounds=6, discarded=1, latency_seconds=60.0, full=True),
}


class Named(Protocol):
    """Whatever can be chosen by name."""

    @property
    def name(self) -> str:
        """As it stands in the results."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for: workloads, and systems by name (empty: those that `SYSTEMS` of the workload lists)."""

    workloads: tuple[str, ...]
    systems: tuple[str, ...] = ()

    def takes(self, system: Named) -> bool:
        """Whether a system is wanted; the peers' default settings, and other rivals, only where they are named."""
        if self.systems:
            return system.name in self.systems
        return not system.name.endswith("-defaults") and system.name not in NAMED


def chosen(only: str, names: Sequence[str] = ()) -> tuple[str, ...]:
    """The workloads that a name means, or several with commas between them.

    >>> chosen("W2"), chosen("W1"), chosen("")
    (('W2a', 'W2b'), ('W1',), ('W1', 'W2a', 'W2b'))
    >>> chosen("W6,W5-q1")
    ('W6-q17', 'W5-q1')
    """
    names = names or WORKLOADS
    found: dict[str, None] = {}
    for asked in only.split(","):
        if asked in ("", "W2"):  # what took place first, and what there are targets against a rival for
            some = [name for name in names if name in ("W1", "W2a", "W2b") and name.startswith(asked)]
        else:
            some = [asked] if asked in names else [name for name in names if name.startswith(asked)]
        if not some:
            raise ValueError(f"there is no workload '{asked}'; there are {', '.join(names)} and W9")
        found |= dict.fromkeys(some)
    return tuple(found)


def installed(systems: Iterable[System]) -> Iterator[tuple[str, str]]:
    """Install each; those that cannot be had, and why."""
    for system in systems:
        try:
            system.install()
        except Exception as error:  # a rival that cannot be had must not end the others' run
            yield system.name, f"cannot be installed: {error}"


def workload(name: str, size: Size) -> Workload:
    """The workload of a name, at this size: its input and its oracle."""
    every = (
        folding.workloads(size.events, full=size.full),
        *(family.workloads(size.events) for family in (wide_totals, queries, sellers)),
    )
    return {made: make for family in every for made, make in family.items()}[name]()


def mesh_of(name: str) -> Path:
    """In which of the bench's meshes a workload takes place."""
    return NEXMARK if name.startswith(("W5", "W6")) else MESH


def emptied(kafka: Kafka, workload: Workload, tell: Tell) -> None:
    """The next workload's input starts at offset 0 again. Where it does not, that one finds more than it wrote, and
    says so: the figures of this one stand.
    """
    mine = tuple(feed.topic for feed in workload.feeds)
    try:
        topics = kafka.topics()
        kafka.delete([name for name in topics if name in mine or name.startswith(tuple(f"{one}." for one in mine))])
    except FAULTS as error:
        tell(f"the input stays: {error}")

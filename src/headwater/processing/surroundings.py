"""What a runner works in, and the account that each of its stages keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from headwater.hooks import Hooks
from headwater.mesh.products import Mesh
from headwater.ports.protocol import Broker
from headwater.processing.checkpoint import Checkpoint
from headwater.schemas.registry import Registry
from headwater.timeline.clock import Clock


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a runner works in. `slot` is the worker's number: it names the writer, the member and the state's folder.

    `transaction_ms` is how long a transaction may stay open before the broker aborts it. `held_bytes` is how much
    of its input a stage may hold uncommitted before inputs that are ahead stop.
    """

    broker: Broker
    registry: Registry
    mesh: Mesh
    folder: Path
    clock: Clock
    hooks: Hooks
    slot: int = 0
    standby: bool = False
    transaction_ms: int = 30_000
    held_bytes: int = 64 * 1024 * 1024
    failpoint: Callable[[str], None] = lambda name: None
    checkpoint: type[Checkpoint] = Checkpoint


@dataclass(frozen=True, slots=True)
class Place:
    """How one partition of a stage stands: `percent` of its state is there; the next offset of each of its inputs."""

    state: Literal["running", "paused", "restoring"]
    percent: int
    committed_at: int
    offsets: Mapping[str, int]


@dataclass(slots=True)
class Account:
    """What a stage has done since the worker started, and how its partitions stand: those replaced whole, for others
    threads that look.
    """

    records: int = 0
    commits: int = 0
    doubts: int = 0
    places: Mapping[int, Place] = field(default_factory=dict)
    copies: Sequence[int] = ()

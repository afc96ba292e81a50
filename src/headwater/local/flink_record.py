"""What is on record of live Flink jobs, and that nobody else writes a product while its job is at work.

A job belongs to whoever deployed it: the record lies in that machine's data folder, and is kept when the job ends, so
that its open transaction can be ended before anybody reads what the product holds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from headwater import naming
from headwater.errors import CallerFault
from headwater.local import processes
from headwater.local.flink_rest import FlinkCluster, JobState
from headwater.mesh.products import Mesh
from headwater.ports.protocol import Broker

_AHEAD = 3  # transactions that may be open behind the newest checkpoint that is known


@dataclass(frozen=True, slots=True)
class Deployed:
    """A live job: the address of its cluster, its id, and the savepoint that it was stopped behind.

    `fits` tells jobs apart whose kept state is not the same.
    """

    cluster: str
    job: str
    fits: str
    savepoint: str = ""
    stopped: bool = False


def folder_of(data_folder: Path, product: str) -> Path:
    """What a live job keeps on this machine."""
    return data_folder / "flink" / "live" / product


def process_of(product: str) -> str:
    """The name of the process that a live job's own cluster is."""
    return f"flink-{product}"


def recorded(data_folder: Path, product: str) -> Deployed | None:
    """The job that was last deployed from here; None where there was none."""
    file = _file(data_folder, product)
    return Deployed(**json.loads(file.read_text())) if file.is_file() else None


def record(data_folder: Path, product: str, deployed: Deployed) -> None:
    """Remember a job."""
    file = _file(data_folder, product)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(deployed), indent=2) + "\n")
    draft.rename(file)


def state_of(data_folder: Path, product: str, deployed: Deployed) -> JobState | None:
    """How a job is; None where it is gone, since its cluster, a process that was started for it, has ended.

    Raises `Unreachable` HW-P251 where the process lives and does not answer.
    """
    process = processes.find(data_folder, process_of(product))
    if process is None or not process.alive:
        return None
    return FlinkCluster(deployed.cluster).job(deployed.job)


def require_no_live_job(mesh: Mesh, products: Sequence[str], data_folder: Path, broker: Broker) -> None:
    """Refuse products whose live job is at work, and end what one that is gone may have left open.

    Raises `CallerFault` HW-P252, and `Unreachable` HW-P251 where its cluster does not answer.
    """
    for name in products:
        deployed = recorded(data_folder, name)
        process = processes.find(data_folder, process_of(name))
        lives = process is not None and process.alive
        if deployed is None or deployed.stopped:
            state = None
            if not lives:
                continue
        else:
            state = state_of(data_folder, name, deployed)
        # One that lives and is not on record was started by a command that was killed before it wrote that down.
        if (lives and state is None) or (state is not None and state.at_work):
            raise CallerFault(
                f"{name}: a live Flink job has it",
                code="HW-P252",
                detail=f"the process {process_of(name)} writes the same records",
                hint=f"headwater runner flink stop {name} ends it; where that knows of none, headwater down does",
            )
        product = mesh.whole(name)
        fence_live(naming.topic(product.name, product.major), broker, _newest(data_folder, name, state))


def live_prefix(topic: str) -> str:
    """What the transactional ids of a product's live job begin with; those of bounded runs begin otherwise."""
    return f"{topic}-flink-live"


def fence_live(topic: str, broker: Broker, checkpoint: int) -> None:
    """End the transactions of a job that is gone, by its newest checkpoint: they would hold readers back."""
    for number in range(max(1, checkpoint), checkpoint + 1 + _AHEAD):
        sink = broker.sink(f"{live_prefix(topic)}-0-{number}")
        sink.open()
        sink.close()


def _newest(data_folder: Path, product: str, state: JobState | None) -> int:
    if state is not None and state.checkpoint is not None:
        return state.checkpoint.number
    found = folder_of(data_folder, product).glob("checkpoints/*/chk-*")
    return max((int(one.name.removeprefix("chk-")) for one in found), default=0)


def _file(data_folder: Path, product: str) -> Path:
    return data_folder / "flink" / "live" / f"{product}.json"

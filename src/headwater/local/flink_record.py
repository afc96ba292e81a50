"""Whether a product's live Flink job is at work, wherever it was deployed, and that nobody else writes meanwhile.

What is on record of it lies beside the product, for every machine to see; how it is now only its cluster knows.
"""

from __future__ import annotations

import contextlib
import platform
import urllib.error
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from headwater import naming
from headwater.errors import CallerFault, Unreachable
from headwater.local import processes
from headwater.local.flink_rest import STARTING, FlinkCluster, JobState
from headwater.local.flink_session import end_session
from headwater.mesh.products import Mesh
from headwater.ports.protocol import Broker
from headwater.processing.deployed import Deployed, change, recorded, taken
from headwater.processing.patience import patiently
from headwater.timeline.clock import Clock

_AHEAD = 3  # transactions that may be open behind the newest checkpoint that is known
# A command that was killed while it started a job is not waited for any longer: at a gateway, as a process.
_SUBMITTED_MICROSECONDS, _BEGUN_MICROSECONDS = 600_000_000, 30_000_000
Clusters = Callable[[str], FlinkCluster]


def folder_of(data_folder: Path, product: str) -> Path:
    """What a live job in a process of its own keeps on its machine."""
    return data_folder / "flink" / "live" / product


def process_of(product: str) -> str:
    """The name of the process that a live job's own cluster is."""
    return f"flink-{product}"


def this_machine() -> str:
    """What tells this machine from others that write to the same Kafka."""
    return platform.node()


def state_of(product: str, deployed: Deployed, clock: Clock, clusters: Clusters = FlinkCluster) -> JobState | None:
    """How a job is; None where it is gone: its own process has ended, or its cluster does not know it.

    Raises `Unreachable` HW-P251 where that cannot be told from here.
    """
    since = int(clock.now()) - deployed.at
    if deployed.host:
        if deployed.host != this_machine():
            raise Unreachable(
                f"{product}: its live Flink job is a process of {deployed.host}",
                code="HW-P251",
                detail="whether it is at work can be asked on that machine alone",
                hint=f"headwater runner flink stop {product} there; forget {product}, once it has ended for good",
            )
        data_folder = Path(deployed.data_folder)
        process = processes.find(data_folder, process_of(product))
        if process is None or not process.alive:
            return STARTING if not deployed.job and since < _BEGUN_MICROSECONDS else None
        address = folder_of(data_folder, product) / "address"
        if not deployed.job and not address.is_file():
            return STARTING
        url, job = (deployed.cluster, deployed.job) if deployed.job else address.read_text().splitlines()
        return clusters(url).job(job)
    cluster = clusters(deployed.cluster)
    job = deployed.job or cluster.named(deployed.called)
    if not job:
        return STARTING if since < _SUBMITTED_MICROSECONDS else None
    return cluster.job(job)


def require_no_live_job(
    mesh: Mesh, products: Sequence[str], broker: Broker, *, clock: Clock, clusters: Clusters = FlinkCluster
) -> None:
    """Refuse products whose live job is at work, and end what one that is gone may have left open.

    Raises `CallerFault` HW-P252, and `Unreachable` HW-P251 where its cluster does not answer.
    """
    resolved = {name: mesh.whole(name) for name in products}
    topics = {name: naming.control_topic(one.name, one.major) for name, one in resolved.items()}
    found = patiently(lambda: recorded(broker, list(topics.values())), clock)
    for name in resolved:
        deployed = found.get(topics[name])
        if deployed is None or deployed.ended:
            continue
        state = state_of(name, deployed, clock, clusters)
        if state is not None and state.at_work:
            where = f"the process {process_of(name)}" if deployed.host else f"a job of the cluster {deployed.cluster}"
            raise taken(name, f"{where} writes the same records")
        let_go(name, deployed, state, broker, mesh=mesh, clock=clock)


def let_go(
    name: str, deployed: Deployed, state: JobState | None, broker: Broker, *, mesh: Mesh, clock: Clock
) -> Deployed:
    """End what a job that is gone has open, and write down that nobody has the product now."""
    product = mesh.whole(name)
    if deployed.session:
        with contextlib.suppress(urllib.error.URLError, OSError):
            end_session(deployed.session)
    newest = newest_of(name, deployed, state)
    fence_live(naming.topic(product.name, product.major), broker, newest)

    def over(now: Deployed | None) -> Deployed:
        if now is None or now.called != deployed.called or now.ended:
            raise taken(name, "another command has started or ended it meanwhile")
        return replace(now, ended="gone", checkpoint=newest)

    return change(broker, product.name, product.major, over, clock=clock)


def newest_of(product: str, deployed: Deployed, state: JobState | None) -> int:
    """The number of the newest checkpoint of a job that is known here."""
    if state is not None and state.checkpoint is not None:
        return state.checkpoint.number
    if deployed.host != this_machine():
        return deployed.checkpoint
    found = folder_of(Path(deployed.data_folder), product).glob("checkpoints/*/chk-*")
    return max([deployed.checkpoint, *(int(one.name.removeprefix("chk-")) for one in found)])


def live_prefix(topic: str) -> str:
    """What the transactional ids of a product's live job begin with; those of bounded runs begin otherwise."""
    return f"{topic}-flink-live"


def fence_live(topic: str, broker: Broker, checkpoint: int) -> None:
    """End the transactions of a job that is gone, by its newest checkpoint: they would hold readers back."""
    for number in range(max(1, checkpoint), checkpoint + 1 + _AHEAD):
        sink = broker.sink(f"{live_prefix(topic)}-0-{number}")
        sink.open()
        sink.close()


def no_job(product: str, why: str) -> CallerFault:
    """There is no live job to speak of."""
    return CallerFault(
        f"{product} has no live Flink job",
        code="HW-P253",
        detail=why,
        hint=f"headwater runner flink deploy {product} starts one",
    )

"""A live job on a cluster that somebody else runs: submitted by its SQL gateway, asked and stopped at its JobManager.

What the cluster has to have is asked of it before anything is changed: connectors, formats and our functions by
planning the job there, a folder for what is kept by its settings.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from headwater.errors import CallerFault, Fault, HeadwaterError
from headwater.local.flink_place import Note, not_running
from headwater.local.flink_rest import FlinkCluster
from headwater.local.flink_session import GatewaySession, Refused, causes, missing_in
from headwater.processing.deployed import Deployed
from headwater.processing.runners.flink_text import text
from headwater.timeline.clock import Clock

CHECKPOINTS, SAVEPOINTS = "execution.checkpointing.dir", "execution.checkpointing.savepoint-dir"
_IN_A_PROCESS = (
    "",
    "local",
)  # targets of a gateway whose jobs run within its own process, each in a cluster of its own
_FLINKS_PORT = "8081"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A cluster: its gateway; its JobManager, empty for the one that the gateway names; a folder that all of its
    machines see, empty for the one it is set to; and jars that it does not have, by paths that its gateway sees.
    """

    gateway: str
    rest: str = ""
    folder: str = ""
    jars: tuple[str, ...] = ()


class ThroughGateway:
    """The place of a job there. `clusters` and `sessions` stand for HTTP in tests."""

    def __init__(
        self,
        where: Elsewhere,
        clock: Clock,
        clusters: Callable[[str], FlinkCluster] = FlinkCluster,
        sessions: Callable[[str], GatewaySession] = GatewaySession,
    ) -> None:
        self._where = where
        self._clock = clock
        self._clusters = clusters
        self._session = sessions(where.gateway)
        self._opened = False
        self._called = ""

    def deployed(self, called: str, fits: str) -> Deployed:
        """What will be on record of a job there."""
        where, self._called = self._where, called
        return Deployed(
            0, called, fits, cluster=where.rest, folder=where.folder, gateway=where.gateway, jars=where.jars
        )

    def prepare(self, statements: Sequence[str], settings: Mapping[str, object]) -> None:
        """Raises `CallerFault` HW-P257 where the gateway has no cluster that can be asked, HW-P258 where nothing can be
        kept, HW-P259 where jars are missing; `Unreachable` HW-P250 or HW-P251.
        """
        folder = self._where.folder
        kept = {CHECKPOINTS: f"{folder}/checkpoints", SAVEPOINTS: f"{folder}/savepoints"} if folder else {}
        own = {**settings, **kept, "table.dml-sync": "false", "execution.runtime-mode": "streaming"}
        try:
            self._session.open(own)
            self._opened = True
            self._find_cluster(self._session.settings())
            for jar in self._where.jars:
                self._add(jar)
            for statement in statements[:-1]:
                self._session.execute(statement, self._clock)
            self._session.execute(f"EXPLAIN {statements[-1]}", self._clock)
        except Refused as refused:
            raise self._not_taken(refused.said) from None

    def start(self, statements: Sequence[str], settings: Mapping[str, object], note: Note) -> None:
        """Submit the last statement: the others were run in the same session by `prepare`."""
        note(cluster=self._where.rest, session=self._session.url)
        try:
            job = self._session.submit(statements[-1], self._clock)
        except Refused as refused:
            raise self._not_taken(refused.said) from None
        if self._clusters(self._where.rest).job(job) is None:
            with contextlib.suppress(Refused):
                self._session.execute(f"STOP JOB '{job}'", self._clock)
            raise self._no_cluster("it has put the job on another one, where it was told to stop")
        note(cluster=self._where.rest, job=job)

    def clear(self) -> None:
        """Cancel a job that was submitted, though its answer was lost."""
        with contextlib.suppress(HeadwaterError):
            cluster = self._clusters(self._where.rest)
            if job := cluster.named(self._called):
                cluster.cancel(job, self._clock)

    def close(self) -> None:
        """End the session; the job goes on."""
        if self._opened:
            with contextlib.suppress(HeadwaterError, Refused):
                self._session.close()

    def _find_cluster(self, settings: Mapping[str, str]) -> None:
        if settings.get("execution.target", "") in _IN_A_PROCESS:
            raise self._no_cluster("it runs each job in a cluster within its own process")
        address = settings.get("rest.address", "")
        rest = self._where.rest or (f"http://{address}:{settings.get('rest.port', _FLINKS_PORT)}" if address else "")
        if not rest:
            raise self._no_cluster("it does not say where its JobManager is")
        known = self._clusters(rest).settings()
        folder = self._where.folder
        if not folder and not (known.get(CHECKPOINTS) and known.get(SAVEPOINTS)):
            raise CallerFault(
                f"the Flink cluster at {rest} has no folder for checkpoints and savepoints",
                code="HW-P258",
                detail=f"neither a folder was named, nor is it set to {CHECKPOINTS} and {SAVEPOINTS}",
                hint="name one that all its machines see: --folder s3://bucket/flink, or flink.folder in mesh.yaml",
            )
        self._where = Elsewhere(self._where.gateway, rest, folder, self._where.jars)

    def _add(self, jar: str) -> None:
        try:
            self._session.execute(f"ADD JAR {text(jar)}", self._clock)
        except Refused:
            raise self._missing([jar]) from None

    def _not_taken(self, said: str) -> Fault | CallerFault:
        missing = missing_in(said)
        return self._missing(missing) if missing else not_running(causes(said) or "the gateway's own log says why")

    def _missing(self, names: Sequence[str]) -> CallerFault:
        return CallerFault(
            f"the Flink cluster of {self._where.gateway} does not have {', '.join(names)}",
            code="HW-P259",
            detail="the connector of Kafka, the format avro-confluent and the functions of Headwater come in jars",
            hint="headwater runner flink jars FOLDER writes them; put them into lib on all its machines and start it "
            "anew, or name each by --jar, with a path that its gateway sees",
        )

    def _no_cluster(self, why: str) -> CallerFault:
        return CallerFault(
            f"the SQL gateway {self._where.gateway} leads to no cluster that can be asked about a live job",
            code="HW-P257",
            detail=why,
            hint="start it with execution.target remote, and rest.address and rest.port of the JobManager; --rest URL "
            "says how that is reached from here. deploy without --gateway starts a cluster on this machine",
        )

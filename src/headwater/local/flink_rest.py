"""A Flink cluster as its JobManager shows it over HTTP: its jobs, their checkpoints, failures, numbers; how one ends.

What it says of a failure are the kinds of its errors. Their messages may hold values of records, and stay there.
"""

from __future__ import annotations

import urllib.error
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.errors import Fault, Unreachable
from headwater.local.flink_session import answered, causes
from headwater.timeline.clock import Clock

Ask = Callable[..., Any]
AT_WORK = frozenset({"INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "FAILING", "CANCELLING", "RECONCILING"})
NEVER = -1
_ASK_SECONDS = 20
_POLL_MICROSECONDS = 200_000
_STOP_MICROSECONDS = 120_000_000
_IN, _OUT, _LAG = "numRecordsIn", "numRecordsSend", "pendingRecords"
_LATE, _LOST = "currentEmitEventTimeLag", "failedCommittables"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a job can go on from: where it lies, when it was begun (microseconds), how long it took, its bytes."""

    number: int
    path: str
    begun: int
    micros: int
    bytes: int


@dataclass(frozen=True, slots=True)
class JobState:
    """A job now. `state` is Flink's word; `failure` the kinds of the errors that last stopped it, the outer one first.

    `restarts` counts attempts after the first. Numbers are those of this attempt; -1 where the cluster has none yet.
    `late` is how old the last record was when it was taken, in milliseconds; `lost` are transactions that could not be
    committed any more, and were given up.
    """

    job: str
    state: str
    begun: int
    restarts: int
    failure: str
    checkpoint: Checkpoint | None
    failed_checkpoints: int
    rows_in: int
    rows_out: int
    lag: int
    late: int = NEVER
    lost: int = NEVER

    @property
    def at_work(self) -> bool:
        """Whether it runs, or will by itself."""
        return self.state in AT_WORK


STARTING = JobState("", "INITIALIZING", 0, 0, "", None, 0, NEVER, NEVER, NEVER)  # its command has yet to name it


class FlinkCluster:
    """The cluster at an address, as http://127.0.0.1:8081.

    Each call raises `Unreachable` HW-P251 where nobody answers there. `ask` stands for HTTP in tests: a method, a place
    and a body to what is answered.
    """

    def __init__(self, url: str, ask: Ask | None = None) -> None:
        self.url = url.rstrip("/")
        self._ask: Ask = ask or self._over_http

    def job(self, job: str) -> JobState | None:
        """How a job is; None where the cluster knows nothing of it."""
        try:
            seen = self._ask("GET", f"/jobs/{job}")
        except UnknownThere:
            return None
        checkpoints = self._ask("GET", f"/jobs/{job}/checkpoints")
        errors = self._ask("GET", f"/jobs/{job}/exceptions").get("exceptionHistory", {}).get("entries", [])
        numbers = self._numbers(job, [vertex["id"] for vertex in seen["vertices"]])
        restarts = self._metrics(f"/jobs/{job}/metrics", ["numRestarts"]).get("numRestarts", NEVER)
        return JobState(
            job,
            str(seen["state"]),
            int(seen["start-time"]) * 1_000,
            restarts,
            _kinds(errors[0]) if errors else "",
            _newest(checkpoints.get("latest") or {}),
            int((checkpoints.get("counts") or {}).get("failed", 0)),
            *(numbers.get(one, NEVER) for one in (_IN, _OUT, _LAG, _LATE, _LOST)),
        )

    def named(self, name: str) -> str:
        """The id of the job with this name, the newest of several; empty where there is none."""
        known = [one for one in self._ask("GET", "/jobs/overview")["jobs"] if one["name"] == name]
        return str(max(known, key=lambda one: int(one["start-time"]))["jid"]) if known else ""

    def settings(self) -> dict[str, str]:
        """What the cluster itself is set to; secrets are not among it."""
        return {str(one["key"]): str(one["value"]) for one in self._ask("GET", "/jobmanager/config")}

    def save_and_stop(self, job: str, folder: str | None, clock: Clock) -> str:
        """Stop a job behind a savepoint in a folder, None for the one that the cluster is set to; where it lies.

        No tick is closed early for it. Raises `Fault` HW-P254 where it does not come about; the job then goes on.
        """
        trigger = self._ask("POST", f"/jobs/{job}/stop", {"drain": False, "targetDirectory": folder})["request-id"]
        until = clock.monotonic() + _STOP_MICROSECONDS
        while clock.monotonic() < until:
            done = self._ask("GET", f"/jobs/{job}/savepoints/{trigger}")
            if done["status"]["id"] == "COMPLETED":
                operation = done["operation"]
                if "location" not in operation:
                    raise _not_stopped(causes(operation.get("failure-cause", {}).get("stack-trace", "")))
                self.wait_for_end(job, clock)
                return str(operation["location"])
            clock.sleep(_POLL_MICROSECONDS)
        raise _not_stopped("the savepoint does not end")

    def cancel(self, job: str, clock: Clock) -> None:
        """End a job at once, its open transaction with it. Raises `Fault` HW-P254 where it does not end."""
        self._ask("PATCH", f"/jobs/{job}?mode=cancel")
        self.wait_for_end(job, clock)

    def wait_for_end(self, job: str, clock: Clock) -> None:
        """Wait until a job is no longer at work."""
        until = clock.monotonic() + _STOP_MICROSECONDS
        while clock.monotonic() < until:
            if self._ask("GET", f"/jobs/{job}")["state"] not in AT_WORK:
                return
            clock.sleep(_POLL_MICROSECONDS)
        raise _not_stopped("it is at work still")

    def _numbers(self, job: str, vertices: list[str]) -> dict[str, int]:
        """What the source takes and the sink gives, over all vertices; a source has both in its name's first part."""
        found: dict[str, int] = {}
        for vertex in vertices:
            place = f"/jobs/{job}/vertices/{vertex}/metrics"
            known = [str(one["id"]) for one in self._ask("GET", place)]
            wanted = [one for one in known if _counted(one)]
            for name, value in self._metrics(place, wanted).items() if wanted else ():
                kind = name.rpartition(".")[2]
                before = found.get(kind, 0)
                found[kind] = max(before, value) if kind == _LATE else before + value
        return found

    def _metrics(self, place: str, names: list[str]) -> dict[str, int]:
        # An id begins with the number of a subtask; each job here has one.
        asked = self._ask("GET", f"{place}?get={','.join(map(_quoted, names))}")
        return {str(one["id"]): int(float(one["value"])) for one in asked}

    def _over_http(self, method: str, place: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            return answered(method, self.url + place, body, seconds=_ASK_SECONDS)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise UnknownThere from None
            raise _not_stopped(causes(error.read().decode(errors="replace"))) from None
        except (urllib.error.URLError, OSError) as error:
            raise Unreachable(
                f"Flink's cluster at {self.url} does not answer",
                code="HW-P251",
                detail=str(error),
                hint="start it; headwater runner flink forget PRODUCT where it has ended for good",
            ) from None


class UnknownThere(Exception):
    """The cluster answers, and does not know what was asked about."""


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _counted(name: str) -> bool:
    place, _, kind = name.rpartition(".")
    operator = place.partition(".")[2]
    if kind in (_IN, _LAG, _LATE):
        return operator.startswith("Source__")
    return (kind == _OUT and "Writer" in operator) or kind == _LOST


def _kinds(entry: Mapping[str, Any]) -> str:
    return causes(str(entry.get("stacktrace", ""))) or str(entry.get("exceptionName", ""))


def _newest(latest: Mapping[str, Any]) -> Checkpoint | None:
    known = [one for one in (latest.get("completed"), latest.get("savepoint")) if one]
    if not known:
        return None
    one = max(known, key=lambda each: each["id"])
    begun, took = int(one["trigger_timestamp"]), int(one["end_to_end_duration"])
    return Checkpoint(int(one["id"]), str(one["external_path"]), begun * 1_000, took * 1_000, int(one["state_size"]))


def _not_stopped(why: str) -> Fault:
    return Fault(
        "the Flink cluster did not do what it was asked to",
        code="HW-P254",
        detail=why or "its own log says why; it may hold values of records",
        hint="look at headwater runner flink status, and ask again",
    )

"""Flink's SQL gateway: a part of the local stack on demand (`up --flink`), and what is asked of any gateway.

The local one runs each job in a cluster within its own process. Jobs are submitted over HTTP, statement by statement;
the last one, the INSERT, is done when the job is.
"""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater.errors import Fault, Unreachable
from headwater.local import processes
from headwater.local.flink import class_path, java_flags, local_settings
from headwater.local.java import find_java, jars
from headwater.local.java_log import FILE_APPENDER
from headwater.local.processes import Process
from headwater.local.stack import HOST, LocalStack, Phases, quiet
from headwater.timeline.clock import Clock, SystemClock

NAME = "flink"
STOP_SECONDS = 10.0
_MAIN = "org.apache.flink.table.gateway.SqlGateway"
_ASK_SECONDS = 60
_POLL_MICROSECONDS = 200_000
_LOGGING = "rootLogger.level=WARN\nrootLogger.appenderRef.file.ref=file\n"


def start(stack: LocalStack, *, phases: Phases = quiet) -> Process:
    """Start the gateway; does not wait for it."""
    java, folder = find_java(), stack.data_folder / "flink" / "gateway"
    library = [*class_path(phases=phases), *jars("flink-gateway", phases=phases)]
    folder.mkdir(parents=True, exist_ok=True)
    own = {
        **local_settings(),
        "sql-gateway.endpoint.rest.address": HOST,
        "sql-gateway.endpoint.rest.bind-address": HOST,
        "sql-gateway.endpoint.rest.port": stack.ports.flink,
        "io.tmp.dirs": str(folder),
    }
    (folder / "config.yaml").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in own.items()))
    logging = folder / "log4j2.properties"
    logging.write_text((_LOGGING + FILE_APPENDER).format(file=stack.logs_folder / "flink-gateway.log"))
    flags = [*java_flags(java.version), f"-Dlog4j2.configurationFile={logging}", "-cp", ":".join(map(str, library))]
    argv = [str(java.executable), *flags, _MAIN, "-Dexecution.target=local"]
    return processes.start_process(stack.data_folder, NAME, argv, {"FLINK_CONF_DIR": str(folder)})


def stop(stack: LocalStack) -> bool:
    """Stop the gateway and its jobs; False where it did not run."""
    return processes.stop_process(stack.data_folder, NAME, asks=((processes.TERMINATE, STOP_SECONDS),))


def answers(stack: LocalStack) -> bool:
    """Whether the gateway takes requests."""
    try:
        with urllib.request.urlopen(f"{stack.flink_url}/v3/info", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def run_there(
    url: str,
    statements: Sequence[str],
    settings: Mapping[str, object],
    *,
    record: Path,
    stopped: Callable[[], bool] = lambda: False,
    clock: Clock | None = None,
) -> bool:
    """Run a bounded job by a gateway to its end; False where it was told to stop before.

    `record` is a file that names the session while it lasts: one that a killed command left behind is ended first, and
    its job with it. Raises `Unreachable` HW-P250 where the gateway does not answer, `Fault` HW-P247 where a job fails.
    """
    if record.is_file():
        _end_left_behind(record.read_text())
    gateway = _Session(url, {**settings, "table.dml-sync": "true", "execution.runtime-mode": "streaming"})
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(gateway.url)
    try:
        return all(gateway.execute(statement, stopped, clock or SystemClock()) for statement in statements)
    finally:
        gateway.close()
        record.unlink(missing_ok=True)


def _end_left_behind(url: str) -> None:
    """A session that is gone, or whose gateway is, has no job any more."""
    with contextlib.suppress(urllib.error.URLError, OSError):
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=_ASK_SECONDS).close()


class _Session:
    """A session of a gateway: its tables and functions are nobody else's, and end with it."""

    def __init__(self, url: str, settings: Mapping[str, object]) -> None:
        self.url = f"{url.rstrip('/')}/v3/sessions"
        made = self._ask("POST", "", {"properties": {key: str(value) for key, value in settings.items()}})
        self.url += f"/{made['sessionHandle']}"

    def execute(self, statement: str, stopped: Callable[[], bool], clock: Clock) -> bool:
        operation = self._ask("POST", "/statements", {"statement": statement})["operationHandle"]
        place = f"/operations/{operation}"
        while True:
            status = self._ask("GET", f"{place}/status")["status"]
            if status == "FINISHED":
                return True
            if status not in ("INITIALIZED", "PENDING", "RUNNING"):
                raise _failed(self._said(place))
            if stopped():
                self._ask("POST", f"{place}/cancel", {})
                return False
            clock.sleep(_POLL_MICROSECONDS)

    def close(self) -> None:
        self._ask("DELETE", "")

    def _said(self, place: str) -> str:
        try:
            self._ask("GET", f"{place}/result/0?rowFormat=JSON")
        except Fault as fault:
            return fault.detail
        return ""

    def _ask(self, method: str, place: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            return dict(answered(method, self.url + place, body, seconds=_ASK_SECONDS))
        except urllib.error.HTTPError as error:
            raise _failed(error.read().decode(errors="replace")) from None
        except (urllib.error.URLError, OSError) as error:
            raise Unreachable(
                f"Flink's SQL gateway at {self.url.partition('/v3')[0]} does not answer",
                code="HW-P250",
                detail=str(error),
                hint="headwater up --flink starts one on this machine",
            ) from None


def answered(method: str, url: str, body: Mapping[str, Any] | None, *, seconds: float) -> Any:
    """What a part of Flink answers over HTTP, JSON to JSON. Raises as `urllib.request.urlopen` does."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(asked, timeout=seconds) as answer:
        return json.loads(answer.read() or b"{}")


def _failed(said: str) -> Fault:
    return Fault(
        "the Flink job failed, and nothing of it was published",
        code="HW-P247",
        detail=causes(said) or "the gateway's own log says why; it may hold values of records",
        hint="mend what that log names, and run it again: it says what was not said before",
    )


def causes(said: str) -> str:
    """The kinds of the errors that led to this, without their messages: those may hold values of records."""
    kinds = [
        line.partition(":")[2].strip().partition(":")[0]
        for line in said.replace("\\n", "\n").splitlines()
        if line.startswith("Caused by:")
    ]
    return " < ".join(kinds[:5])

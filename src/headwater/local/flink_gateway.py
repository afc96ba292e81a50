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

from headwater.errors import Fault
from headwater.local import processes
from headwater.local.flink import class_path, java_flags, local_settings
from headwater.local.flink_session import GatewaySession, Refused, causes, end_session
from headwater.local.java import find_java, jars
from headwater.local.java_log import FILE_APPENDER
from headwater.local.processes import Process
from headwater.local.stack import HOST, LocalStack, Phases, quiet
from headwater.timeline.clock import Clock, SystemClock

NAME = "flink"
STOP_SECONDS = 10.0
_MAIN = "org.apache.flink.table.gateway.SqlGateway"
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
        with contextlib.suppress(urllib.error.URLError, OSError):  # a session that is gone has no job any more
            end_session(record.read_text())
    time, gateway = clock or SystemClock(), GatewaySession(url)
    gateway.open({**settings, "table.dml-sync": "true", "execution.runtime-mode": "streaming"})
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(gateway.url)
    try:
        return all(gateway.execute(statement, time, stopped=stopped) for statement in statements)
    except Refused as refused:
        raise Fault(
            "the Flink job failed, and nothing of it was published",
            code="HW-P247",
            detail=causes(refused.said) or "the gateway's own log says why; it may hold values of records",
            hint="mend what that log names, and run it again: it says what was not said before",
        ) from None
    finally:
        gateway.close()
        record.unlink(missing_ok=True)

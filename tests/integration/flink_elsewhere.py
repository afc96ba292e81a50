"""A Flink cluster that is nobody's of ours: a JobManager with its slots, and a SQL gateway before it. Not a test.

Both have Flink's own jars alone: what a job needs beside them has to be named.
"""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headwater.local import processes
from headwater.local.flink import class_path, java_flags, local_settings
from headwater.local.java import find_java, jars
from headwater.local.ports import free_base
from headwater.local.stack import HOST
from headwater.testing.broker_mesh import wait_until

CLUSTER, GATEWAY = "elsewhere-cluster", "elsewhere-gateway"


@dataclass(frozen=True)
class ClusterElsewhere:
    """Where it is, and the folder that its machines see."""

    folder: Path
    gateway: str
    rest: str

    def kill(self) -> None:
        """End the JobManager as a power cut would."""
        process = processes.find(self.folder, CLUSTER)
        assert process is not None
        processes.stop_process(self.folder, CLUSTER, asks=((signal.SIGKILL, 10.0),))
        assert not process.alive


@contextmanager
def cluster_elsewhere(folder: Path) -> Iterator[ClusterElsewhere]:
    """Start both, and end them."""
    folder.mkdir(parents=True)
    shipped = class_path()[1:]  # the first are our functions
    connectors = set(jars("flink"))
    bare = [jar for jar in shipped if jar not in connectors]
    try:
        rest = _cluster(folder, bare)
        yield ClusterElsewhere(folder, _gateway(folder, [*bare, *jars("flink-gateway")], rest), rest)
    finally:
        for name in (GATEWAY, CLUSTER):
            processes.stop_process(folder, name)


def _cluster(folder: Path, library: list[Path]) -> str:
    settings = {**local_settings(), "taskmanager.numberOfTaskSlots": 2, "io.tmp.dirs": folder}
    del settings["execution.target"]
    (folder / "cluster.properties").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    address, ours = folder / "address", folder / "ours"
    ours.mkdir()
    # Of our classes the cluster gets the one that begins it, and no function.
    for name in ("Live", "Statements"):
        for file in (class_path()[0] / "org" / "headwater" / "flink").glob(f"{name}*.class"):
            target = ours / "org" / "headwater" / "flink"
            target.mkdir(parents=True, exist_ok=True)
            (target / file.name).write_bytes(file.read_bytes())
    _start(folder, CLUSTER, [ours, *library], ["org.headwater.flink.Live", folder / "cluster.properties", "", address])
    wait_until(address.is_file, seconds=120)
    return address.read_text().splitlines()[0]


def _gateway(folder: Path, library: list[Path], rest: str) -> str:
    port = free_base(26_000)
    address, _, rest_port = rest.rpartition("//")[2].partition(":")
    own = {
        "execution.target": "remote",
        "rest.address": address,
        "rest.port": int(rest_port),
        "sql-gateway.endpoint.rest.address": HOST,
        "sql-gateway.endpoint.rest.bind-address": HOST,
        "sql-gateway.endpoint.rest.port": port,
        "io.tmp.dirs": str(folder),
    }
    (folder / "config.yaml").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in own.items()))
    main = ["org.apache.flink.table.gateway.SqlGateway", "-Dexecution.target=remote"]
    _start(folder, GATEWAY, library, main, {"FLINK_CONF_DIR": str(folder)})
    url = f"http://{HOST}:{port}"
    wait_until(lambda: _answers(url), seconds=120)
    return url


def _start(folder: Path, name: str, library: list[Path], main: list[object], env: dict[str, str] | None = None) -> None:
    java = find_java()
    argv = [java.executable, *java_flags(java.version), "-cp", ":".join(map(str, library)), *main]
    processes.start_process(folder, name, list(map(str, argv)), env)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v3/info", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False

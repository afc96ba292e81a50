"""The bench's own local stack: `headwater up` with its own data and ports, everything in it on the serving core."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.kafka import Kafka
from bench.machine import SERVING_CORE, Command, pids_naming, start
from bench.meter import usage

ROOT = Path(__file__).resolve().parent.parent
MESH = ROOT / "bench" / "meshes" / "orders"
NEXMARK = ROOT / "bench" / "meshes" / "nexmark"
PORT_BASE_DEFAULT = 29790
UP_SECONDS = 300.0
CALL_SECONDS = 120.0


class Stack:
    """Kafka, PostgreSQL and the registry for one run of the bench, and the way to call `headwater` on them."""

    def __init__(self, mesh: Path = MESH) -> None:
        self.mesh = mesh
        self.port_base = int(os.environ.get("HEADWATER_PORT_BASE") or PORT_BASE_DEFAULT)
        folder = Path(os.environ.get("HEADWATER_DATA") or ROOT / ".headwater" / "bench").resolve()
        self.data_folder = folder / "stack"  # removed with the stack, which refuses a folder with others' files in it
        self.work_folder = folder / "work"
        self.bootstrap = f"127.0.0.1:{self.port_base + 2}"
        self.registry_url = f"http://127.0.0.1:{self.port_base + 1}"
        self.connect_port = self.port_base + 5
        self.postgres_port = self.port_base + 4
        self.metrics_port = self.port_base + 6

    @property
    def variables(self) -> Mapping[str, str]:
        """What tells every `headwater` process of this bench where it works."""
        return {
            "HEADWATER_MESH": str(self.mesh),
            "HEADWATER_DATA": str(self.data_folder),
            "HEADWATER_PORT_BASE": str(self.port_base),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "",  # whatever our own shell says: what is installed has its bytecode
        }

    def headwater(self, *arguments: str) -> Command:
        """A call of the installed `headwater`, as any user makes it."""
        return Command([sys.executable, "-m", "headwater", *arguments], self.variables, ROOT)

    def call(self, *arguments: str, seconds: float = CALL_SECONDS) -> None:
        """Run `headwater` to its end on the serving core; raises with the end of its output where it fails."""
        log = self.log("call-" + "-".join(argument.strip("-") for argument in arguments[:1]))
        log.unlink(missing_ok=True)
        process = start(self.headwater(*arguments), core=SERVING_CORE, log=log)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise TimeoutError(f"headwater {' '.join(arguments)} took over {seconds:.0f} s; see {log}") from None
        if code:
            raise RuntimeError(f"headwater {' '.join(arguments)} ended with {code}:\n{tail(log)}")

    def up(self) -> Kafka:
        """Start everything; answers the bench's look at Kafka."""
        compileall.compile_dir(ROOT / "src", quiet=2)  # as pip does where it installs: else each start compiles it all
        self.call("up", seconds=UP_SECONDS)
        return Kafka(self.bootstrap)

    def down(self) -> None:
        """Stop what `up` started and remove its data: a run starts from nothing."""
        self.call("down", "--purge")

    def log(self, name: str) -> Path:
        """Where a process writes what it says."""
        return self.work_folder / "logs" / f"{name}.log"

    def postgres(self, database: str) -> str:
        """A connection string."""
        password = (self.data_folder / "postgres.password").read_text().strip()
        return f"postgresql://postgres:{password}@127.0.0.1:{self.postgres_port}/{database}"

    def broker_cpu_seconds(self) -> float:
        """What the broker has used so far."""
        brokers = [pid for pid in pids_naming("kafka.Kafka") if pid in pids_naming(str(self.data_folder))]
        return usage(*brokers).cpu_seconds if brokers else 0.0


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.is_file() else ""

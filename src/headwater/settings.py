"""Settings: the environment and the mesh's file, read once at the edge, to one frozen value.

| variable | meaning | default |
| --- | --- | --- |
| `HEADWATER_MESH` | the mesh's folder | the nearest folder upward with a `mesh.yaml` |
| `HEADWATER_ENVIRONMENT` | which environment of `mesh.yaml` | `local` |
| `HEADWATER_DATA` | where the local stack, state and journals lie | `.headwater` in the mesh's folder |
| `HEADWATER_PORT_BASE` | the local stack's block of ports starts above it | 29090 |
| `HEADWATER_CACHE` | where downloaded jars lie, shared by all checkouts | `~/.cache/headwater` |
| `HEADWATER_MAVEN` | Maven repositories in place of Central, separated by commas | Maven Central |
| `HEADWATER_OFFLINE` | 1: fetch nothing, use the cache as it is | none |
| `HEADWATER_CURSOR_KEY` | signs the cursors of `headwater serve`; the same on all servers | one for each run |
| `HEADWATER_FAILPOINT` | for chaos tests: `name:nth:kill`, `name:nth:stop` or `name:nth:raise` | none |
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from headwater.contracts.environment import Environment, MeshFile
from headwater.errors import CallerFault

PORT_BASE_DEFAULT = 29090
POSTGRES_PASSWORD_FILE = "postgres.password"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class _Read(BaseSettings):
    """The environment variables, as pydantic reads and judges them."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_")

    mesh: Path | None = None
    environment: str = "local"
    data: Path | None = None
    port_base: int = Field(default=PORT_BASE_DEFAULT, ge=1024, le=65000)
    cursor_key: str = Field(default="", repr=False)
    failpoint: str = Field(default="", pattern=r"^$|^[a-z_.]+:[1-9][0-9]*:(kill|stop|raise)$")


@dataclass(frozen=True, slots=True)
class LocalPorts:
    """The local stack's block of ports on 127.0.0.1, all derived from one base.

    >>> LocalPorts(29090).kafka
    29092
    """

    base: int

    @property
    def registry(self) -> int:
        """The registry's HTTP port."""
        return self.base + 1

    @property
    def kafka(self) -> int:
        """Kafka's listener."""
        return self.base + 2

    @property
    def kafka_controller(self) -> int:
        """Kafka's controller listener."""
        return self.base + 3

    @property
    def postgres(self) -> int:
        """PostgreSQL's port."""
        return self.base + 4

    @property
    def connect(self) -> int:
        """Kafka Connect's REST port."""
        return self.base + 5

    @property
    def flink(self) -> int:
        """The SQL gateway of Flink; the two ports before it are those of Prometheus and Grafana in containers."""
        return self.base + 8


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. Paths are absolute."""

    mesh_folder: Path
    environment: str
    data_folder: Path
    port_base: int
    failpoint: str
    cursor_key: str = field(default="", repr=False)

    @property
    def ports(self) -> LocalPorts:
        """The local stack's ports."""
        return LocalPorts(self.port_base)


def load_settings() -> Settings:
    """Read the environment; raises `CallerFault` HW-K001 naming the variable that is wrong."""
    try:
        read = _Read()
    except ValidationError as error:
        wrong = error.errors()[0]
        variable = "HEADWATER_" + str(wrong["loc"][0]).upper()
        raise CallerFault(
            f"{variable} is not usable: {wrong['msg']}",
            code="HW-K001",
            hint=f"set {variable} to a value as the settings reference describes it, or unset it",
        ) from None
    folder = (read.mesh or _nearest_mesh(Path.cwd())).resolve()
    data = (read.data or folder / ".headwater").resolve()
    return Settings(folder, read.environment, data, read.port_base, read.failpoint, read.cursor_key)


def environment_of(settings: Settings, mesh_file: MeshFile) -> Environment:
    """The chosen environment with its `${VARIABLE}`s, or the local stack's addresses, filled in.

    Raises `CallerFault` HW-K002 for an unknown environment, HW-K003 for a variable that is not set.
    """
    environment = mesh_file.environments.get(settings.environment)
    if environment is None:
        known = ", ".join(sorted(mesh_file.environments)) or "none"
        raise CallerFault(
            f"mesh.yaml has no environment '{settings.environment}'",
            code="HW-K002",
            detail=f"it has: {known}",
            hint="set HEADWATER_ENVIRONMENT to one of them, or add it to mesh.yaml",
        )
    if environment.local_stack:
        return local_environment(settings, mesh_file.databases, name=environment.name)
    return replace(
        environment,
        kafka=_filled(environment.kafka),
        registry_url=_fill(environment.registry_url),
        databases=_filled(environment.databases),
        connect_url=_fill(environment.connect_url),
        lake=_filled(environment.lake) or _lake_of(settings),
        flink=_filled(environment.flink),
    )


def local_environment(settings: Settings, databases: tuple[str, ...], *, name: str = "local") -> Environment:
    """The addresses of the stack that `headwater up` starts with these settings."""
    ports = settings.ports
    secret = settings.data_folder / POSTGRES_PASSWORD_FILE
    password = secret.read_text().strip() if secret.is_file() else ""
    return Environment(
        name=name,
        kafka={"bootstrap.servers": f"127.0.0.1:{ports.kafka}"},
        registry_url=f"http://127.0.0.1:{ports.registry}",
        databases={
            database: f"postgresql://postgres:{password}@127.0.0.1:{ports.postgres}/{database}"
            for database in databases
        },
        local_stack=True,
        connect_url=f"http://127.0.0.1:{ports.connect}",
        lake=_lake_of(settings),
    )


def _lake_of(settings: Settings) -> dict[str, str]:
    """Tables in a folder, and SQLite to find them by."""
    data = settings.data_folder
    return {"type": "sql", "uri": f"sqlite:///{data / 'lake.db'}", "warehouse": f"file://{data / 'lake'}"}


def _nearest_mesh(start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / "mesh.yaml").is_file():
            return folder
    return start


def _filled(values: Mapping[str, str]) -> dict[str, str]:
    return {key: _fill(value) for key, value in values.items()}


def _fill(text: str) -> str:
    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[2])
        if found is None:
            raise CallerFault(
                f"mesh.yaml needs the variable {match[1]}, and it is not set",
                code="HW-K003",
                detail="an address or a secret of the chosen environment comes from it",
                hint=f"export {match[1]}=...",
            )
        return found

    return _VARIABLE.sub(value, text)

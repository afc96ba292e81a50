"""What a local platform is made of, as values: its parts, ports, folders and addresses. Starts nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from headwater.settings import POSTGRES_PASSWORD_FILE, LocalPorts, Settings

HOST = "127.0.0.1"
PARTS = ("kafka", "postgres", "registry")  # in the order of starting; what else runs is stopped before them
EXTRA_PARTS = ("connect", "flink")  # started on demand: `up --connect`, `up --flink`
DATA_FOLDER_NAME = ".headwater"  # the default's name: a folder called so is ours
FOLDER_MARK = ".headwater-data"  # `down --purge` removes only a folder that bears this file
CACHE_VARIABLE = "HEADWATER_CACHE"

Phases = Callable[[str], AbstractContextManager[None]]
"""Shows that something is under way while its context is open; the command line hands in its own."""


def quiet(text: str) -> AbstractContextManager[None]:
    """Phases for those who show nothing."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class LocalStack:
    """One local stack: everything that it is made of follows from its data folder and its block of ports.

    >>> stack = LocalStack(Path("/data"), LocalPorts(29090), databases=("operations",))
    >>> stack.kafka_address, stack.registry_url
    ('127.0.0.1:29092', 'http://127.0.0.1:29091')
    >>> [port for _, port in stack.ports_of("kafka")]
    [29092, 29093]
    """

    data_folder: Path
    ports: LocalPorts
    databases: tuple[str, ...] = ()

    @property
    def kafka_address(self) -> str:
        """Kafka's bootstrap address."""
        return f"{HOST}:{self.ports.kafka}"

    @property
    def registry_url(self) -> str:
        """The registry's address."""
        return f"http://{HOST}:{self.ports.registry}"

    @property
    def connect_url(self) -> str:
        """Kafka Connect's address, where it runs."""
        return f"http://{HOST}:{self.ports.connect}"

    @property
    def flink_url(self) -> str:
        """The address of Flink's SQL gateway, where it runs."""
        return f"http://{HOST}:{self.ports.flink}"

    @property
    def password_file(self) -> Path:
        """Where the superuser's password lies, readable by the owner only."""
        return self.data_folder / POSTGRES_PASSWORD_FILE

    @property
    def postgres_folder(self) -> Path:
        """The database cluster."""
        return self.data_folder / "postgres"

    @property
    def kafka_folder(self) -> Path:
        """The broker's configuration and log."""
        return self.data_folder / "kafka"

    @property
    def logs_folder(self) -> Path:
        """What the processes print."""
        return self.data_folder / "logs"

    def postgres_address(self, database: str = "postgres", *, password: str = "***") -> str:
        """A connection string; with the password left out unless it is given, so that it can be shown."""
        return f"postgresql://postgres:{password}@{HOST}:{self.ports.postgres}/{database}"

    def address_of(self, part: str) -> str:
        """A part's address, as it is shown."""
        shown = {"kafka": self.kafka_address, "postgres": self.postgres_address(), "registry": self.registry_url}
        return {**shown, "connect": self.connect_url, "flink": self.flink_url}.get(part, "")

    def ports_of(self, part: str) -> tuple[tuple[str, int], ...]:
        """The ports that a part listens on, each with what it is for."""
        return {
            "kafka": (("Kafka", self.ports.kafka), ("Kafka's controller", self.ports.kafka_controller)),
            "postgres": (("PostgreSQL", self.ports.postgres),),
            "registry": (("the registry", self.ports.registry),),
            "connect": (("Kafka Connect", self.ports.connect),),
            "flink": (("Flink's SQL gateway", self.ports.flink),),
        }.get(part, ())


def local_stack(settings: Settings, databases: tuple[str, ...] = ()) -> LocalStack:
    """The stack that these settings mean."""
    return LocalStack(settings.data_folder, settings.ports, databases)


def cache_folder() -> Path:
    """Where downloads lie that all checkouts of a user share: `HEADWATER_CACHE`, else `~/.cache/headwater`."""
    chosen = os.environ.get(CACHE_VARIABLE, "")
    return Path(chosen).expanduser().resolve() if chosen else Path.home() / ".cache" / "headwater"

"""What a mesh needs to be there, as values: topics, subjects, outbox sources. Nothing here knows how they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from headwater.contracts.product import Runner
from headwater.schemas.avro import Schema

TOPIC = "topic "  # how the id of a topic begins
Holds = Literal["records", "progress", "current", "quarantine", "internal"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of a product. `file` is the contract it follows from; `settings` are Kafka's names and values, `note` is
    what is to be said of what it holds.
    """

    name: str
    partitions: int
    settings: Mapping[str, str]
    holds: Holds
    product: str
    file: str
    note: str = ""

    @property
    def id(self) -> str:
        """What the resource is called in journals and messages."""
        return TOPIC + self.name

    def applied(self) -> Mapping[str, str]:
        """What is remembered of it once it is as it should be."""
        return {"partitions": str(self.partitions), **self.settings}


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject of the registry, the level that holds for it, and the schema that must be its newest."""

    name: str
    schema: Schema
    level: str
    product: str
    file: str

    @property
    def id(self) -> str:
        """What the resource is called in journals and messages."""
        return f"subject {self.name}"

    def applied(self) -> Mapping[str, str]:
        """What is remembered of it once it is as it should be."""
        return {"level": self.level, "fingerprint": f"{self.schema.fingerprint:016x}"}


@dataclass(frozen=True, slots=True)
class Source:
    """An outbox table with its publication, slot and first position, and the products whose rows it takes.

    `checks` is the digest of the functions that check and emit its rows: they follow from the products' schemas.
    """

    name: str
    database: str
    table: str
    products: tuple[str, ...]
    file: str
    checks: str = ""

    @property
    def id(self) -> str:
        """What the resource is called in journals and messages."""
        return f"outbox {self.name}"

    def applied(self) -> Mapping[str, str]:
        """What is remembered of it once it is as it should be."""
        return {"products": " ".join(self.products), "checks": self.checks}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the lake; its columns follow from the schema that has this fingerprint."""

    name: str
    fingerprint: str
    product: str
    file: str

    @property
    def id(self) -> str:
        """What the resource is called in journals and messages."""
        return f"table {self.name}"

    def applied(self) -> Mapping[str, str]:
        """What is remembered of it once it is as it should be."""
        return {"fingerprint": self.fingerprint}


@dataclass(frozen=True, slots=True)
class RunnerOf:
    """What runs a derived product. It is nothing that is made: who starts the runner moves the product.

    `topic` and `groups` tell who has it now.
    """

    name: str
    runner: Runner
    topic: str
    groups: tuple[str, ...]
    file: str

    @property
    def product(self) -> str:
        """The product, which the runner is of."""
        return self.name

    @property
    def id(self) -> str:
        """What it is called in journals and messages."""
        return f"runner {self.name}"

    def applied(self) -> Mapping[str, str]:
        """What is remembered of it."""
        return {"runner": self.runner}


Resource = Topic | Subject | Source | Table

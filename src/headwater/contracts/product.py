"""A product as its `product.yaml` promises it: frozen values, checked once when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from headwater.errors import CallerFault
from headwater.naming import ProductName
from headwater.timeline.instant import Duration

PARTITIONS_DEFAULT = 4  # changed only with a new major
Lane = Literal["native", "debezium"]  # what reads an outbox table: the relay itself, or Debezium for it
Runner = Literal["kafka", "faust", "flink"]  # what runs a flow
RUNNERS: tuple[Runner, ...] = ("kafka", "faust", "flink")
RUNNER_DEFAULT: Runner = "kafka"


class ProductType(StrEnum):
    """The three kinds of product of the data mesh literature."""

    SOURCE_ALIGNED = "source-aligned"
    AGGREGATE = "aggregate"
    CONSUMER_ALIGNED = "consumer-aligned"


class Compatibility(StrEnum):
    """The seven levels of the Confluent schema registry."""

    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"
    NONE = "NONE"


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A product's version: a new major means new topics, a new minor is compatible.

    >>> str(Version.parse("1.2.0"))
    '1.2.0'
    """

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """From `major.minor.patch`; raises `CallerFault` HW-C010."""
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 6 for part in parts):
            raise CallerFault(
                f"'{text[:40]}' is not a version",
                code="HW-C010",
                detail="a version is major.minor.patch",
                hint="for example 1.0.0",
            )
        return cls(*(int(part) for part in parts))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for a product."""

    team: str
    contact: str


@dataclass(frozen=True, slots=True)
class Input:
    """An input port: which product (or further output of one) and major, and which of its fields are read (empty: not
    declared).
    """

    product: ProductName
    major: int
    reads: tuple[str, ...] = ()

    def named(self) -> dict[str, str | int | list[str]]:
        """Its keys and values, as the file has them."""
        named: dict[str, str | int | list[str]] = {"product": str(self.product.whole)}
        if self.product.output:
            named["output"] = self.product.output
        named["major"] = self.major
        if self.reads:
            named["reads"] = list(self.reads)
        return named


@dataclass(frozen=True, slots=True)
class Outbox:
    """Where a source-aligned product comes from: a database of the environment, a table in it, and what reads that.

    The lane is how rows travel, no part of what is promised: both lanes give the same topic.
    `validate`: who is the first to check a row against the schema: the database, before the service's transaction
    commits, or the relay, after it.
    """

    database: str
    table: str
    lane: Lane = "native"
    validate: Literal["database", "relay"] = "database"


@dataclass(frozen=True, slots=True)
class Capture:
    """A service's own table whose changes a source-aligned product is mapped from, by the `mapping.py` in its folder.

    `old_rows` says whether the log carries the whole old row of an update or delete (`apply` sets REPLICA IDENTITY FULL
    on the table), or what the table's replica identity is as it stands. `existing_rows` says whether the rows that are
    there before the first change are published too.
    """

    database: str
    table: str
    old_rows: Literal["whole", "as-is"] = "whole"
    existing_rows: Literal["load", "skip"] = "load"


@dataclass(frozen=True, slots=True)
class QualityRule:
    """A rule over a record's fields that is measured on the stream."""

    name: str
    rule: str
    severity: Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Output:
    """What a product publishes. `retention` None means forever; `accept_late` None means without bound.

    `grid` is the length of every fact's interval, counted from the Unix epoch on; None where intervals may be any.
    """

    name: str
    schema: str
    key: tuple[str, ...]
    compatibility: Compatibility = Compatibility.BACKWARD_TRANSITIVE
    retention: Duration | None = None
    partitions: int = PARTITIONS_DEFAULT
    ports: tuple[str, ...] = ("topic",)
    service_levels: Mapping[str, str] = field(default_factory=dict)
    quality: tuple[QualityRule, ...] = ()
    on_invalid: Literal["continue", "park-key"] = "continue"
    access: Mapping[str, str] = field(default_factory=dict)
    corrections: Literal["all", "none"] = "all"
    accept_late: Duration | None = None
    grid: Duration | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """A data product. `folder` is its place in the mesh, with `/`: `streams/airports/hourly_punctuality`.

    `runner` is what runs a derived product's flow, no part of what is promised: every runner makes the same records.
    """

    name: ProductName
    version: Version
    type: ProductType
    owner: Owner
    purpose: str
    inputs: tuple[Input, ...]
    outbox: Outbox | None
    outputs: tuple[Output, ...]
    folder: str
    capture: Capture | None = None
    runner: Runner = RUNNER_DEFAULT

    @property
    def major(self) -> int:
        """The major version, part of every name on the broker."""
        return self.version.major

    @property
    def output(self) -> Output:
        """The first output, which has the product's own names."""
        return self.outputs[0]

    def places(self) -> list[tuple[str, Output]]:
        """Each output with its place in `product.yaml`."""
        return [(f"outputs[{index}]", output) for index, output in enumerate(self.outputs)]

    def of_output(self, index: int) -> Product:
        """The product as who reads one of its further outputs sees it: with that output alone, and named after it."""
        output = self.outputs[index]
        return replace(self, name=self.name.of_output(output.name), outputs=(output,))

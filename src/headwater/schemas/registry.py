"""What the roads need from a schema registry. Any Confluent-compatible one can stand behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from headwater.schemas.avro import Schema


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema as a registry holds it: under a subject, with a version there and an id of its text."""

    subject: str
    version: int
    id: int
    schema: Schema


class Finder(Protocol):
    """The one thing that who only writes asks of a registry."""

    def find(self, subject: str, schema: Schema) -> RegisteredSchema | None:
        """The schema under this subject, if it was registered there; raises `Unreachable` as a `Registry` does."""


class Registry(Protocol):
    """Schemas by subject and version, and by id. `register` is called by `apply` alone.

    Everything raises `Unreachable` where the registry is away: nothing has happened then, and the same call may be
    made again; whoever calls decides when.
    """

    def register(self, subject: str, schema: Schema) -> int:
        """The schema's id, registered as the subject's newest version if it was not there yet.

        Raises `CallerFault` HW-V001 with the reasons where the subject's level refuses it.
        """

    def find(self, subject: str, schema: Schema) -> RegisteredSchema | None:
        """The schema under this subject, if it was registered there."""

    def by_id(self, schema_id: int) -> RegisteredSchema:
        """The schema of an id, under one of its subjects; raises `CallerFault` HW-V002 where there is none."""

    def versions(self, subject: str) -> list[int]:
        """The versions of a subject, oldest first; empty where there is no such subject."""

    def version(self, subject: str, number: int | Literal["latest"]) -> RegisteredSchema:
        """One version; raises `CallerFault` HW-V003 where there is none."""

    def subjects(self) -> list[str]:
        """The names of all subjects, sorted."""

    def level(self, subject: str) -> str:
        """The compatibility level that holds for a subject."""

    def set_level(self, subject: str | None, level: str) -> None:
        """Set a subject's level, or, with None, the level of all that have none of their own."""

    def incompatibilities(self, subject: str, schema: Schema) -> list[str]:
        """Why the subject's level would refuse this schema, a sentence each; empty where it would not."""

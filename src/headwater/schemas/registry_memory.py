"""The registry in this process, for tests and simulation: the same rules as the server's, without a wire."""

from __future__ import annotations

from typing import Any, Literal

from headwater.errors import CallerFault
from headwater.schemas.avro import Schema
from headwater.schemas.evolution import check_level
from headwater.schemas.registry import RegisteredSchema
from headwater.schemas.registry_errors import RegistryRefusal
from headwater.schemas.registry_log import MemoryLog
from headwater.schemas.registry_service import RegistryService
from headwater.schemas.registry_state import Stored


class MemoryRegistry:
    """A `Registry` that forgets at exit.

    >>> from headwater.schemas.avro import parse
    >>> registry = MemoryRegistry()
    >>> registry.register("numbers-value", parse('"int"')), registry.versions("numbers-value")
    (1, [1])
    """

    def __init__(self, service: RegistryService | None = None) -> None:
        self._service = service or RegistryService(MemoryLog())

    def register(self, subject: str, schema: Schema) -> int:
        """Register."""
        try:
            return self._service.register(subject, body_of(schema)).id
        except RegistryRefusal as refusal:
            raise refused(subject, refusal.error_code, refusal.message) from None

    def find(self, subject: str, schema: Schema) -> RegisteredSchema | None:
        """Look a schema up."""
        try:
            return self._registered(self._service.find(subject, body_of(schema)))
        except RegistryRefusal:
            return None

    def by_id(self, schema_id: int) -> RegisteredSchema:
        """By id."""
        try:
            return self._registered(self._service.by_id(schema_id))
        except RegistryRefusal:
            raise unknown_id(schema_id) from None

    def versions(self, subject: str) -> list[int]:
        """The versions of a subject."""
        return [stored.version for stored in self._service.state.versions(subject)]

    def version(self, subject: str, number: int | Literal["latest"]) -> RegisteredSchema:
        """One version."""
        try:
            return self._registered(self._service.get(subject, number))
        except RegistryRefusal:
            raise unknown_version(subject, number) from None

    def subjects(self) -> list[str]:
        """All subjects."""
        return [subject for subject, deleted in self._service.state.subjects() if not deleted]

    def level(self, subject: str) -> str:
        """The level that holds."""
        return self._service.level_of(subject)

    def set_level(self, subject: str | None, level: str) -> None:
        """Set a level."""
        self._service.set_config(subject, {"compatibility": check_level(level)})

    def incompatibilities(self, subject: str, schema: Schema) -> list[str]:
        """The reasons against a schema."""
        try:
            fine, reasons = self._service.incompatibilities(subject, body_of(schema))
        except RegistryRefusal as refusal:
            return [refusal.message]
        return [] if fine else reasons

    def _registered(self, stored: Stored) -> RegisteredSchema:
        return RegisteredSchema(stored.subject, stored.version, stored.id, self._service.schema_of(stored))


def body_of(schema: Schema) -> dict[str, Any]:
    """The body of a request that carries a schema."""
    references = [{"name": r.name, "subject": r.subject, "version": r.version} for r in schema.references]
    return {"schema": schema.text, **({"references": references} if references else {})}


def refused(subject: str, error_code: int, message: str) -> CallerFault:
    """The error of a registration that the registry refuses."""
    return CallerFault(
        f"the registry refuses a schema for {subject} ({error_code})",
        code="HW-V001",
        detail=message,
        hint="headwater schema check names each reason and how to mend it",
    )


def unknown_id(schema_id: int) -> CallerFault:
    """The error of an id that the registry does not know."""
    return CallerFault(
        f"the registry has no schema with id {schema_id}",
        code="HW-V002",
        detail="it was deleted, or the record was written with another registry",
        hint="register the writer's schema where the readers look",
    )


def unknown_version(subject: str, number: int | str) -> CallerFault:
    """The error of a version that the registry does not have."""
    return CallerFault(
        f"the registry has no version {number} of {subject}",
        code="HW-V003",
        detail="nothing is registered there: subjects are made by apply alone",
        hint="headwater apply",
    )

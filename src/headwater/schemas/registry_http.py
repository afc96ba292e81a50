"""Any Confluent-compatible registry, through confluent-kafka's own client. Never registers by itself.

Ids never change their meaning, so what an id stands for is kept; the keeping is bounded. A registry that is away raises
`Unreachable` after one short attempt: whoever calls knows whether to wait, since only they know what is at stake.
"""

from __future__ import annotations

import weakref
from typing import Any, Literal

from confluent_kafka.schema_registry import Schema as WireSchema
from confluent_kafka.schema_registry import SchemaReference, SchemaRegistryClient, SchemaRegistryError

from headwater.errors import CallerFault, HeadwaterError, NotSupported, Unreachable
from headwater.schemas.avro import Reference, Schema, parse
from headwater.schemas.bounded import Bounded
from headwater.schemas.evolution import check_level, compatible, judge
from headwater.schemas.registry import RegisteredSchema
from headwater.schemas.registry_memory import refused, unknown_id, unknown_version

IDS_LIMIT = 1_000  # ids kept
TIMEOUT_SECONDS = 10.0


class HttpRegistry:
    """A `Registry` at a URL; `settings` are those of confluent-kafka's client and win over what stands here."""

    def __init__(self, url: str, settings: dict[str, Any] | None = None) -> None:
        self.url = url
        options = {"url": url, "timeout": TIMEOUT_SECONDS, "max.retries": 0, **(settings or {})}
        self._client = SchemaRegistryClient(options)
        weakref.finalize(self, self._client.close)  # nobody has to remember: its connections go when it goes
        self._by_id: Bounded[int, RegisteredSchema] = Bounded(IDS_LIMIT)

    def register(self, subject: str, schema: Schema) -> int:
        """Register."""
        try:
            # The client's own cache is by subject and text; a schema deleted since would be taken as registered.
            return int(self._client.register_schema_full_response(subject, _to_wire(schema)).schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code in (409, 422):
                raise refused(subject, error.error_code, error.error_message) from None
            raise self._away(error) from None
        except Exception as error:
            raise self._away(error) from None

    def find(self, subject: str, schema: Schema) -> RegisteredSchema | None:
        """Look a schema up."""
        try:
            found = self._client.lookup_schema(subject, _to_wire(schema))
        except SchemaRegistryError as error:
            if error.http_status_code == 404:
                return None
            raise self._away(error) from None
        except Exception as error:
            raise self._away(error) from None
        return RegisteredSchema(subject, int(found.version), int(found.schema_id), schema)

    def by_id(self, schema_id: int) -> RegisteredSchema:
        """By id, from what was kept or from the registry."""
        kept = self._by_id.get(schema_id)
        if kept is not None:
            return kept
        try:
            wire = self._client.get_schema(schema_id)
            places = self._client.get_schema_versions(schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code == 404:
                raise unknown_id(schema_id) from None
            raise self._away(error) from None
        except Exception as error:
            raise self._away(error) from None
        subject, version = (places[0].subject, int(places[0].version)) if places else ("", 0)
        found = RegisteredSchema(subject, version, schema_id, self._parsed(wire))
        self._by_id.put(schema_id, found)
        return found

    def versions(self, subject: str) -> list[int]:
        """The versions of a subject."""
        try:
            return [int(number) for number in self._client.get_versions(subject)]
        except SchemaRegistryError as error:
            if error.http_status_code == 404:
                return []
            raise self._away(error) from None
        except Exception as error:
            raise self._away(error) from None

    def version(self, subject: str, number: int | Literal["latest"]) -> RegisteredSchema:
        """One version."""
        try:
            # `get_latest_version` is kept by the client for ever; by the number nothing stale can come back.
            found = self._client.get_version(subject, number)
        except SchemaRegistryError as error:
            if error.http_status_code == 404:
                raise unknown_version(subject, number) from None
            raise self._away(error) from None
        except Exception as error:
            raise self._away(error) from None
        return RegisteredSchema(subject, int(found.version), int(found.schema_id), self._parsed(found.schema))

    def subjects(self) -> list[str]:
        """All subjects."""
        try:
            return sorted(self._client.get_subjects())
        except Exception as error:
            raise self._away(error) from None

    def level(self, subject: str) -> str:
        """The level that holds."""
        for name in (subject, None):
            try:
                return str(self._client.get_compatibility(name))
            except SchemaRegistryError as error:
                if error.http_status_code != 404:
                    raise self._away(error) from None
            except Exception as error:
                raise self._away(error) from None
        return "BACKWARD"

    def set_level(self, subject: str | None, level: str) -> None:
        """Set a level."""
        try:
            self._client.set_compatibility(subject, check_level(level))
        except CallerFault:
            raise
        except Exception as error:
            raise self._away(error) from None

    def incompatibilities(self, subject: str, schema: Schema) -> list[str]:
        """Why the level would refuse the schema: our own checker's reasons, since few registries give any."""
        level = self.level(subject)
        history = [self.version(subject, number) for number in self.versions(subject)] if level != "NONE" else []
        steps = judge(level, [earlier.schema for earlier in history], schema)
        if compatible(steps):
            return []
        return [step.sentence(f"version {history[step.earlier].version}") for step in steps]

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()

    def _parsed(self, wire: Any) -> Schema:
        if (wire.schema_type or "AVRO") != "AVRO":
            raise NotSupported(
                f"a schema of the registry is {wire.schema_type}, not Avro",
                code="HW-V005",
                hint="Headwater's records are Avro; read such topics with another tool",
            )
        references: dict[str, str | Schema] = {}
        referenced = []
        for reference in wire.references or []:
            found = self.version(reference.subject, reference.version)
            references[reference.name] = found.schema
            referenced.append(Reference(reference.name, reference.subject, reference.version))
        return parse(str(wire.schema_str), references, referenced=tuple(referenced))

    def _away(self, error: Exception) -> HeadwaterError:
        if isinstance(error, HeadwaterError):
            return error
        status = f" ({error.http_status_code})" if isinstance(error, SchemaRegistryError) else ""
        what = error.error_message if isinstance(error, SchemaRegistryError) else f"{type(error).__name__}: {error}"
        if "CERTIFICATE_VERIFY_FAILED" in str(what):
            return CallerFault(
                f"the registry at {self.url} shows a certificate that is not trusted here",
                code="HW-R019",
                detail="waiting does not mend it",
                hint="SSL_CERT_FILE=<file> names the CA that signed it; or look at the address",
            )
        return Unreachable(
            f"the registry at {self.url} does not answer as it should{status}",
            code="HW-V004",
            detail=str(what)[:300],
            hint="headwater status shows what runs; headwater up starts it",
        )


def _to_wire(schema: Schema) -> Any:
    references = [SchemaReference(r.name, r.subject, r.version) for r in schema.references]
    return WireSchema(schema.text, "AVRO", references)

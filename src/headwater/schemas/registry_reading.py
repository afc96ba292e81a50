"""Schemas as requests carry them and as the log holds them, read with what they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.errors import InvalidFiles
from headwater.schemas import registry_errors as codes
from headwater.schemas.avro import Reference, Schema, normalized, parse
from headwater.schemas.bounded import Bounded
from headwater.schemas.registry_errors import RegistryRefusal
from headwater.schemas.registry_log import RECORD_BYTES_LIMIT
from headwater.schemas.registry_state import RegistryState, Stored, context_of

SUBJECT_LENGTH_LIMIT = 255
REFERENCES_LIMIT = 100
PARSED_LIMIT = 2_000  # schemas kept parsed


class SchemaReading:
    """Reads schemas on the state of a registry; what was parsed is kept, within bounds."""

    def __init__(self, state: RegistryState) -> None:
        self.state = state
        self._parsed: Bounded[tuple[str, int, int], Schema] = Bounded(PARSED_LIMIT)

    def schema_of(self, stored: Stored) -> Schema:
        """A stored version, parsed, with its references."""
        key = (stored.subject, stored.version, stored.id)
        parsed = self._parsed.get(key)
        if parsed is None:
            parsed = self.parse(stored.text, stored.references)
            self._parsed.put(key, parsed)
        return parsed

    def read_body(self, subject: str, body: Mapping[str, Any], *, normalize: bool = False) -> tuple[Stored, Schema]:
        """The schema that a request carries, checked; the first of the two has no version and no id yet."""
        text, kind = body.get("schema"), body.get("schemaType") or "AVRO"
        if not isinstance(text, str) or not text:
            raise RegistryRefusal(codes.INVALID_SCHEMA, "Empty schema: 'schema' is the schema's text")
        if kind != "AVRO":
            raise RegistryRefusal(
                codes.INVALID_SCHEMA, f"Invalid schema type {str(kind)[:40]}: this registry holds AVRO"
            )
        if len(text.encode(errors="replace")) > RECORD_BYTES_LIMIT // 2:
            raise RegistryRefusal(codes.SCHEMA_TOO_LARGE, f"Schema is too large: over {RECORD_BYTES_LIMIT // 2} bytes")
        metadata, rules = body.get("metadata"), body.get("ruleSet")
        if not isinstance(metadata, dict | None) or not isinstance(rules, dict | None):
            raise RegistryRefusal(codes.INVALID_RULE_SET, "'metadata' and 'ruleSet' are objects")
        references = self._references(subject, body.get("references"))
        schema = self.parse(text, references)
        text = normalized(schema) if normalize or self._normalizes(subject) else schema.text
        return Stored(subject, 0, 0, text, "AVRO", references, metadata or None, rules or None), schema

    def _normalizes(self, subject: str) -> bool:
        own = self.state.config(subject) or {}
        return bool(own.get("normalize", (self.state.config(None) or {}).get("normalize", False)))

    def _references(self, subject: str, value: Any) -> tuple[tuple[str, str, int], ...]:
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > REFERENCES_LIMIT:
            raise RegistryRefusal(codes.INVALID_SCHEMA, f"'references' is a list of at most {REFERENCES_LIMIT}")
        read = []
        for item in value:
            name, referred = (item.get("name"), item.get("subject")) if isinstance(item, dict) else (None, None)
            number = item.get("version") if isinstance(item, dict) else None
            if not isinstance(name, str) or not isinstance(referred, str) or not isinstance(number, int):
                raise RegistryRefusal(codes.INVALID_SCHEMA, "A reference has a name, a subject and a version")
            context = context_of(subject)
            if context != "." and not referred.startswith(":."):
                referred = f":{context}:{referred}"
            stored = self.state.versions(referred)[-1:] if number == -1 else [self.state.version(referred, number)]
            if not stored or stored[0] is None:
                raise RegistryRefusal(
                    codes.INVALID_SCHEMA, f'No schema reference found for subject "{referred}" and version {number}'
                )
            read.append((name, referred, stored[0].version))
        return tuple(read)

    def parse(self, text: str, references: tuple[tuple[str, str, int], ...]) -> Schema:
        """A text with the stored schemas that it refers to; raises `RegistryRefusal` with every finding."""
        found: dict[str, str | Schema] = {}
        for name, subject, number in references:
            stored = self.state.version(subject, number)
            if stored is None:
                raise RegistryRefusal(codes.INVALID_SCHEMA, f'No schema reference found for subject "{subject}"')
            found[name] = self.schema_of(stored)
        referenced = tuple(Reference(name, subject, number) for name, subject, number in references)
        try:
            return parse(text, found, referenced=referenced)
        except InvalidFiles as invalid:
            reasons = "; ".join(finding.render() for finding in invalid.findings[:10])
            raise RegistryRefusal(codes.INVALID_SCHEMA, f"Invalid schema: {reasons}") from None


def check_subject(subject: str) -> None:
    """Refuse a subject that nobody could name again."""
    bad = not subject or len(subject) > SUBJECT_LENGTH_LIMIT or not subject.isprintable() or subject.strip() != subject
    if bad or subject in ("__GLOBAL", "__EMPTY"):
        raise RegistryRefusal(codes.INVALID_SUBJECT, "The specified subject is not a valid subject")


def version_number(value: str | int) -> int:
    """The number of a version; -1 stands for the latest."""
    text = str(value)
    if text in ("latest", "-1"):
        return -1
    if not text.isascii() or not text.isdigit() or not 0 < len(text) <= 10 or not 1 <= int(text) <= 2**31 - 1:
        raise RegistryRefusal(
            codes.INVALID_VERSION,
            f"The specified version '{text[:40]}' is not a valid version id. "
            'Allowed values are between [1, 2^31-1] and the string "latest"',
        )
    return int(text)

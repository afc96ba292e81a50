"""What a registry knows: built from its log, one entry after the other, and never in another way."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headwater.schemas.registry_log import Entry

DEFAULT_CONTEXT = "."


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a subject, as the log holds it; what the registry gives no meaning to is kept as it came."""

    subject: str
    version: int
    id: int
    text: str
    kind: str = "AVRO"
    references: tuple[tuple[str, str, int], ...] = ()
    metadata: Mapping[str, Any] | None = None
    rule_set: Mapping[str, Any] | None = None
    deleted: bool = False

    @property
    def guid(self) -> str:
        """An id that is the same in every registry: made of what is registered."""
        return str(uuid.UUID(bytes=self.digest[:16]))

    @property
    def digest(self) -> bytes:
        """A hash of text, references, metadata and rules: two schemas with the same are one schema, with one id."""
        return digest(self.kind, self.text, self.references, self.metadata, self.rule_set)

    def body(self) -> dict[str, Any]:
        """The members that stand for the schema itself, in answers and in the log."""
        value: dict[str, Any] = {}
        if self.kind != "AVRO":
            value["schemaType"] = self.kind
        if self.references:
            value["references"] = [
                {"name": name, "subject": subject, "version": version} for name, subject, version in self.references
            ]
        if self.metadata:
            value["metadata"] = self.metadata
        if self.rule_set:
            value["ruleSet"] = self.rule_set
        value["schema"] = self.text
        return value

    def log_value(self) -> dict[str, Any]:
        """The value of its record in the log."""
        head = {"subject": self.subject, "version": self.version, "id": self.id, "guid": self.guid}
        return {**head, **self.body(), "deleted": self.deleted}


def digest(
    kind: str,
    text: str,
    references: tuple[tuple[str, str, int], ...],
    metadata: Mapping[str, Any] | None,
    rule_set: Mapping[str, Any] | None,
) -> bytes:
    """The hash behind `Stored.digest`; spaces and line breaks of the text do not count."""
    parts = [kind, _compact(text), sorted(references), metadata or None, rule_set or None]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def context_of(subject: str) -> str:
    """The context that a subject's name carries: `:.name:subject`.

    >>> context_of(":.staging:orders-value"), context_of("orders-value")
    ('.staging', '.')
    """
    if subject.startswith(":."):
        name, colon, _ = subject[1:].partition(":")
        if colon:
            return name
    return DEFAULT_CONTEXT


class RegistryState:
    """Subjects, ids, levels and modes. `apply` is the only way to change it."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, Stored]] = {}
        self._by_id: dict[tuple[str, int], dict[tuple[str, int], Stored]] = defaultdict(dict)
        self._by_digest: dict[tuple[str, bytes], int] = {}
        self._by_guid: dict[str, Stored] = {}
        self._highest: dict[str, int] = defaultdict(int)
        self._referrers: dict[tuple[str, int], set[tuple[str, int]]] = defaultdict(set)
        self._configs: dict[str | None, dict[str, Any]] = {}
        self._modes: dict[str | None, str] = {}

    def apply(self, entry: Entry) -> None:
        """Take one entry of the log in."""
        value = entry.value
        if entry.kind == "SCHEMA" and entry.subject is not None:
            if value is None:
                self._remove(entry.subject, entry.version)
            else:
                self._put(entry.subject, entry.version, value)
        elif entry.kind == "DELETE_SUBJECT" and entry.subject is not None and value is not None:
            newest = value.get("version")
            for stored in self.versions(entry.subject, deleted=True):
                if isinstance(newest, int) and stored.version <= newest:
                    self._store(replace(stored, deleted=True))
        elif entry.kind == "CLEAR_SUBJECT" and entry.subject is not None:
            for stored in self.versions(entry.subject, deleted=True):
                if stored.deleted:
                    self._remove(stored.subject, stored.version)
        elif entry.kind == "CONFIG":
            if value is None:
                self._configs.pop(entry.subject, None)
            else:
                self._configs[entry.subject] = dict(value)
        elif entry.kind == "MODE":
            if value is None or not isinstance(value.get("mode"), str):
                self._modes.pop(entry.subject, None)
            else:
                self._modes[entry.subject] = value["mode"]

    def versions(self, subject: str, *, deleted: bool = False) -> list[Stored]:
        """The versions of a subject, oldest first; soft-deleted ones only where asked for."""
        found = self._versions.get(subject, {})
        return [found[number] for number in sorted(found) if deleted or not found[number].deleted]

    def version(self, subject: str, number: int) -> Stored | None:
        """One version, soft-deleted or not."""
        return self._versions.get(subject, {}).get(number)

    def subjects(self) -> Iterator[tuple[str, bool]]:
        """All subjects by name, and whether all their versions are soft-deleted."""
        for subject in sorted(self._versions):
            yield subject, all(stored.deleted for stored in self._versions[subject].values())

    def by_id(self, context: str, schema_id: int) -> list[Stored]:
        """All versions that carry an id."""
        found = self._by_id.get((context, schema_id), {})
        return [found[place] for place in sorted(found)]

    def by_guid(self, guid: str) -> Stored | None:
        """A version by its schema's GUID."""
        return self._by_guid.get(guid)

    def id_of(self, context: str, schema_digest: bytes) -> int | None:
        """The id of a schema that the context knows already."""
        return self._by_digest.get((context, schema_digest))

    def highest_id(self, context: str) -> int:
        """The highest id ever given in a context."""
        return self._highest[context]

    def referrers(self, subject: str, version: int) -> list[Stored]:
        """The versions that refer to one, deleted ones left out."""
        places = sorted(self._referrers.get((subject, version), ()))
        found = (self._versions.get(place[0], {}).get(place[1]) for place in places)
        return [stored for stored in found if stored is not None and not stored.deleted]

    def config(self, subject: str | None) -> dict[str, Any] | None:
        """The configuration of a subject, or of all; None where it has none of its own."""
        return self._configs.get(subject)

    def mode(self, subject: str | None) -> str | None:
        """The mode of a subject, or of all; None where it has none of its own."""
        return self._modes.get(subject)

    def contexts(self) -> list[str]:
        """The contexts that hold subjects, the default one always."""
        return sorted({DEFAULT_CONTEXT, *(context_of(subject) for subject in self._versions)})

    def _put(self, subject: str, version: int, value: Mapping[str, Any]) -> None:
        schema_id, text = value.get("id"), value.get("schema")
        if not isinstance(schema_id, int) or not isinstance(text, str) or version < 1:
            return
        references = value.get("references") or []
        read = tuple((str(r.get("name")), str(r.get("subject")), int(r.get("version", 0))) for r in references)
        kind, metadata, rules = value.get("schemaType") or "AVRO", value.get("metadata"), value.get("ruleSet")
        deleted = value.get("deleted") is True
        self._store(Stored(subject, version, schema_id, text, str(kind), read, metadata, rules, deleted))

    def _store(self, stored: Stored) -> None:
        context, place = context_of(stored.subject), (stored.subject, stored.version)
        before = self._versions.get(stored.subject, {}).get(stored.version)
        if before is not None and before.id != stored.id:
            self._remove(*place)
        self._versions.setdefault(stored.subject, {})[stored.version] = stored
        self._by_id[context, stored.id][place] = stored
        self._by_digest.setdefault((context, stored.digest), stored.id)
        self._by_guid[stored.guid] = stored
        self._highest[context] = max(self._highest[context], stored.id)
        for _, subject, version in stored.references:
            self._referrers[subject, version].add(place)

    def _remove(self, subject: str, version: int) -> None:
        stored = self._versions.get(subject, {}).pop(version, None)
        if stored is None:
            return
        if not self._versions[subject]:
            del self._versions[subject]
        context, place = context_of(subject), (subject, version)
        same = self._by_id[context, stored.id]
        same.pop(place, None)
        for _, referred, number in stored.references:
            self._referrers[referred, number].discard(place)
        if not same:
            del self._by_id[context, stored.id]
            self._by_digest.pop((context, stored.digest), None)
            self._by_guid.pop(stored.guid, None)


def _compact(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return text

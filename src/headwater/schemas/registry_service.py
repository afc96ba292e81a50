"""What a registry does with each request: the rules of the Confluent REST API over the state and its log.

Writes are decided on the state, appended to the log, and only then taken into the state: a write that the log did not
take has not happened. One caller at a time may write; reads need no lock. (Longer than most files: each of the rules
decides on the same state, and together they are the API's semantics.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headwater.schemas import registry_errors as codes
from headwater.schemas.avro import Schema, normalized
from headwater.schemas.evolution import LEVELS, Step, compatible, judge
from headwater.schemas.registry_errors import RegistryRefusal
from headwater.schemas.registry_log import (
    RECORD_BYTES_LIMIT,
    Log,
    config_key,
    delete_subject_key,
    mode_key,
    read_record,
    schema_key,
    write_record,
)
from headwater.schemas.registry_reading import SchemaReading, check_subject, version_number
from headwater.schemas.registry_state import RegistryState, Stored, context_of

LEVEL_DEFAULT = "BACKWARD"  # as other registries have it
MODES = ("READWRITE", "READONLY", "READONLY_OVERRIDE", "IMPORT")
VERSIONS_LIMIT = 1_000  # of one subject; each costs a comparison under a transitive level

Change = tuple[dict[str, Any], Mapping[str, Any] | None]


class RegistryService:
    """A registry over a log. `catch_up` reads what the log has gained; call it before the first request."""

    def __init__(self, log: Log) -> None:
        self.state = RegistryState()
        self._log = log
        self._offset = 0
        self._doubtful = False  # the last write may or may not have reached the log
        self._reading = SchemaReading(self.state)

    def catch_up(self) -> int:
        """Take in what others wrote; the number of records read."""
        count = 0
        for offset, key, value in self._log.read(self._offset):
            entry = read_record(key, value)
            if entry is not None:
                self.state.apply(entry)
            self._offset = offset
            count += 1
        return count

    def settle(self) -> None:
        """Before any write: after a write that failed, learn from the log what it holds."""
        if self._doubtful:
            self._log.claim()
            self.catch_up()
            self._doubtful = False

    def register(self, subject: str, body: Mapping[str, Any], *, normalize: bool = False) -> Stored:
        """The version that holds the schema, made where it was not there yet."""
        check_subject(subject)
        mode = self.mode_of(subject)
        candidate, schema = self._reading.read_body(subject, body, normalize=normalize)
        if mode == "IMPORT":
            return self._import(subject, candidate, body)
        if mode.startswith("READONLY"):
            raise RegistryRefusal(codes.NOT_PERMITTED, f"Subject {subject} is in read-only mode")
        if body.get("id") not in (None, -1):
            raise RegistryRefusal(codes.NOT_PERMITTED, f"Subject {subject} is not in import mode: it gives ids itself")
        existing = self._same(subject, candidate)
        if existing is not None:
            return existing
        versions = self.state.versions(subject, deleted=True)
        if len(versions) >= VERSIONS_LIMIT:
            raise RegistryRefusal(codes.NOT_PERMITTED, f"Subject {subject} has {VERSIONS_LIMIT} versions: use another")
        steps = self._judge(subject, schema)
        if not compatible(steps):
            reasons = self.sentences(subject, steps)
            raise RegistryRefusal(
                codes.INCOMPATIBLE,
                f'Schema being registered is incompatible with an earlier schema for subject "{subject}" under '
                f"{self.level_of(subject)}, details: {json.dumps(reasons, ensure_ascii=False)}",
            )
        context = context_of(subject)
        known = self.state.id_of(context, candidate.digest)
        schema_id = known if known is not None else self.state.highest_id(context) + 1
        number = versions[-1].version + 1 if versions else 1
        wanted = body.get("version")
        if wanted not in (None, -1, 0, number):
            raise RegistryRefusal(codes.INVALID_SCHEMA, f"Version is not {number}, the next one of {subject}")
        return self._put(_at(candidate, subject, number, schema_id))

    def find(self, subject: str, body: Mapping[str, Any], *, normalize: bool = False, deleted: bool = False) -> Stored:
        """The version of a subject that holds a schema."""
        check_subject(subject)
        if not self.state.versions(subject, deleted=deleted):
            raise _no_subject(subject)
        candidate, _ = self._reading.read_body(subject, body, normalize=normalize)
        found = self._same(subject, candidate, deleted=deleted)
        if found is None and candidate.metadata is None and candidate.rule_set is None:
            found = self._same(subject, candidate, deleted=deleted, bare=True)  # who knows of no rules asks without
        if found is None:
            raise RegistryRefusal(codes.SCHEMA_NOT_FOUND, "Schema not found")
        return found

    def get(self, subject: str, number: str | int, *, deleted: bool = False) -> Stored:
        """One version, by its number or `latest`."""
        check_subject(subject)
        versions = self.state.versions(subject, deleted=deleted)
        wanted = version_number(number)
        if not versions:
            raise _no_subject(subject)
        if wanted == -1:
            return versions[-1]
        stored = self.state.version(subject, wanted)
        if stored is None or (stored.deleted and not deleted):
            raise RegistryRefusal(codes.VERSION_NOT_FOUND, f"Version {wanted} not found.")
        return stored

    def by_id(self, schema_id: int, subject: str = "") -> Stored:
        """The schema of an id, in the context of a subject."""
        found = self.state.by_id(context_of(subject), schema_id)
        if not found:
            raise RegistryRefusal(codes.SCHEMA_NOT_FOUND, f"Schema {schema_id} not found")
        return next((stored for stored in found if stored.subject == subject), found[0])

    def incompatibilities(
        self, subject: str, body: Mapping[str, Any], number: str | None = None, *, normalize: bool = False
    ) -> tuple[bool, list[str]]:
        """Whether a schema may follow all that the level looks at, or one version; and every reason or warning."""
        check_subject(subject)
        if number is None:
            _, schema = self._reading.read_body(subject, body, normalize=normalize)
            steps = self._judge(subject, schema)
            return compatible(steps), self.sentences(subject, steps)
        wanted = version_number(number)
        if wanted == -1 and not self.state.versions(subject):
            raise (
                _no_subject(subject)
                if not self.state.versions(subject, deleted=True)
                else RegistryRefusal(codes.VERSION_NOT_FOUND, "Version latest not found.")
            )
        earlier = self.get(subject, number)
        _, schema = self._reading.read_body(subject, body, normalize=normalize)
        steps = judge(self.level_of(subject).removesuffix("_TRANSITIVE"), [self._reading.schema_of(earlier)], schema)
        return compatible(steps), [step.sentence(f"version {earlier.version}") for step in steps]

    def delete_version(self, subject: str, number: str, *, permanent: bool = False) -> int:
        """Soft-delete a version, or remove a soft-deleted one for good; the version's number."""
        self._writable(subject)
        wanted = version_number(number)
        if not self.state.versions(subject, deleted=True):
            raise _no_subject(subject)
        if wanted == -1:
            versions = self.state.versions(subject, deleted=permanent)
            stored = versions[-1] if versions else None
        else:
            stored = self.state.version(subject, wanted)
        if stored is None:
            raise RegistryRefusal(codes.VERSION_NOT_FOUND, f"Version {number} not found.")
        if permanent and not stored.deleted:
            raise RegistryRefusal(
                codes.VERSION_NOT_SOFT_DELETED,
                f"Subject '{subject}' Version {stored.version} was not deleted first before being permanently deleted",
            )
        if not permanent and stored.deleted:
            raise RegistryRefusal(
                codes.VERSION_SOFT_DELETED,
                f"Subject '{subject}' Version {stored.version} was soft deleted. "
                "Set permanent=true to delete permanently",
            )
        self._unreferenced([stored])
        value = None if permanent else {**stored.log_value(), "deleted": True}
        self._write([(schema_key(subject, stored.version), value)])
        return stored.version

    def delete_subject(self, subject: str, *, permanent: bool = False) -> list[int]:
        """Soft-delete all versions of a subject, or remove a soft-deleted subject for good; the versions' numbers."""
        self._writable(subject)
        every = self.state.versions(subject, deleted=True)
        alive = [stored for stored in every if not stored.deleted]
        if not every:
            raise _no_subject(subject)
        if permanent and alive:
            raise RegistryRefusal(
                codes.SUBJECT_NOT_SOFT_DELETED,
                f"Subject '{subject}' was not deleted first before being permanently deleted",
            )
        if not permanent and not alive:
            raise RegistryRefusal(
                codes.SUBJECT_SOFT_DELETED,
                f"Subject '{subject}' was soft deleted. Set permanent=true to delete permanently",
            )
        gone = every if permanent else alive
        self._unreferenced(gone)
        changes: list[Change] = []
        if permanent:
            changes += [(schema_key(subject, stored.version), None) for stored in gone]
        else:
            changes.append((delete_subject_key(subject), {"subject": subject, "version": every[-1].version}))
            # What compaction could take away with the deletion's own record stands in each version's record, too.
            changes += [(schema_key(subject, s.version), {**s.log_value(), "deleted": True}) for s in gone]
        if self.state.config(subject) is not None:
            changes.append((config_key(subject), None))
        if self.state.mode(subject) is not None:
            changes.append((mode_key(subject), None))
        self._write(changes)
        return [stored.version for stored in gone]

    def level_of(self, subject: str | None) -> str:
        """The level that holds for a subject, or for all."""
        own = self.state.config(subject) if subject is not None else None
        config = own if own is not None and own.get("compatibilityLevel") else self.state.config(None) or {}
        level = str(config.get("compatibilityLevel"))
        return level if level in LEVELS else LEVEL_DEFAULT

    def set_config(self, subject: str | None, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Set a level, and keep what else a configuration carries."""
        if subject is not None:
            check_subject(subject)
        level = body.get("compatibility", body.get("compatibilityLevel"))
        if level is not None and (not isinstance(level, str) or level.upper() not in LEVELS):
            raise RegistryRefusal(
                codes.INVALID_LEVEL, "Invalid compatibility level. Valid values are " + ", ".join(LEVELS)
            )
        if level is None and not body:
            raise RegistryRefusal(codes.INVALID_LEVEL, "Invalid compatibility level: none was given")
        kept = {key: body[key] for key in _CONFIG_KEYS if body.get(key) is not None}
        before = self.state.config(subject) or {}
        value = {**before, **kept}
        if level is not None:
            value["compatibilityLevel"] = level.upper()
        self._write([(config_key(subject), value)])
        return {**kept, **({"compatibility": level.upper()} if level is not None else {})}

    def delete_config(self, subject: str | None) -> Mapping[str, Any]:
        """Take a level away; what it was."""
        before = self.state.config(subject)
        if before is None and subject is not None:
            raise RegistryRefusal(codes.LEVEL_NOT_FOUND, f"Subject '{subject}' has no level of its own")
        self._write([(config_key(subject), None)])
        return before or {"compatibilityLevel": LEVEL_DEFAULT}

    def mode_of(self, subject: str | None) -> str:
        """The mode that holds for a subject, or for all."""
        overall = self.state.mode(None) or "READWRITE"
        if overall == "READONLY_OVERRIDE" or subject is None:
            return overall
        return self.state.mode(subject) or overall

    def set_mode(self, subject: str | None, mode: Any, *, force: bool = False) -> str:
        """Set a mode; import only where there is nothing yet, unless forced."""
        if subject is not None:
            check_subject(subject)
        if not isinstance(mode, str) or mode.upper() not in MODES:
            raise RegistryRefusal(codes.INVALID_MODE, "Invalid mode. Valid values are " + ", ".join(MODES))
        mode = str(mode).upper()
        if mode == "IMPORT" and not force and self.mode_of(subject) != "IMPORT":
            taken = self.state.versions(subject) if subject is not None else list(self.state.subjects())
            if taken:
                raise RegistryRefusal(
                    codes.NOT_PERMITTED, "Cannot import since found existing subjects: use force=true"
                )
        self._write([(mode_key(subject), {"subject": subject, "mode": mode})])
        return str(mode)

    def delete_mode(self, subject: str) -> str:
        """Take a subject's mode away; what it was."""
        before = self.state.mode(subject)
        if before is None:
            raise RegistryRefusal(
                codes.MODE_NOT_FOUND, f"Subject '{subject}' does not have subject-level mode configured"
            )
        self._write([(mode_key(subject), None)])
        return before

    def schema_of(self, stored: Stored) -> Schema:
        """A stored version, parsed, with its references."""
        return self._reading.schema_of(stored)

    def sentences(self, subject: str, steps: list[Step]) -> list[str]:
        """Findings as sentences that name the earlier versions."""
        numbers = [stored.version for stored in self._history(subject)]
        return [step.sentence(f"version {numbers[step.earlier]}") for step in steps]

    def _history(self, subject: str) -> list[Stored]:
        return [stored for stored in self.state.versions(subject) if stored.kind == "AVRO"]

    def _judge(self, subject: str, schema: Schema) -> list[Step]:
        level, history = self.level_of(subject), self._history(subject)
        if level == "NONE":
            return []
        if not level.endswith("_TRANSITIVE"):
            steps = judge(level, [self._reading.schema_of(stored) for stored in history[-1:]], schema)
            return [Step(step.found, step.direction, len(history) - 1) for step in steps]
        return judge(level, [self._reading.schema_of(stored) for stored in history], schema)

    def _same(self, subject: str, candidate: Stored, *, deleted: bool = False, bare: bool = False) -> Stored | None:
        """The newest version that says the same; `bare` leaves metadata and rules out of it."""
        wanted = candidate.digest
        meaning: Schema | None = None
        for stored in reversed(self.state.versions(subject, deleted=deleted)):
            if stored.digest == wanted:
                return stored
            same_extras = bare or (stored.metadata or None, stored.rule_set or None) == (
                candidate.metadata,
                candidate.rule_set,
            )
            if stored.kind == "AVRO" and same_extras and sorted(stored.references) == sorted(candidate.references):
                meaning = meaning or self._reading.parse(candidate.text, candidate.references)
                if normalized(self._reading.schema_of(stored)) == normalized(meaning):
                    return stored
        return None

    def _import(self, subject: str, candidate: Stored, body: Mapping[str, Any]) -> Stored:
        schema_id, number = body.get("id"), body.get("version")
        if not isinstance(schema_id, int) or schema_id < 1:
            raise RegistryRefusal(codes.NOT_PERMITTED, f"Subject {subject} is in import mode: give an id")
        versions = self.state.versions(subject, deleted=True)
        next_number = versions[-1].version + 1 if versions else 1
        number = number if isinstance(number, int) and number > 0 else next_number
        taken = self.state.by_id(context_of(subject), schema_id)
        if taken and taken[0].digest != candidate.digest:
            raise RegistryRefusal(codes.ID_MISMATCH, f"Overwrite new schema with id {schema_id} is not permitted.")
        return self._put(_at(candidate, subject, number, schema_id))

    def _writable(self, subject: str) -> None:
        check_subject(subject)
        if self.mode_of(subject).startswith("READONLY"):
            raise RegistryRefusal(codes.NOT_PERMITTED, f"Subject {subject} is in read-only mode")

    def _unreferenced(self, gone: list[Stored]) -> None:
        places = {(stored.subject, stored.version) for stored in gone}
        for stored in gone:
            for referrer in self.state.referrers(stored.subject, stored.version):
                if (referrer.subject, referrer.version) not in places:
                    raise RegistryRefusal(
                        codes.REFERENCE_EXISTS,
                        "One or more references exist to the schema "
                        f"{{subject={stored.subject},version={stored.version}}}: "
                        f"{referrer.subject} version {referrer.version}",
                    )

    def _put(self, stored: Stored) -> Stored:
        self._write([(schema_key(stored.subject, stored.version), stored.log_value())])
        return stored

    def _write(self, changes: list[Change]) -> None:
        records = [write_record(key, value) for key, value in changes]
        if any(value is not None and len(value) > RECORD_BYTES_LIMIT for _, value in records):
            raise RegistryRefusal(codes.SCHEMA_TOO_LARGE, "Schema is too large for the registry's log")
        try:
            self._offset = max(self._offset, self._log.append(records))
        except Exception:
            self._doubtful = True
            raise
        for key, value in records:
            entry = read_record(key, value)
            assert entry is not None, "a registry reads what it wrote"
            self.state.apply(entry)


_CONFIG_KEYS = (
    "alias",
    "normalize",
    "validateFields",
    "validateRules",
    "compatibilityGroup",
    "compatibilityPolicy",
    "defaultMetadata",
    "overrideMetadata",
    "defaultRuleSet",
    "overrideRuleSet",
)


def _no_subject(subject: str) -> RegistryRefusal:
    return RegistryRefusal(codes.SUBJECT_NOT_FOUND, f"Subject '{subject}' not found.")


def _at(stored: Stored, subject: str, version: int, schema_id: int) -> Stored:
    return Stored(
        subject, version, schema_id, stored.text, stored.kind, stored.references, stored.metadata, stored.rule_set
    )

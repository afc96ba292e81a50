"""The `_schemas` log: its records as other registries write and read them, and what a registry needs of the log itself.

A record is two JSON texts. The key's order of members is part of its identity, since the topic is compacted by key:
`keytype`, `subject`, `version`, `magic`, as the first registries wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

RECORD_BYTES_LIMIT = 1_000_000  # brokers refuse messages above 1 MiB unless told otherwise


class Log(Protocol):
    """An ordered log of one partition, which only one writer at a time can append to."""

    def claim(self) -> None:
        """Become the only writer: what another one has not finished by now never comes."""

    def append(self, records: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Write all of these or none; the offset behind the last. Raises `Unreachable` where that is not certain."""

    def read(self, offset: int) -> Iterable[tuple[int, bytes, bytes | None]]:
        """All records from an offset to the present end: the offset behind each, its key, its value."""


class MemoryLog:
    """A log in this process, for tests and for `MemoryRegistry`."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []

    def claim(self) -> None:
        """There is no other."""

    def append(self, records: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Add to the list."""
        self.records.extend(records)
        return len(self.records)

    def read(self, offset: int) -> Iterable[tuple[int, bytes, bytes | None]]:
        """From an offset to the end."""
        for place, (key, value) in enumerate(self.records[offset:], offset + 1):
            yield place, key, value


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the log, read: what it is about, and its value, None where it removes."""

    kind: str
    subject: str | None
    version: int
    value: Mapping[str, Any] | None


def schema_key(subject: str, version: int) -> dict[str, Any]:
    """The key of one version of a subject."""
    return {"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1}


def config_key(subject: str | None) -> dict[str, Any]:
    """The key of the configuration of a subject, or of all."""
    return {"keytype": "CONFIG", "subject": subject, "magic": 0}


def mode_key(subject: str | None) -> dict[str, Any]:
    """The key of the mode of a subject, or of all."""
    return {"keytype": "MODE", "subject": subject, "magic": 0}


def delete_subject_key(subject: str) -> dict[str, Any]:
    """The key of the soft deletion of a whole subject; its value names the newest version that it covers."""
    return {"keytype": "DELETE_SUBJECT", "subject": subject, "magic": 0}


def write_record(key: Mapping[str, Any], value: Mapping[str, Any] | None) -> tuple[bytes, bytes | None]:
    """A record's bytes.

    >>> write_record(config_key(None), {"compatibilityLevel": "FULL"})
    (b'{"keytype":"CONFIG","subject":null,"magic":0}', b'{"compatibilityLevel":"FULL"}')
    """
    return _text(key), None if value is None else _text(value)


def read_record(key: bytes, value: bytes | None) -> Entry | None:
    """A record, or None where it is none of ours: others may add kinds, and no record may stop a registry.

    >>> read_record(b'{"keytype":"NOOP","magic":0}', None).kind
    'NOOP'
    """
    try:
        about = json.loads(key)
        content = None if value is None else json.loads(value)
        kind, subject, version = about["keytype"], about.get("subject"), about.get("version", 0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    known = isinstance(kind, str) and isinstance(subject, str | None) and isinstance(version, int)
    return Entry(kind, subject, version, content) if known and isinstance(content, dict | None) else None


def _text(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

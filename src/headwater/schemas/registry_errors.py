"""The error codes of the Confluent REST API: an HTTP status in the first three digits, and a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SUBJECT_NOT_FOUND = 40401
VERSION_NOT_FOUND = 40402
SCHEMA_NOT_FOUND = 40403
SUBJECT_SOFT_DELETED = 40404
SUBJECT_NOT_SOFT_DELETED = 40405
VERSION_SOFT_DELETED = 40406
VERSION_NOT_SOFT_DELETED = 40407
LEVEL_NOT_FOUND = 40408
MODE_NOT_FOUND = 40409
INCOMPATIBLE = 40901
INVALID_SCHEMA = 42201
INVALID_VERSION = 42202
INVALID_LEVEL = 42203
INVALID_MODE = 42204
NOT_PERMITTED = 42205
REFERENCE_EXISTS = 42206
ID_MISMATCH = 42207
INVALID_SUBJECT = 42208
SCHEMA_TOO_LARGE = 42209
INVALID_RULE_SET = 42210
STORE_FAILED = 50001
STORE_TIMEOUT = 50002
NO_LEADER = 50004
BAD_REQUEST = 400
NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405
TOO_LARGE = 413
UNPROCESSABLE = 422


@dataclass
class RegistryRefusal(Exception):  # the wire's own error, never shown as one of Headwater's
    """A request that a registry refuses: what goes out over the wire."""

    error_code: int
    message: str

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.error_code if self.error_code < 1000 else self.error_code // 100

    def body(self) -> dict[str, Any]:
        """The answer's body."""
        return {"error_code": self.error_code, "message": self.message}

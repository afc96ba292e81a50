"""One question to a registry by the standard library alone: which id and version has this schema under its subject?

It is all that most programs ever ask. confluent-kafka's client brings an HTTP stack, OAuth and a TLS context with it,
a third of the CPU time of a relay's start. So this asks first, where the address is plain HTTP, and answers only where
the registry says yes; anything else is None, and the whole client asks again and says what is wrong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote, urlsplit

from headwater.schemas.avro import Schema
from headwater.schemas.registry import Finder, RegisteredSchema

SECONDS = 10.0
_ANSWER_BYTES = 4 * 1024 * 1024
_HEADERS = {
    "Accept": "application/vnd.schemaregistry.v1+json, application/json",
    "Content-Type": "application/vnd.schemaregistry.v1+json",
    "Connection": "close",
}


class QuickFinder:
    """A `Finder` at a URL. `whole` makes the one that is asked where a schema is not plainly found."""

    def __init__(self, url: str, whole: Callable[[], Finder]) -> None:
        self._url = url
        self._whole = whole

    def find(self, subject: str, schema: Schema) -> RegisteredSchema | None:
        """Look a schema up."""
        references = [
            {"name": reference.name, "subject": reference.subject, "version": reference.version}
            for reference in schema.references
        ]
        body = {"schema": schema.text, "schemaType": "AVRO", "references": references}
        found = looked_up(self._url, subject, body, seconds=SECONDS)
        if found is None:
            return self._whole().find(subject, schema)
        version, number = found
        return RegisteredSchema(subject, version, number, schema)


def looked_up(url: str, subject: str, body: Mapping[str, object], *, seconds: float) -> tuple[int, int] | None:
    """Version and id of a schema, whose registration `body` would be; None where that is not plainly answered.

    >>> looked_up("https://registry.example.org", "a.b-value", {"schema": '"int"'}, seconds=1.0)
    """
    address = urlsplit(url)
    if address.scheme != "http" or not address.hostname or address.username or "," in url or _proxied():
        return None
    try:
        connection = HTTPConnection(address.hostname, address.port, timeout=seconds)
        path = f"{address.path.rstrip('/')}/subjects/{quote(subject, safe='')}?normalize=False&deleted=False"
        try:
            connection.request("POST", path, json.dumps(body), _HEADERS)
            answer = connection.getresponse()
            found = json.loads(answer.read(_ANSWER_BYTES)) if answer.status == 200 else None
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    version, number = found.get("version"), found.get("id")
    return (version, number) if type(version) is int and type(number) is int else None


def _proxied() -> bool:
    """Whether the environment names a proxy, which only the whole client goes by."""
    return any(value and name.lower() in ("http_proxy", "all_proxy") for name, value in os.environ.items())

"""Cursors that only this service can have written: opaque to clients, signed, and good for a while."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from dataclasses import dataclass
from typing import Any, Literal

from headwater.errors import CallerFault
from headwater.timeline.clock import Clock

Kind = Literal["page", "feed"]
_SECONDS: dict[Kind, int] = {"page": 3_600, "feed": 30 * 86_400}
_SIGNATURE = 16  # bytes of HMAC-SHA-256, as RFC 2104 section 5 allows
_LENGTH_LIMIT = 8_000  # characters: they go into a query


@dataclass(frozen=True, slots=True)
class Cursors:
    """Writes and reads cursors. `key` signs them; whoever serves with the same key can go on with them.

    >>> from headwater.timeline.clock import ManualClock
    >>> cursors = Cursors(b"secret", ManualClock())
    >>> cursors.read("page", "a.b.v1", cursors.write("page", "a.b.v1", [7, "x"]))
    [7, 'x']
    """

    key: bytes
    clock: Clock

    def write(self, kind: Kind, topic: str, place: list[Any]) -> str:
        """A place in a topic's feed, or in the pages of an answer, as text."""
        until = self.clock.now() // 1_000_000 + _SECONDS[kind]
        body = json.dumps([kind, topic, until, *place], separators=(",", ":"), ensure_ascii=False).encode()
        return base64.urlsafe_b64encode(self._sign(body) + body).decode().rstrip("=")

    def read(self, kind: Kind, topic: str, text: str) -> list[Any]:
        """The place; raises `CallerFault` HW-R032 where the text is none that was written here, or is too old."""
        try:
            if len(text) > _LENGTH_LIMIT:
                raise ValueError
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            signature, body = raw[:_SIGNATURE], raw[_SIGNATURE:]
            if not hmac.compare_digest(signature, self._sign(body)):
                raise ValueError
            named, of, until, *place = json.loads(body)
        except (ValueError, UnicodeError, binascii.Error):
            raise refused("it was not given by this service, or was changed") from None
        if (named, of) != (kind, topic):
            raise refused("it belongs to something else")
        if until < self.clock.now() // 1_000_000:
            raise refused("it is too old")
        return list(place)

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self.key, body, "sha256")[:_SIGNATURE]


def refused(why: str) -> CallerFault:
    """The one message for a cursor that leads nowhere."""
    return CallerFault(
        "the cursor cannot be used",
        code="HW-R032",
        detail=why,
        hint="ask without a cursor, and follow the links that the answers give",
    )

"""Who asks: the bearer token of a request (RFC 6750) to the name of its principal, or a refusal.

Tokens are those of a file, which holds their hashes only, or signed ones of an OpenID provider (`signed.py`). Where a
server asks for tokens, nothing but its health is told without one; what is wrong with one is told to whoever sent it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from starlette.requests import Request

from headwater.errors import CallerFault

TOKEN_LENGTH_LIMIT = 8_000  # characters
Check = Callable[[str], str | None]
"""A token to its principal's name; None where it is not of the kind that this knows. Raises HW-R042 to refuse it."""


class Bearers:
    """Reads who asks out of requests. Each check is asked in turn.

    >>> bearers = Bearers([HashedTokens({hashed("secret-of-the-board"): "svc.board"})])
    >>> bearers.of("Bearer secret-of-the-board")
    'svc.board'
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = checks

    def __call__(self, request: Request) -> str:
        """The principal of a request; raises `CallerFault` HW-R042 where it has none."""
        said = request.headers.getlist("authorization")
        if len(said) > 1:
            raise refused("there are several Authorization headers")
        return self.of(said[0] if said else "")

    def of(self, header: str) -> str:
        """The principal of an Authorization header."""
        kind, _, token = header.partition(" ")
        if kind.lower() != "bearer" or not token:
            raise refused("there is no bearer token")
        if len(token) > TOKEN_LENGTH_LIMIT:
            raise refused("it is too long")
        if not token.isascii() or any(sign.isspace() for sign in token):
            raise refused("it is no token")
        for check in self._checks:
            principal = check(token)
            if principal is not None:
                return principal
        raise refused("it is not known here")


class HashedTokens:
    """Tokens of which only the SHA-256 is kept. They are drawn at random, so that nothing slower is needed."""

    def __init__(self, principals: Mapping[str, str]) -> None:
        self._principals = dict(principals)

    def __call__(self, token: str) -> str | None:
        """The principal; looked up by the hash, so that the time it takes says nothing of the tokens."""
        return self._principals.get(hashed(token))


def hashed(token: str) -> str:
    """What a file of tokens has of one.

    >>> hashed("secret")[:16]
    '2bb80d537b1da3e3'
    """
    return hashlib.sha256(token.encode()).hexdigest()


def refused(why: str) -> CallerFault:
    """The one message for who is not known."""
    return CallerFault(
        "who asks is not known",
        code="HW-R042",
        detail=why,
        hint="send Authorization: Bearer <token>, with a token that this server accepts",
    )

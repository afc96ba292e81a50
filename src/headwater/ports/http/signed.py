"""Signed tokens of an OpenID provider (JWT, RFC 7519), read as RFC 8725 tells: what is not expected is refused.

The algorithm is one of a list, all of them with a public key, and has to be that of the key. Keys are the ones that
the server was given; a token that brings its own, or says where to get one, is refused, and so is every header that is
not known here. Names that stand twice in an object are refused, since two readers may take different ones.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from headwater.ports.http.bearer import refused
from headwater.timeline.clock import Clock

ALGORITHMS = {
    "RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "ES256": "EC", "ES384": "EC", "Ed25519": "OKP",
}  # fmt: skip
Keys = KeySet
"""The keys of a provider."""

_HEADERS = frozenset({"alg", "kid", "typ"})
_TYPES = ("jwt", "at+jwt", "application/at+jwt")
_LEEWAY = 30  # seconds that two clocks may be apart
_HEADER_BYTES_LIMIT, _CLAIMS_BYTES_LIMIT = 1_000, 6_000
_NAME_LENGTH_LIMIT = 200
_KEYS = 50  # that a provider may have at once


@dataclass(frozen=True, slots=True)
class Expected:
    """Who gives the tokens, for whom they are, and which claim names the principal."""

    issuer: str
    audience: str
    principal: str = "sub"


class SignedTokens:
    """Checks tokens against the keys that `keys` gives, a JWK set (RFC 7517); it is asked each time."""

    def __init__(self, expected: Expected, keys: Callable[[], Keys], clock: Clock) -> None:
        self._expected, self._keys, self._clock = expected, keys, clock

    def __call__(self, token: str) -> str | None:
        """The principal; None for what is not three parts with dots between them."""
        parts = token.split(".")
        if len(parts) != 3:
            return None
        header = _object(parts[0], _HEADER_BYTES_LIMIT)
        algorithm = self._judged(header)
        key = self._key(header.get("kid"), algorithm)
        _decoded(parts[2], _CLAIMS_BYTES_LIMIT)
        try:
            jws.deserialize_compact(token, key, algorithms=[algorithm])
        except (JoseError, ValueError):
            raise refused("its signature is none of a key that is known here") from None
        return self._claimed(_object(parts[1], _CLAIMS_BYTES_LIMIT))

    def _judged(self, header: Mapping[str, Any]) -> str:
        if set(header) - _HEADERS:
            raise refused("its header says more than alg, kid and typ")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise refused(f"its algorithm is none of {', '.join(ALGORITHMS)}")
        kind = header.get("typ", "JWT")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise refused("it is no access token")
        return algorithm

    def _key(self, named: object, algorithm: str) -> Any:
        """The key of that name; without a name, the only one that fits."""
        if named is not None and not (isinstance(named, str) and 0 < len(named) <= _NAME_LENGTH_LIMIT):
            raise refused("its key has no usable name")
        fitting = [
            key
            for key in self._keys().keys[:_KEYS]
            if key.key_type == ALGORITHMS[algorithm]
            and key.get("alg", algorithm) == algorithm
            and key.get("use", "sig") == "sig"
            and (named is None or key.kid == named)
        ]
        if len(fitting) != 1:
            raise refused("its key is not known here")
        return fitting[0]

    def _claimed(self, claims: Mapping[str, Any]) -> str:
        expected, now = self._expected, self._clock.now() / 1_000_000
        if claims.get("iss") != expected.issuer:
            raise refused("another issuer gave it")
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        if not isinstance(audiences, list) or expected.audience not in [one for one in audiences if type(one) is str]:
            raise refused("it is for another audience")
        if _instant(claims, "exp", needed=True) <= now - _LEEWAY:
            raise refused("it has expired")
        if max(_instant(claims, "nbf"), _instant(claims, "iat")) > now + _LEEWAY:
            raise refused("it is not valid yet")
        principal = claims.get(expected.principal)
        if (
            not isinstance(principal, str)
            or not 0 < len(principal) <= _NAME_LENGTH_LIMIT
            or not principal.isprintable()
        ):
            raise refused(f"its claim {expected.principal} names nobody")
        return principal


def read_keys(text: str | bytes) -> Keys:
    """A JWK set out of its JSON; raises `ValueError` where it is none, or holds a secret or private key."""
    value = json.loads(text, object_pairs_hook=_once)
    if not isinstance(value, dict) or not isinstance(value.get("keys"), list) or not value["keys"]:
        raise ValueError("it has no keys")
    if any(not isinstance(key, dict) or "d" in key or key.get("kty") == "oct" for key in value["keys"]):
        raise ValueError("it holds a secret; only public keys belong here")
    try:
        return KeySet.import_key_set({"keys": value["keys"]})
    except JoseError as error:
        raise ValueError(str(error)) from None


def _object(part: str, limit: int) -> Mapping[str, Any]:
    try:
        value = json.loads(_decoded(part, limit), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise refused("it is no JSON") from None
    if not isinstance(value, dict):
        raise refused("it is no JSON object")
    return value


def _decoded(part: str, limit: int) -> bytes:
    """Base64url as RFC 7515 has it: no padding, no other signs, and only one way to write the same bytes."""
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise refused("it is no base64url") from None
    if "=" in part or base64.urlsafe_b64encode(raw).decode().rstrip("=") != part:
        raise refused("it is no base64url")
    if len(raw) > limit:
        raise refused("a part of it is too long")
    return raw


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _instant(claims: Mapping[str, Any], name: str, *, needed: bool = False) -> float:
    """Seconds since 1970 of a claim; 0 where it is not there and need not be."""
    if name not in claims and not needed:
        return 0.0
    value = claims.get(name)
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or not 0 <= value < 1 << 40
    ):
        raise refused(f"its claim {name} is no moment")
    return float(value)

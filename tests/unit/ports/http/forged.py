"""A corpus of bearer tokens that nobody may accept, and the few beside them that are good."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

ISSUER, AUDIENCE = "https://id.example.org", "headwater"
NOW = 1_790_000_000  # seconds
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig", "alg": "RS256"})
EC = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"})
OKP = OKPKey.generate_key("Ed25519", {"kid": "okp"})
ENCRYPTING = RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})
KEYS = KeySet([RSA, EC, OKP, ENCRYPTING])
PUBLIC = json.dumps(KEYS.as_dict(private=False))
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "svc.board", "exp": NOW + 600, "iat": NOW - 10}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(header: Mapping[str, Any], claims: Any, key: Any = RSA) -> str:
    """Signed as told, whatever the library thinks of it."""
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    plain = {"alg": header.get("alg", "RS256"), "kid": key.kid}
    made = f"{b64(json.dumps({**plain, **header}).encode())}.{b64(body)}"
    registry = jws.JWSRegistry(algorithms=["RS256", "RS384", "ES256", "Ed25519", "PS256"])
    model = registry.get_alg(plain["alg"])
    return f"{made}.{b64(model.sign(made.encode(), key))}"


def good() -> Iterator[tuple[str, str]]:
    """What must be accepted: otherwise a check that refuses everything would pass."""
    yield "RS256", signed({}, CLAIMS)
    yield "ES256", signed({"alg": "ES256"}, CLAIMS, EC)
    yield "Ed25519", signed({"alg": "Ed25519"}, CLAIMS, OKP)
    yield "at+jwt", signed({"typ": "at+jwt"}, CLAIMS)
    yield "several audiences", signed({}, CLAIMS | {"aud": ["other", AUDIENCE]})
    yield "expired within the leeway", signed({}, CLAIMS | {"exp": NOW - 29})
    yield "begins within the leeway", signed({}, CLAIMS | {"nbf": NOW + 30})
    yield "further claims", signed({}, CLAIMS | {"scope": "read", "nested": {"a": [1, {"b": 2}]}})


def forged() -> Iterator[tuple[str, str]]:
    """What must not be accepted, each with its name."""
    yield from _algorithms()
    yield from _headers()
    yield from _claims()
    yield from _shapes()


def _algorithms() -> Iterator[tuple[str, str]]:
    body = b64(json.dumps(CLAIMS).encode())
    for name in ("none", "None", "NONE", "nOnE", "", "RS256 ", "rs256", "HS1", "A128KW", "dir", "RSA-OAEP", "ES256K"):
        for kid in ("rsa", None):
            head = b64(json.dumps({"alg": name} | ({"kid": kid} if kid else {})).encode())
            yield f"alg {name!r}, kid {kid}, no signature", f"{head}.{body}."
            yield f"alg {name!r}, kid {kid}, that of another", f"{head}.{body}.{signed({}, CLAIMS).split('.')[2]}"
    secrets = {
        "PEM": RSA.as_pem(private=False),
        "DER": RSA.as_der(private=False),
        "JWK": json.dumps(RSA.as_dict()).encode(),
        "modulus": RSA.as_dict(private=False)["n"].encode(),
        "nothing": b"",
        "zero": b"\0" * 32,
    }
    for digest in ("sha256", "sha384", "sha512"):
        for what, secret in secrets.items():
            for kid in ("rsa", "ec", None):
                head = {"alg": f"HS{digest[3:]}"} | ({"kid": kid} if kid else {})
                made = f"{b64(json.dumps(head).encode())}.{body}"
                yield (
                    f"HMAC-{digest} with the public key as {what}, kid {kid}",
                    f"{made}.{b64(hmac.digest(secret, made.encode(), digest))}",
                )
    yield "the key's own algorithm is another", signed({"alg": "PS256"}, CLAIMS)
    yield "RS384 with a key for RS256", signed({"alg": "RS384"}, CLAIMS)
    yield "a key that only encrypts", signed({}, CLAIMS, ENCRYPTING)
    yield "a stranger's key under a known name", signed({}, CLAIMS, STRANGER)
    yield "a key of the other kind by its name", signed({"kid": "ec"}, CLAIMS)
    yield "ES256 with a signature of zeros", _with_signature(signed({"alg": "ES256"}, CLAIMS, EC), b"\0" * 64)
    yield (
        "ES256 with a signature in DER",
        _with_signature(signed({"alg": "ES256"}, CLAIMS, EC), b"\x30\x06\2\1\1\2\1\1"),
    )
    yield "ES256 of RSA", _with_signature(signed({"alg": "ES256"}, CLAIMS, EC), b"\1" * 256)


def _headers() -> Iterator[tuple[str, str]]:
    own = json.loads(json.dumps(STRANGER.as_dict(private=False)))
    for name, value in {
        "jwk": own,
        "jku": "https://evil.example.org/jwks.json",
        "x5u": "https://evil.example.org/c.pem",
        "x5c": ["MIIB"],
        "x5t": "AAAA",
        "x5t#S256": "AAAA",
        "crit": ["exp"],
        "b64": False,
        "zip": "DEF",
        "cty": "JWT",
        "enc": "A256GCM",
        "epk": {},
        "apu": "x",
        "iss": ISSUER,
        "url": "https://evil.example.org",
        "nonce": "1",
        "p2c": 1 << 30,
    }.items():
        yield f"header {name}, the provider's key", signed({name: value}, CLAIMS)
        yield f"header {name}, a stranger's key", signed({name: value}, CLAIMS, STRANGER)
    for critical in (["unknown"], ["b64"], [], ["kid"], "exp", None):
        yield f"crit {critical}", signed({"crit": critical}, CLAIMS)
    for kid in (
        "../../../../dev/null",
        "/dev/null",
        "rsa\0",
        "' OR '1'='1",
        "|/bin/true",
        "http://evil.example.org/",
        "RSA",
        "rsa ",
        "",
        "x" * 300,
        7,
        None,
        ["rsa"],
        {"kid": "rsa"},
        True,
    ):
        yield f"kid {str(kid)[:30]!r}", signed({"kid": kid}, CLAIMS, STRANGER)
        if kid is not None:
            yield f"kid {str(kid)[:30]!r} of the provider", signed({"kid": kid}, CLAIMS)
    for kind in ("JWE", "logout+jwt", "id_token", "dpop+jwt", "application/json", 1, None, ["JWT"], "secevent+jwt"):
        yield f"typ {kind}", signed({"typ": kind}, CLAIMS)


def _claims() -> Iterator[tuple[str, str]]:
    wrong: dict[str, tuple[Any, ...]] = {
        "iss": (
            "https://id.example.org/",
            "http://id.example.org",
            "HTTPS://ID.EXAMPLE.ORG",
            "",
            None,
            1,
            [ISSUER],
            {},
        ),
        "aud": (
            "Headwater",
            "headwater ",
            "",
            None,
            1,
            [],
            ["other"],
            {"headwater": 1},
            [["headwater"]],
            "headwater,other",
        ),
        "exp": (NOW - 30, NOW - 31, 0, -1, None, "never", str(NOW + 600), True, [NOW + 600], 1 << 41, 1e308),
        "nbf": (NOW + 31, NOW + 3_600, "soon", None, True, 1 << 41, -5),
        "iat": (NOW + 31, NOW + 3_600, "soon", None, True, [NOW]),
        "sub": ("", None, 1, ["svc.board"], {"name": "svc.board"}, "x" * 300, "a\nb", "a\0b", "\u202egnp", True),
    }
    for name, values in wrong.items():
        for value in values:
            yield f"{name} {str(value)[:40]!r}", signed({}, CLAIMS | {name: value})
        if name not in ("nbf", "iat"):
            yield f"no {name}", signed({}, {key: value for key, value in CLAIMS.items() if key != name})
    for constant in ("NaN", "Infinity", "-Infinity"):
        yield (
            f"exp {constant}",
            signed({}, json.dumps(CLAIMS | {"exp": 0}).replace('"exp": 0', f'"exp": {constant}').encode()),
        )
    for name, later in (("iss", "https://evil.example.org"), ("sub", "admin"), ("aud", "other"), ("exp", NOW + 9_999)):
        twice = json.dumps(CLAIMS)[:-1] + f', "{name}": {json.dumps(later)}}}'
        yield f"{name} twice", signed({}, twice.encode())
    for body in (b"", b"[]", b"null", b'"svc.board"', b"1", b"{", b'{"a":' * 2_000, b"[" * 5_000, b"\xff\xfe", b"{}"):
        yield f"claims {body[:20]!r}", signed({}, body)
    yield "huge claims", signed({}, CLAIMS | {"filler": "x" * 6_100})


def _shapes() -> Iterator[tuple[str, str]]:
    token = signed({}, CLAIMS)
    head, body, signature = token.split(".")
    other = b64(json.dumps(CLAIMS | {"sub": "admin"}).encode())
    twice = b64(b'{"alg":"none","alg":"RS256","kid":"rsa"}')
    yield from {
        "claims of another": f"{head}.{other}.{signature}",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{token}.{signature}",
        "five parts, as encrypted": f"{token}.{signature}.{signature}",
        "no header": f".{body}.{signature}",
        "no claims": f"{head}..{signature}",
        "dots": "..",
        "nothing": "",
        "padded": f"{head}.{body}.{signature}==",
        "plain base64": f"{head}.{body}.{signature[:-2]}+/",
        "cut": token[:-1],
        "longer by one": token + "A",
        "its first sign changed": ("f" if token[0] == "e" else "e") + token[1:],
        "header twice": f"{twice}.{body}.{signature}",
        "JSON": json.dumps({"payload": body, "signatures": []}),
        "unknown token": "0123456789abcdef",
        "the hash of a token": hashlib.sha256(b"known-token").hexdigest(),
        "detached": f"{head}..{signature}",
        "very long": "a" * 7_999,
        "many dots": "." * 5_000,
        "spaces": f"{head} .{body}.{signature}",
        "a deep header": f"{b64(b'[' * 900)}.{body}.{signature}",
        "a huge header": f"{b64(b' ' * 2_000 + b'{}')}.{body}.{signature}",
    }.items()
    for secret in (b"", b"secret", b"key"):
        own = {"alg": "HS256", "jwk": {"kty": "oct", "k": b64(secret)}}
        made = f"{b64(json.dumps(own).encode())}.{body}"
        yield f"its own secret {secret!r}", f"{made}.{b64(hmac.digest(secret, made.encode(), 'sha256'))}"


def _with_signature(token: str, signature: bytes) -> str:
    return f"{token.rpartition('.')[0]}.{b64(signature)}"

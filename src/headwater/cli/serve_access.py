"""Who may ask a server: the tokens of a file, the keys of an OpenID provider, and where neither is needed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.errors import CallerFault

if TYPE_CHECKING:
    from headwater.ports.http.app import Principal
    from headwater.ports.http.signed import Keys
    from headwater.timeline.clock import Clock

_LINE = re.compile(r"([0-9a-f]{64}) +(\S{1,200})")
_KEYS_BYTES_LIMIT = 1_000_000
_KEYS_KEPT_MICROSECONDS = 300_000_000  # a provider announces a new key before it signs with it
_KEYS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class AccessOptions:
    """What the command line says of it. `keys` is a file, or an address with https."""

    tokens: Path | None = None
    issuer: str = ""
    audience: str = ""
    keys: str = ""


def asking(host: str, options: AccessOptions, clock: Clock) -> Principal:
    """Who asks, out of a request. Raises `CallerFault` HW-K073 where others could reach the server unknown."""
    from headwater.ports.http.app import nobody
    from headwater.ports.http.bearer import Bearers, Check, HashedTokens

    checks: list[Check] = []
    if options.tokens is not None:
        checks.append(HashedTokens(_tokens(options.tokens)))
    signed = (options.issuer, options.audience, options.keys)
    if all(signed):
        checks.append(_signed(options, clock))
    elif any(signed):
        raise _wrong(
            "an OpenID provider needs all of --issuer, --audience and --keys", "give the ones that are missing"
        )
    if checks:
        return Bearers(checks)
    if _loopback(host):
        return nobody
    raise CallerFault(
        f"others reach the server at {host}, and nobody asks who they are",
        code="HW-K073",
        detail="without authentication it listens on loopback only",
        hint="--tokens FILE, or --issuer, --audience and --keys of an OpenID provider; or --host 127.0.0.1",
    )


def _signed(options: AccessOptions, clock: Clock) -> Callable[[str], str | None]:
    from headwater.ports.http.signed import Expected, SignedTokens

    source = _Keys(options.keys, clock)
    source()  # a server that knows no key says so when it starts
    return SignedTokens(Expected(options.issuer, options.audience), source, clock)


class _Keys:
    """A provider's keys, read again every five minutes; the ones before stay in force while that fails."""

    def __init__(self, place: str, clock: Clock) -> None:
        self._place, self._clock = place, clock
        self._known: Keys | None = None
        self._since = 0

    def __call__(self) -> Keys:
        now = self._clock.monotonic()
        if self._known is None or now - self._since > _KEYS_KEPT_MICROSECONDS:
            self._since = now  # whether it goes well or not: nobody asks a provider with each request
            try:
                self._known = self._read()
            except CallerFault:
                if self._known is None:
                    raise
        return self._known

    def _read(self) -> Keys:
        from headwater.ports.http.signed import read_keys

        try:
            return read_keys(_fetched(self._place) if "://" in self._place else Path(self._place).read_bytes())
        except (OSError, ValueError) as error:
            raise _wrong(
                f"--keys {self._place} cannot be used: {error}", "name a JWK set: a file, or an https address"
            ) from None


def _fetched(address: str) -> bytes:
    """What is at an address of https, which has to have it itself: a redirect could lead anywhere."""
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object, **__: object) -> None:
            return None

    if not address.startswith("https://"):
        raise ValueError("keys are fetched by https only")
    with urllib.request.build_opener(Stay).open(address, timeout=_KEYS_SECONDS) as answer:
        body: bytes = answer.read(_KEYS_BYTES_LIMIT + 1)
    if len(body) > _KEYS_BYTES_LIMIT:
        raise ValueError("it is too large")
    return body


def _tokens(file: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeError) as error:
        raise _wrong(
            f"--tokens {file} cannot be read: {error}", "a line for each: SHA-256 in hex, a blank, a name"
        ) from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise _wrong(
                f"--tokens {file}, line {number} is no token's hash and principal", "headwater token NAME makes one"
            )
        found[match[1]] = match[2]
    if not found:
        raise _wrong(f"--tokens {file} has no tokens", "headwater token NAME makes one")
    return found


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wrong(what: str, hint: str) -> CallerFault:
    return CallerFault(what, code="HW-K074", detail="nothing was started: nobody could be let in", hint=hint)

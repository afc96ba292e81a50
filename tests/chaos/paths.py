"""Names that want to be paths: of files beside the mesh, above it, of the machine, in every spelling."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from urllib.parse import quote

_DOTS = (
    "../", "..\\", "%2e%2e/", "%2e%2e%2f", "%252e%252e%252f", "..%2f", "..%5c", "..%c0%af", "\uff0e\uff0e/",
    "..\u2215", "..\u2044", "\u2025/", "....//", "..;/", ".\u200b./", "..\x00/",
)  # fmt: skip
_ODD = (
    "", ".", "..", "...", "/", "//", "\\", "~", "~root", "$HOME", "${HOME}", "*", "-", "con", "CON", "nul", "aux.txt",
    "COM1", "a" * 300, "a." * 200, "\x00", "flights.departures\x00", "flights.departures\n", "FLIGHTS.DEPARTURES",
    "Flights.departures", "flights.departures ", "flights.departures.", "flights..departures", "flights./departures",
    "fl\u0131ghts.departures", "flights.departures::$DATA", "flights.departures/../orders", "e\u0301.a",
    "\u202eflights.departures", "flights.departures%00",
)  # fmt: skip
_SHAPES = (
    "{}", "flights.{}", "{}.departures", "flights.departures/{}", "flights/{}", "{}\x00", "{}.", "{}%00.txt", "./{}",
    "a/../{}", " {}", "{}#", "{}?x=1",
)  # fmt: skip


def hostile_names(outside: Path, seed: int, count: int) -> Iterator[str]:
    """The listed ones, then so many drawn: ways to the file `secret.txt`, and to `Secret.avsc`, of a folder outside."""
    yield from _ODD
    chance, name = Random(seed), outside.name
    for target in ("secret.txt", "Secret", "Secret.avsc", ""):
        whole = str(outside / target)
        yield from (whole, f"file://{whole}", quote(whole, safe=""), whole.replace("/", "\\"), f"C:{whole}")
        yield from (f"\\\\?\\C:{whole}", f"/{whole}", f"/proc/self/root{whole}", f"//localhost{whole}")
        for dots in _DOTS:
            for depth in range(1, 9):
                yield dots * depth + name + "/" + target
    for _ in range(count):
        dots, target = chance.choice(_DOTS), chance.choice(("secret.txt", "Secret", "Secret.avsc"))
        inner = dots * chance.randint(1, 8) + name + chance.choice(("/", "%2f", "\\")) + target
        text = chance.choice(_SHAPES).format(inner)
        yield "".join(quote(sign, safe="") if chance.random() < 0.1 else sign for sign in text)

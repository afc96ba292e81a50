"""Every code with its explanation, read from the files beside this one: what commands and pages say about a code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

# The letter of a code says what it is about, and so where its explanation stands.
FILES: Final = MappingProxyType(
    {
        "C": "contracts.toml",
        "D": "deploy.toml",
        "I": "lake.toml",
        "K": "commands.toml",
        "L": "local.toml",
        "N": "naming.toml",
        "O": "outbox.toml",
        "P": "processing.toml",
        "R": "broker.toml",
        "S": "schemas.toml",
        "T": "time.toml",
        "V": "registry.toml",
    }
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code says (`…` for what varies), why it matters, how to mend it, and for some an example."""

    code: str
    says: str
    why: str
    mend: str
    example: str = ""

    @property
    def page(self) -> str:
        """The path of its page, from the repository's root."""
        return f"docs/reference/findings/{self.code}.md"

    def text(self) -> str:
        """The explanation as a terminal shows it."""
        parts = [f"{self.code}  {self.says}", f"why: {self.why}", f"fix: {self.mend}"]
        example = "\n".join(f"    {line}" for line in self.example.strip("\n").splitlines())
        return "\n\n".join([*parts, f"example:\n\n{example}"] if example else parts)


@lru_cache(maxsize=1)
def explanations() -> Mapping[str, Explanation]:
    """All explanations by their code, in order.

    >>> explanations()["HW-N001"].mend
    'Write for example flights.departures.'
    """
    found: dict[str, Explanation] = {}
    for name in FILES.values():
        for code, parts in tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8")).items():
            found[code] = Explanation(code, **parts)
    return MappingProxyType(dict(sorted(found.items())))


def explain(text: str) -> Explanation | None:
    """The explanation of a code, however it is typed.

    >>> explain("hw-n001") == explain("[HW-N001]") == explain("n001") == explanations()["HW-N001"]
    True
    """
    short = text.strip().strip("[]").upper().removeprefix("HW-")
    return explanations().get(f"HW-{short}")

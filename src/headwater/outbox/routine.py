"""A function of the outbox's database as a value: how it is made, and by what text of the catalogue it is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

_QUOTE = "$headwater$"


@dataclass(frozen=True, slots=True)
class Routine:
    """A plpgsql function, `schema.name`. Its parameters and what it returns are part of its text, by a digest.

    >>> Routine("public.one", "", "int", "BEGIN RETURN 1; END", volatility="IMMUTABLE").create.splitlines()[0]
    'CREATE OR REPLACE FUNCTION public.one() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $headwater$'
    """

    name: str
    parameters: str
    returns: str
    body: str
    volatility: Literal["VOLATILE", "IMMUTABLE"]
    settings: str = ""

    @property
    def source(self) -> str:
        """The body as the catalogue keeps it: what differs from it was made by another release, or by hand."""
        said = "\n".join((self.name, self.parameters, self.returns, self.volatility, self.settings, self.body))
        return f"\n{self.body.strip()}\n-- headwater {hashlib.sha256(said.encode()).hexdigest()[:16]}\n"

    @property
    def create(self) -> str:
        """The statement that makes it, or replaces it."""
        assert _QUOTE not in self.body
        return (
            f"CREATE OR REPLACE FUNCTION {self.name}({self.parameters}) RETURNS {self.returns} LANGUAGE plpgsql "
            f"{self.volatility} {self.settings + ' ' if self.settings else ''}AS {_QUOTE}{self.source}{_QUOTE}"
        )

"""The seven levels over a whole history: may this schema follow those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from headwater.errors import CallerFault
from headwater.schemas.avro import Schema
from headwater.schemas.compatibility import Break, compare

Direction = Literal["backward", "forward"]
LEVELS: Final = (
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
    "NONE",
)


@dataclass(frozen=True, slots=True)
class Step:
    """One finding of a history: what broke, in which direction, against which earlier schema (its index, from 0).

    Backward: the new schema reads what the earlier one wrote. Forward: the earlier one reads what the new one writes.
    """

    found: Break
    direction: Direction
    earlier: int

    def as_json(self) -> dict[str, object]:
        """As the published JSON form has it."""
        return {**self.found.as_json(), "direction": self.direction, "earlier": self.earlier}

    def sentence(self, label: str = "") -> str:
        """The finding in one line; `label` names the earlier schema."""
        earlier = label or f"schema {self.earlier + 1}"
        who = f"the new schema as reader of {earlier}" if self.direction == "backward" else f"{earlier} as reader"
        place = self.found.reader_path or "/"
        return f"{who}, at {place}: {self.found.message}; {self.found.why}. fix: {self.found.fix} [{self.found.code}]"


def check_level(level: str) -> str:
    """The level, if it is one of the seven; raises `CallerFault` HW-S120."""
    if level not in LEVELS:
        raise CallerFault(
            f"'{level[:40]}' is not a compatibility level", code="HW-S120", hint="one of " + ", ".join(LEVELS)
        )
    return level


def judge(level: str, history: Sequence[Schema], candidate: Schema) -> list[Step]:
    """What a level finds when `candidate` follows `history` (oldest first): errors and warnings; no errors: it may.

    >>> from headwater.schemas.avro import parse
    >>> history = [parse('"long"'), parse('"int"')]
    >>> [step.direction for step in judge("FULL", history, parse('"int"'))]
    []
    >>> [(step.direction, step.earlier) for step in judge("FULL_TRANSITIVE", history, parse('"int"'))]
    [('backward', 0)]
    """
    check_level(level)
    if level == "NONE":
        return []
    first = 0 if level.endswith("_TRANSITIVE") else max(0, len(history) - 1)
    steps: list[Step] = []
    for earlier in range(len(history) - 1, first - 1, -1):
        if history[earlier].text == candidate.text and history[earlier].references == candidate.references:
            continue
        if level.startswith(("BACKWARD", "FULL")):
            steps += [Step(found, "backward", earlier) for found in compare(candidate, history[earlier])]
        if level.startswith(("FORWARD", "FULL")):
            steps += [Step(found, "forward", earlier) for found in compare(history[earlier], candidate)]
    return steps


def compatible(steps: Sequence[Step]) -> bool:
    """Whether nothing of severity error was found."""
    return all(step.found.severity != "error" for step in steps)

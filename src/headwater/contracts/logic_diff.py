"""Two flows of a product, as `releases.lock` keeps them, to what differs and what that asks for.

`breaking`: what is published from now on and what was published before are not made alike, and kept state mixes both.
`additive`: a field more, all others as they were. `forward-only`: each row is made by itself, so that those from before
stay as they were and those from now on are made the new way. Where kept state would have another form, none of them
can go on in the same major.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Kind = Literal["breaking", "additive", "forward-only"]
_COMBINING = ("aggregate ", "latest ", "join_as_of ", "join_within ")
_CONDITION = "filter "
_MIXED = "what is kept was folded or joined another way, and results would be made of both"
_STAYS = "what was published before stays as it was made, and is not taken back"


@dataclass(frozen=True, slots=True)
class LogicChange:
    """One thing that a flow does otherwise. `step` is the step as it now is, where it is one.

    `anew` is true where kept state has to be made anew from the inputs' history, which only a new major does.
    """

    kind: Kind
    before: str
    after: str
    why: str
    step: str = ""
    anew: bool = False

    def text(self) -> str:
        """In one line.

        >>> LogicChange("forward-only", "filter (5 < delay)", "filter (9 < delay)", "rows are made one by one").text()
        'the flow, forward-only: filter (5 < delay) -> filter (9 < delay)'
        """
        return f"the flow, {self.kind}: {self.before or 'nothing'} -> {self.after or 'nothing'}"


def logic_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[LogicChange]:
    """What differs between two flows, as `processing.logic` tells them; empty where they make the same records.

    >>> old = {"steps": ["read a.x"], "values": [], "fields": {"n": ["n"]}, "kept": ""}
    >>> new = {**old, "fields": {**old["fields"], "m": ["(n + 1)"]}}
    >>> [(change.kind, change.anew) for change in logic_changes(old, new)]
    [('additive', False)]
    """
    fresh = set(after["values"]) - set(before["values"])
    changes = [
        *_steps(before["steps"], after["steps"]),
        *_conditions(before["steps"], after["steps"], fresh),
        *_fields(before["fields"], after["fields"], fresh),
    ]
    anew = bool(before["kept"]) and before["kept"] != after["kept"]
    return [replace(change, anew=anew or change.kind == "breaking") for change in changes]


def _steps(before: Sequence[str], after: Sequence[str]) -> Iterator[LogicChange]:
    """Steps that decide what is kept, or which rows there are by other means than a condition."""
    old, new = _made_by(before), _made_by(after)
    if old != new:
        gone, come = _apart(old, new)
        why = "what is kept was made by other steps, and results would be made of both"
        yield LogicChange("breaking", "; ".join(gone), "; ".join(come), why, (come or new)[-1])


def _conditions(before: Sequence[str], after: Sequence[str], fresh: set[str]) -> Iterator[LogicChange]:
    """Conditions that each row, or each result, meets by itself."""
    gone, come = _apart(sorted(_conditions_of(before)), sorted(_conditions_of(after)))
    if gone or come:
        # A condition that is too long to be told is told by a digest, which does not say what it is made of.
        mixed = bool(fresh) and any("#" in step or any(value in step for value in fresh) for step in come)
        kind: Kind = "breaking" if mixed else "forward-only"
        yield LogicChange(kind, "; ".join(gone), "; ".join(come), _MIXED if mixed else _STAYS, (come or after)[-1])


def _made_by(steps: Sequence[str]) -> list[str]:
    at = _rows_from(steps)
    return [*steps[:at], *(step for step in steps[at:] if not step.startswith(_CONDITION))]


def _conditions_of(steps: Sequence[str]) -> list[str]:
    return [step for step in steps[_rows_from(steps) :] if step.startswith(_CONDITION)]


def _rows_from(steps: Sequence[str]) -> int:
    """Where the part begins that makes each row by itself: after the last step that makes one of several."""
    return max((at + 1 for at, step in enumerate(steps) if step.startswith(_COMBINING)), default=0)


def _apart(before: Sequence[str], after: Sequence[str]) -> tuple[list[str], list[str]]:
    """What only one of both has; where they differ by order alone, all of both."""
    gone, come = [one for one in before if one not in after], [one for one in after if one not in before]
    return (gone, come) if gone or come or list(before) == list(after) else (list(before), list(after))


def _fields(before: Mapping[str, Any], after: Mapping[str, Any], fresh: set[str]) -> Iterator[LogicChange]:
    for name in _in_order(after, before):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        said, will = (f"{name} = {one[0]}" if one else "" for one in (old, new))
        if old is None:
            why = "all other fields are as they were; records from before do not have it"
            yield LogicChange("additive", said, will, why)
        elif new is not None and fresh & set(new[1:]):
            yield LogicChange("breaking", said, will, _MIXED)
        else:
            yield LogicChange("forward-only", said, will, _STAYS)


def _in_order(first: Iterable[str], rest: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*first, *rest]))

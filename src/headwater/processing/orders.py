"""Other orders of arrival for the same records: late, repeated, mistaken first and corrected. Each comes from a seed.

Whatever the order, the same must be true in the end. What a broker never does is not tried: records of one fact's key
stay in their order, since among overlapping facts the later one speaks; events may come in any order, for each
revision says how new it is.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from headwater.processing.example_records import Given
from headwater.processing.graph import HIDDEN

_REPEATED = 0.25  # of the records: enough that most orders repeat one, few enough that a person can read the order
_MISTAKEN = 0.25


def reordered(given: Sequence[Given], seed: int, *, tick: int) -> list[Given]:
    """The records in another order of arrival, recorded anew; `note` says what was made of each."""
    chance = random.Random(seed)
    lines = _lines(_with_mistakes(given, chance), chance)
    now, arrived = 0, []
    while lines:
        line = lines[chance.randrange(len(lines))]
        now += chance.choice((0, 1, tick, 7 * tick))
        arrived.append(line.pop(0).changed(recorded_at=now))
        lines = [line for line in lines if line]
    return arrived


def _with_mistakes(given: Sequence[Given], chance: random.Random) -> list[Given]:
    """With false revisions before true ones: what other records of the input say, under this one's identity."""
    made: list[Given] = []
    for one in given:
        if not one.port.corrections:
            made.append(one)
            continue
        revision = 2 * one.record["revision"]
        others = [other for other in given if other.port is one.port and other.path != one.path]
        if others and chance.random() < _MISTAKEN:
            said = chance.choice(others).record
            kept = {"event_id", *HIDDEN, *one.port.key} | ({"valid_from", "valid_to"} if _fact(one) else set())
            false = {name: value for name, value in said.items() if name not in kept}
            kind = "assert" if revision == 2 else "correct"
            made.append(one.changed("mistaken", **false, revision=revision - 1, kind=kind))
        made.append(one.changed(revision=revision))
    return made


def _lines(given: Sequence[Given], chance: random.Random) -> list[list[Given]]:
    """What must stay in its order, line by line: a fact's key is a line, an event is one of its own."""
    lines: list[list[Given]] = []
    keys: dict[object, list[Given]] = {}
    for one in given:
        if not _fact(one):
            lines.append([one])
            continue
        key = (one.port.product, *(one.record[name] for name in one.port.key))
        if key not in keys:
            keys[key] = []
            lines.append(keys[key])
        keys[key].append(one)
    for line in lines:
        for place, one in enumerate(list(line)):
            if one.port.corrections and chance.random() < _REPEATED:
                line.insert(chance.randrange(line.index(one, place) + 1, len(line) + 1), one.changed("again"))
    return lines


def _fact(one: Given) -> bool:
    return one.port.shape == "fact"

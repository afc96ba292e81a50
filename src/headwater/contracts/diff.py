"""Two contracts to typed changes: what each does to readers, and which version is due for all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headwater.contracts.keys import CLASSIFICATIONS
from headwater.contracts.product import Version
from headwater.timeline.instant import Duration

Effect = Literal["breaking", "data-affecting", "metadata"]
Part = Literal["major", "minor", "patch", "none"]
_JUDGED_ELSEWHERE = ("service_levels", "quality", "schema_version")
DUE: Mapping[Effect, Part] = {"breaking": "major", "data-affecting": "minor", "metadata": "patch"}
_RANK: Mapping[Part, int] = {"none": 0, "patch": 1, "minor": 2, "major": 3}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs between two contracts. `path` is its place in `product.yaml`.

    `breaking`: who relies on it cannot go on as before. `data-affecting`: records, or how long and how well they are
    to be had, are others. `metadata`: words for people, or a promise that got stronger.
    """

    path: str
    effect: Effect
    before: str
    after: str
    why: str

    def text(self) -> str:
        """In one line.

        >>> Change("outputs[0].partitions", "breaking", "4", "8", "keys move").text()
        'partitions: 4 -> 8'
        """
        said = " -> ".join(part or "none" for part in (self.before, self.after))
        return f"{self.path.removeprefix('outputs[0].')}: {said}"


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What differs between the promises of two contracts (as `releases.promises_of` gives them)."""
    changes = [*_product(before, after)]
    old, new = before["outputs"], after["outputs"]
    changes += _output(old[0], new[0], "outputs[0]")
    known = {output["name"]: output for output in old[1:]}
    for index, output in enumerate(new[1:], 1):
        place = f"outputs[{index}]"
        if output["name"] in known:
            changes += _output(known.pop(output["name"]), output, place)
        else:
            why = "it would begin in the middle: what was recorded before is not in it"
            changes.append(Change(place, "breaking", "", f"the output {output['name']}", why))
    for name in known:
        changes.append(Change("outputs", "breaking", f"the output {name}", "", "who reads it finds nothing"))
    return changes


def due(parts: Iterable[Part]) -> Part:
    """The greatest of several.

    >>> due(["patch", "major", "minor"]), due([])
    ('major', 'none')
    """
    return max(parts, key=_RANK.__getitem__, default="none")


def raised(before: Version, after: Version) -> Part:
    """Which part of the version was raised; `none` where it is the same or lower.

    >>> raised(Version(1, 2, 3), Version(1, 3, 0)), raised(Version(1, 2, 3), Version(1, 2, 3))
    ('minor', 'none')
    """
    if after <= before:
        return "none"
    if after.major != before.major:
        return "major"
    return "minor" if after.minor != before.minor else "patch"


def enough(wanted: Part, given: Part) -> bool:
    """Whether a raise covers what is due."""
    return _RANK[given] >= _RANK[wanted]


def following(version: Version, part: Part) -> Version:
    """The next version by a part.

    >>> str(following(Version(1, 2, 3), "minor"))
    '1.3.0'
    """
    if part == "major":
        return Version(version.major + 1, 0, 0)
    if part == "minor":
        return Version(version.major, version.minor + 1, 0)
    return Version(version.major, version.minor, version.patch + 1)


def _product(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    plain: tuple[tuple[str, Effect, str], ...] = (
        ("type", "data-affecting", "what kind of product it is decides how its records come about"),
        ("outbox", "data-affecting", "records come from another table"),
        ("capture", "data-affecting", "records are made of other changes"),
        ("owner", "metadata", "somebody else answers for it"),
        ("purpose", "metadata", "words for people"),
    )
    for name, effect, why in plain:
        if before.get(name) != after.get(name):
            yield Change(name, effect, _said(before.get(name)), _said(after.get(name)), why)
    old = {(one["product"], one["major"]): one for one in before.get("inputs", ())}
    new = {(one["product"], one["major"]): one for one in after.get("inputs", ())}
    for key in sorted(old.keys() | new.keys()):
        name = f"{key[0]} v{key[1]}"
        if key not in new or key not in old:
            said = ("", name) if key not in old else (name, "")
            yield Change("inputs", "data-affecting", *said, "records are made of other records")
        elif old[key]["reads"] != new[key]["reads"]:
            said = ", ".join(old[key]["reads"]), ", ".join(new[key]["reads"])
            yield Change("inputs", "metadata", *said, f"other fields of {name} are read")


def _output(old: Mapping[str, Any], new: Mapping[str, Any], place: str) -> list[Change]:
    return [*_promises(old, new, place), *_rules(old.get("quality", []), new.get("quality", []), place)]


def _promises(old: Mapping[str, Any], new: Mapping[str, Any], place: str) -> Iterator[Change]:
    for name in dict.fromkeys([*new, *_SAID_IF_ANY]):
        before, after = old.get(name), new.get(name)
        if before != after and (name in old or name in _SAID_IF_ANY) and name not in _JUDGED_ELSEWHERE:
            effect, why = _JUDGES.get(name, _always("metadata", "the contract says more"))(before, after)
            yield Change(f"{place}.{name}", effect, _said(before), _said(after), why)
    levels, later = old.get("service_levels", {}), new.get("service_levels", {})
    for name in sorted({*levels, *later}):
        if levels.get(name) != later.get(name):
            effect, why = _service_level(name, levels.get(name), later.get(name))
            yield Change(f"{place}.service_levels.{name}", effect, _said(levels.get(name)), _said(later.get(name)), why)


def _rules(old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]], place: str) -> Iterator[Change]:
    before, after = {rule["name"]: rule for rule in old}, {rule["name"]: rule for rule in new}
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            gone = name not in after
            effect: Effect = "data-affecting" if name in before else "metadata"
            why = "nobody measures it any more" if gone else "another thing is measured" if name in before else "more"
            said = (_rule(before.get(name)), _rule(after.get(name)))
            yield Change(f"{place}.quality", effect, *said, f"the rule {name}: {why}")


def _rule(rule: Mapping[str, Any] | None) -> str:
    return f"{rule['rule']} ({rule['severity']})" if rule else ""


def _always(effect: Effect, why: str) -> Callable[[Any, Any], tuple[Effect, str]]:
    return lambda before, after: (effect, why)


def _compatibility(before: str, after: str) -> tuple[Effect, str]:
    """A level may get stronger: what it promised still holds."""
    if _kept(before) <= _kept(after):
        return "metadata", "the schema is held to more than before"
    return "breaking", "who relied on the level is not protected any more"


def _kept(level: str) -> frozenset[str]:
    kept = set()
    for direction, names in (("backward", ("BACKWARD", "FULL")), ("forward", ("FORWARD", "FULL"))):
        if level.startswith(names):
            kept |= {direction, f"{direction}, whole history"} if level.endswith("_TRANSITIVE") else {direction}
    return frozenset(kept)


def _ports(before: Iterable[str], after: Iterable[str]) -> tuple[Effect, str]:
    gone = [port for port in before if port not in after]
    if gone:
        return "breaking", f"who reads at {', '.join(gone)} finds nothing"
    return "metadata", "one can read in more places"


def _retention(before: str | None, after: str | None) -> tuple[Effect, str]:
    if before is None or (after is not None and _long(after) < _long(before)):
        return "data-affecting", "older records go away"
    return "metadata", "records are kept longer"


def _lateness(before: str | None, after: str | None) -> tuple[Effect, str]:
    if after is not None and (before is None or _long(after) < _long(before)):
        return "data-affecting", "late records go to quarantine that were published before"
    return "data-affecting", "late records are published that went to quarantine before"


def _corrections(before: str, after: str) -> tuple[Effect, str]:
    if after == "all":
        return "breaking", "readers that relied on records never being corrected would count twice"
    return "metadata", "nothing is corrected any more"


def _access(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Effect, str]:
    old, new = (CLASSIFICATIONS.index(one.get("classification", "public")) for one in (before or {}, after or {}))
    if new > old:
        return "breaking", "who may read it now may not read it then"
    return "metadata", "more may read it"


def _service_level(name: str, before: str | None, after: str | None) -> tuple[Effect, str]:
    if before is None:
        return "metadata", "more is promised"
    if after is None:
        return "data-affecting", "it is promised no more"
    better = _long(after) < _long(before) if name.startswith("latency") else _share(after) > _share(before)
    return ("metadata", "more is promised") if better else ("data-affecting", "less is promised")


def _long(text: str) -> int:
    return int(Duration.parse(text))


def _share(text: str) -> float:
    return float(text.rstrip("% "))


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_said(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_said(item) for item in value)
    return "" if value is None else str(value)


_SAID_IF_ANY = ("grid",)  # promises that are not written out where a contract has none
_JUDGES: Mapping[str, Callable[[Any, Any], tuple[Effect, str]]] = {
    "name": _always("metadata", "the output has another name"),
    "schema": _always("breaking", "decoders match records by name"),
    "key": _always("breaking", "records of one key lie elsewhere, and other records follow one another"),
    "partitions": _always("breaking", "keys move to other partitions, and the order within a key is lost"),
    "compatibility": _compatibility,
    "retention": _retention,
    "ports": _ports,
    "on_invalid": _always("data-affecting", "what follows a bad record is published otherwise"),
    "access": _access,
    "corrections": _corrections,
    "accept_late": _lateness,
    "grid": _always("breaking", "facts from before need not lie on it, and flows count on each that does"),
}

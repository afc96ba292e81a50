"""A change against every declared reader, by the fields it reads: who breaks, who is affected, who is further down.

A reader outside the mesh decodes with the schema it was built with; a flow of the mesh is compiled anew from the schema
that is applied. So a type that got wider breaks the first, where it reads the field, and not the second; a field that
is gone, or that has another name, breaks both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from headwater.catalog.mesh_lineage import Reader
from headwater.contracts.diff import Change, Part
from headwater.lineage.fields import Node
from headwater.lineage.fields import field as field_node
from headwater.lineage.fields import product as product_node
from headwater.lineage.graph import Lineage
from headwater.naming import ProductName
from headwater.schemas.avro import Schema
from headwater.schemas.compatibility import Break, compare
from headwater.schemas.differences import differences
from headwater.schemas.types import Field, type_name

Severity = Literal["breaks readers", "breaks nobody today", "data-affecting", "metadata only"]


@dataclass(frozen=True, slots=True)
class Impact:
    """One change and whom it hits. `place` says which file `path` is in: the schema, `product.yaml`, or the flow, where
    it is a step.

    `further` are products and consumers that read what the readers make of it. `due` is the part of the version that
    it asks for.
    """

    text: str
    severity: Severity
    due: Part
    place: Literal["schema", "contract", "flow"]
    path: str
    why: str
    fix: str
    readers: tuple[Reader, ...] = ()
    further: tuple[str, ...] = ()
    affected: tuple[Reader, ...] = field(default=())

    def whom(self) -> str:
        """Who is hit, by name and contact, in one phrase; empty where nobody is."""
        hit = [f"{reader.name} ({reader.owner.contact})" for reader in self.readers or self.affected]
        said = ", ".join(dict.fromkeys(hit))
        return f"{said}; further down {', '.join(self.further)}" if self.further else said


def contract_impacts(changes: Iterable[Change], readers: Sequence[Reader], lineage: Lineage) -> list[Impact]:
    """Changes of a contract: what it breaks, it breaks for everybody who reads the product."""
    impacts = []
    for change in changes:
        fix = "keep it, or raise the major version" if change.effect == "breaking" else ""
        head = Impact(change.text(), "metadata only", "patch", "contract", change.path, change.why, fix)
        if change.effect == "breaking":
            further = _further(lineage, readers, [reader.name for reader in readers])
            severity: Severity = "breaks readers" if readers else "breaks nobody today"
            head = replace(head, severity=severity, due="major", readers=tuple(readers), further=further)
        elif change.effect == "data-affecting":
            head = replace(head, severity="data-affecting", due="minor", affected=tuple(readers))
        impacts.append(head)
    return impacts


def schema_impacts(
    before: Schema, after: Schema, *, product: ProductName, readers: Sequence[Reader], lineage: Lineage
) -> list[Impact]:
    """Changes between two versions of a product's schema, field by field, each with the readers of that field."""
    now = {one.name: (index, one) for index, one in enumerate(after.fields)}
    renamed = {alias: one.name for one in after.fields for alias in one.aliases}
    old_names = {one.name for one in before.fields}
    impacts = []
    for was in before.fields:
        reading = [reader for reader in readers if _reads(reader, was)]
        if was.name in now:
            found = _changed(was, now[was.name][1], reading)
            path = f".fields[{now[was.name][0]}].{was.name}"
        else:
            found = _gone(was, renamed.get(was.name, ""), reading)
            path = f".fields[{now[renamed[was.name]][0]}].{renamed[was.name]}" if was.name in renamed else ".fields"
        if found is not None:
            hit = found.readers or found.affected
            further = _further(lineage, hit, [reader.name for reader in hit], field_node(str(product), was.name))
            impacts.append(replace(found, path=path, further=further if hit else ()))
    for name, (index, one) in now.items():
        if name not in old_names and not any(alias in old_names for alias in one.aliases):
            impacts.append(_new(one, f".fields[{index}].{name}"))
    if before.name != after.name:
        text = f"the record {before.name} is called {after.name}"
        outside = tuple(reader for reader in readers if reader.kind == "consumer")
        severity: Severity = "breaks readers" if outside else "breaks nobody today"
        why = "decoders match records by name"
        impacts.append(Impact(text, severity, "major", "schema", ".name", why, "keep the name", outside))
    return impacts


def _reads(reader: Reader, was: Field) -> bool:
    """By its name, or by a name that the field had earlier."""
    return reader.reads(was.name) or any(reader.reads(alias) for alias in was.aliases)


def _gone(was: Field, new_name: str, readers: Sequence[Reader]) -> Impact:
    text = f"renaming '{was.name}' to '{new_name}'" if new_name else f"removing '{was.name}'"
    fix = "keep it beside the new one" if new_name else "keep it with a default"
    fix += " until nobody reads it, or raise the major version"
    # A flow that reads a field which is not there does not compile; a consumer takes the default it was built with.
    broken = [reader for reader in readers if reader.kind == "product" or not was.optional]
    rest = tuple(reader for reader in readers if reader not in broken)
    why = "new records do not carry it"
    if new_name:
        why += " under the name that readers know: an alias helps new readers with old records, not the other way round"
    head = _judged(text, broken, why=why, fix=fix)
    if rest and not broken:
        return replace(head, severity="data-affecting", affected=rest, why=f"{why}, and readers take their default")
    return head


def _changed(was: Field, now: Field, readers: Sequence[Reader]) -> Impact | None:
    old, new = _alone(was), _alone(now)
    forward, backward = compare(old, new), compare(new, old)
    said = [change.text() for change in differences(old, new)]
    text = f"'{was.name}': {_shown(was)} -> {_shown(now)}" if _shown(was) != _shown(now) else _words(was.name, said)
    worst = _first(backward, "error") or _first(forward, "error")
    if worst is not None:
        everybody = _first(backward, "error") is not None
        broken = [reader for reader in readers if everybody or reader.kind == "consumer"]
        head = _judged(text, broken, why=f"{worst.message}: {worst.why}", fix=worst.fix)
        return replace(head, affected=tuple(reader for reader in readers if reader not in broken))
    remark = next(iter([*forward, *backward]), None)
    if remark is not None or _default(was) != _default(now):
        why = f"{remark.message}: {remark.why}" if remark else "records without it are read with another default"
        return Impact(text, "data-affecting", "minor", "schema", "", why, "", (), (), tuple(readers))
    if said or was.doc != now.doc or was.attributes != now.attributes or was.aliases != now.aliases:
        return Impact(text, "metadata only", "patch", "schema", "", "values stay as they are", "")
    return None


def _new(one: Field, path: str) -> Impact:
    text = f"adding '{one.name}'"
    if one.optional:
        why = "records have one field more; readers that do not know it pass it over"
        return Impact(text, "data-affecting", "minor", "schema", path, why, "")
    why = "records from before do not have it, and it has no default"
    return Impact(text, "breaks nobody today", "minor", "schema", path, why, "give it a default")


def _judged(text: str, broken: Sequence[Reader], *, why: str, fix: str) -> Impact:
    if broken:
        return Impact(text, "breaks readers", "major", "schema", "", why, fix, tuple(broken))
    return Impact(text, "breaks nobody today", "minor", "schema", "", why, fix)


def _further(
    lineage: Lineage, hit: Sequence[Reader], known: Sequence[str], start: Node | None = None
) -> tuple[str, ...]:
    """Who reads what the readers that are hit make of it; without a `start`, of anything that they read."""
    names: dict[str, None] = {}
    for reader in hit:
        if reader.kind != "product":
            continue
        made = [edge.target for edge in lineage.readers(start) if _of(edge.target) == reader.name] if start else []
        for node in made or [product_node(reader.name)]:
            names.update((below.name, None) for below in lineage.downstream(node) if below.name not in known)
    return tuple(names)


def _of(node: Node) -> str:
    """The product that a node is an output of, or a field of such."""
    return node.name.partition("/")[0]


def _alone(one: Field) -> Schema:
    """A field's type as a schema of its own: to be compared, not to be registered."""
    return Schema(one.name, type=one.type)


def _first(found: Sequence[Break], severity: str) -> Break | None:
    return next((one for one in found if one.severity == severity), None)


def _shown(one: Field) -> str:
    return type_name(one.type)


def _default(one: Field) -> str:
    return repr(one.default)


def _words(name: str, said: Sequence[str]) -> str:
    return f"'{name}': {'; '.join(said)}" if said else f"'{name}': what is said about it"

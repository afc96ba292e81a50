"""What must hold between products: inputs and the fields read of them exist, names do not collide, no circles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from headwater import naming
from headwater.contracts.consumer import Consumer
from headwater.contracts.load import Contract
from headwater.contracts.product import Capture, Input, Outbox, Product
from headwater.contracts.shape import nearest
from headwater.errors import Finding
from headwater.naming import ProductName
from headwater.schemas.avro import Schema


@dataclass(frozen=True, slots=True)
class Draft:
    """A product whose file was read; of `schemas`, one for each output, those with findings of their own are None."""

    contract: Contract[Product]
    product: Product
    schemas: tuple[Schema | None, ...]


def reference_findings(drafts: Mapping[ProductName, Draft], unread: frozenset[ProductName]) -> list[Finding]:
    """What is wrong between products. Of `unread`, whose own files have findings, nothing is said."""
    findings = []
    for draft in drafts.values():
        for index, read in enumerate(draft.product.inputs):
            findings.extend(_input_findings(draft.contract, index, read, drafts, unread))
    findings.extend(_cycle_findings(drafts))
    findings.extend(_collision_findings(drafts))
    findings.extend(_length_findings(drafts))
    findings.extend(_slot_findings(drafts))
    return findings


def consumer_findings(
    consumers: Iterable[Contract[Consumer]], drafts: Mapping[ProductName, Draft], unread: frozenset[ProductName]
) -> list[Finding]:
    """What is wrong between readers outside the mesh and the products that they name."""
    findings = []
    for contract in consumers:
        for index, read in enumerate(contract.value.inputs if contract.value else ()):
            source = drafts.get(read.product.whole)
            if source is not None and read.major < source.product.major:
                message = f"'{read.product}' has gone on to major {source.product.major}"
                why = f"major {read.major} gets no more records once it is retired"
                fix = f"move to major {source.product.major}, then write it here"
                found = contract.finding("HW-C067", f"inputs[{index}].major", message, why=why, fix=fix)
                findings.append(replace(found, severity="warning"))
            else:
                findings.extend(_input_findings(contract, index, read, drafts, unread))
    return findings


def _input_findings(
    contract: Contract[Product] | Contract[Consumer],
    index: int,
    read: Input,
    drafts: Mapping[ProductName, Draft],
    unread: frozenset[ProductName],
) -> list[Finding]:
    path = f"inputs[{index}]"
    source = drafts.get(read.product.whole)
    if source is None:
        if read.product.whole in unread:
            return []
        known = tuple(str(name) for name in (*drafts, *unread))
        near = nearest(str(read.product), known)
        message = f"the input '{read.product}' is no product of this mesh"
        fix = f"write {near}" if near else "take one of " + (", ".join(sorted(known)) or "none: the mesh is empty")
        why = "a product is made of products whose contracts can be read"
        return [contract.finding("HW-C051", f"{path}.product", message, why=why, fix=fix)]
    if read.major != source.product.major:
        message = f"the input '{read.product}' has no major {read.major}"
        why, fix = f"its major is {source.product.major}", f"write major: {source.product.major}"
        return [contract.finding("HW-C052", f"{path}.major", message, why=why, fix=fix)]
    if read.product.output and (wrong := _output_finding(contract, path, read, source.product)) is not None:
        return [wrong]
    outputs = [output.name for output in source.product.outputs]
    schema = source.schemas[outputs.index(read.product.output) if read.product.output else 0]
    if schema is None:
        return []
    names = tuple(field.name for field in schema.fields)
    renamed = {alias: field.name for field in schema.fields for alias in field.aliases}
    findings = []
    for number, name in enumerate(read.reads):
        if name not in names and name in renamed:
            message = f"the field '{name}' of {schema.name} is called '{renamed[name]}' now"
            why, fix = "new records carry the new name alone", f"write {renamed[name]}, and read that"
            findings.append(contract.finding("HW-C068", f"{path}.reads[{number}]", message, why=why, fix=fix))
        elif name not in names:
            near = nearest(name, names)
            message = f"the field '{name}' is not in {schema.name}"
            fix = f"write {near}" if near else "take some of " + ", ".join(names)
            why = "what is declared as read is what a change of the schema is judged by"
            findings.append(contract.finding("HW-C053", f"{path}.reads[{number}]", message, why=why, fix=fix))
    return findings


def _output_finding(
    contract: Contract[Product] | Contract[Consumer], path: str, read: Input, source: Product
) -> Finding | None:
    """An output that a product does not have, or its first one, which has the product's own name and no other."""
    further = [output.name for output in source.outputs[1:]]
    if read.product.output in further:
        return None
    at = f"{path}.output"
    if read.product.output == source.output.name:
        message = f"'{source.output.name}' is the first output of {source.name}"
        why = "it has the product's own name, under which all that read it are found"
        return contract.finding("HW-C123", at, message, why=why, fix="remove output")
    near = nearest(read.product.output, tuple(further))
    message = f"{source.name} has no output '{read.product.output}'"
    why = f"besides its first output it has {', '.join(further) or 'none'}"
    return contract.finding("HW-C122", at, message, why=why, fix=f"write {near}" if near else "remove output")


def _cycle_findings(drafts: Mapping[ProductName, Draft]) -> list[Finding]:
    """One finding for each circle, at the input that closes it. Keeps a stack of its own: depth costs nothing."""
    findings, done = [], set[ProductName]()
    for start in drafts:
        trail: list[tuple[ProductName, int]] = [] if start in done else [(start, 0)]
        while trail:
            name, index = trail[-1]
            inputs = drafts[name].product.inputs
            if index == len(inputs):
                done.add(name)
                trail.pop()
                continue
            trail[-1] = (name, index + 1)
            following = inputs[index].product.whole
            path = [step for step, _ in trail]
            if following in path:
                circle = " reads ".join(str(step) for step in (*path[path.index(following) :], following))
                why, fix = "nothing could ever be settled in it", "cut it: move what both need to a product of its own"
                message = f"products go round in a circle: {circle}"
                at = f"inputs[{index}].product"
                findings.append(drafts[name].contract.finding("HW-C058", at, message, why=why, fix=fix))
            elif following not in done and following in drafts:
                trail.append((following, 0))
    return findings


def _collision_findings(drafts: Mapping[ProductName, Draft]) -> list[Finding]:
    findings = []
    taken: dict[str, ProductName] = {}
    for name, draft in drafts.items():
        for topic in _topics(draft.product):
            other = taken.setdefault(naming.collision_key(topic), name)
            if other != name:
                message = f"the topic {topic} collides with one of {other}"
                why = "Kafka holds . and _ for the same letter in topic names, and refuses the second"
                fix = "rename one of the two products and its folder"
                findings.append(draft.contract.finding("HW-C056", "product", message, why=why, fix=fix))
                break
    return findings


def _length_findings(drafts: Mapping[ProductName, Draft]) -> list[Finding]:
    findings = []
    for draft in drafts.values():
        longest = max(_topics(draft.product), key=len)
        if len(longest) > naming.TOPIC_LENGTH_LIMIT:
            message = f"the product's name makes a topic name of {len(longest)} letters"
            why, fix = f"Kafka's limit is {naming.TOPIC_LENGTH_LIMIT}", "shorten the name of the product or its domain"
            findings.append(draft.contract.finding("HW-C057", "product", message, why=why, fix=fix))
    return findings


def _slot_findings(drafts: Mapping[ProductName, Draft]) -> list[Finding]:
    """Two tables whose replication slots would have one name: each relay would take the other's rows away."""
    findings = []
    taken: dict[str, Outbox | Capture] = {}
    for draft in drafts.values():
        origin = draft.product.outbox or draft.product.capture
        if origin is None:
            continue
        path = "outbox" if draft.product.outbox is not None else "capture"
        what = "outbox" if path == "outbox" else "captured table"
        slot = naming.slot(origin.database, origin.table)
        other = taken.setdefault(slot, origin)
        if type(other) is type(origin) and (other.database, other.table) == (origin.database, origin.table):
            if isinstance(origin, Outbox) and isinstance(other, Outbox) and other.lane != origin.lane:
                findings.append(_lanes(draft, origin, other))
        else:
            message = f"the {what} {origin.table} in {origin.database} has the replication slot {slot}"
            same = "" if type(other) is type(origin) else "the captured table " if path == "outbox" else "the outbox "
            why = f"{same}{other.table} in {other.database} has the same, and a slot can feed one relay only"
            fix = "rename one of the tables, schemas or databases"
            findings.append(draft.contract.finding("HW-C064", path, message, why=why, fix=fix))
    return findings


def _lanes(draft: Draft, outbox: Outbox, other: Outbox) -> Finding:
    message = (
        f"the outbox {outbox.table} in {outbox.database} has two lanes: {outbox.lane} here, {other.lane} elsewhere"
    )
    why = "a table is read by one lane, which serves all of its products: with two, rows would come twice"
    return draft.contract.finding("HW-O120", "outbox", message, why=why, fix="write the same lane in each of them")


def _topics(product: Product) -> tuple[str, ...]:
    makers = (naming.topic, naming.progress_topic, naming.current_topic, naming.quarantine_topic)
    names = [product.name, *(product.name.of_output(output.name) for output in product.outputs[1:])]
    return tuple(maker(name, product.major) for name in names for maker in makers)

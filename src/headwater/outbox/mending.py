"""What a person does about an entry in quarantine: find it, know the reason, mend the row. Writes nothing itself.

What is decided here becomes rows of the outbox (`repair_row` and `commands.command_row`), which the service's database
takes in one transaction, and the relay acts on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headwater.errors import CallerFault, Misfit, NotSupported
from headwater.mesh.products import ResolvedProduct
from headwater.naming import quarantine_topic
from headwater.outbox.aside import row_of
from headwater.outbox.emitter import event_of
from headwater.outbox.event import KINDS, OutboxEvent
from headwater.ports.protocol import Broker
from headwater.ports.quarantine_log import Entry, committed, entries, read_letter
from headwater.ports.record import Message, TopicPartition
from headwater.schemas.codec import RowCodec, open_single_object
from headwater.schemas.payload import reader, to_json

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """An entry with its product and its record, bytes and all."""

    product: ResolvedProduct
    entry: Entry
    message: Message

    @property
    def payload(self) -> bytes | None:
        """The bytes that were set aside."""
        return self.message.value


def find(products: Iterable[ResolvedProduct], broker: Broker, identity: str) -> Found:
    """The entry of this id, in whichever quarantine it is; raises `CallerFault` HW-O107 where there is none."""
    products = list(products)
    there = broker.describe([quarantine_topic(p.name, p.major) for p in products])
    for product in products:
        topic = quarantine_topic(product.name, product.major)
        entry: Entry | None = None
        first: Message | None = None
        for message in committed(broker, topic) if topic in there else ():
            letter = read_letter(message)
            if letter.id != identity:
                continue
            if isinstance(letter, Entry):
                entry, first = entry or letter, first or message
            elif entry is not None:
                entry.follow(letter)
        if entry is not None and first is not None:
            return Found(product, entry, first)
    raise CallerFault(
        f"no quarantine has an entry '{identity}'",
        code="HW-O107",
        detail="retention may have removed it, or the id is of another mesh",
        hint="headwater quarantine list --all",
    )


def head_of(product: ResolvedProduct, broker: Broker, key: str) -> Found:
    """The entry that holds back a key; raises `CallerFault` HW-O107 where none does."""
    wanted = key.encode()
    heads: dict[str, Entry] = {}
    topic = quarantine_topic(product.name, product.major)
    for message in committed(broker, topic):
        if message.key != wanted:
            continue
        letter = read_letter(message)
        if isinstance(letter, Entry):
            heads[letter.id] = letter
        elif letter.id in heads:
            heads[letter.id].follow(letter)
    for entry in heads.values():
        if entry.state == "open" and entry.parks:
            start = {TopicPartition(topic, entry.partition): entry.offset}
            return Found(product, entry, next(committed(broker, topic, start=start)))
    raise CallerFault(
        f"nothing holds back this key of {product.name}",
        code="HW-O107",
        detail="the key is free, or its release is under way",
        hint=f"headwater quarantine list {product.name}",
    )


def reason_of(found: Found) -> tuple[str, str]:
    """Why the entry's payload does not fit, in words, and the field; made anew from the bytes, never with a value.

    Empty where the payload fits its schema: the reason is another then, and its code says it all.
    """
    if found.entry.from_outbox:
        try:
            read_payload(found.product, found.payload)
        except Misfit as misfit:
            return misfit.message, misfit.field
    return "", ""


def read_payload(product: ResolvedProduct, payload: bytes | None) -> Json:
    """The record of an outbox row's payload, JSON or Avro; raises `Misfit`."""
    schema = product.output.payload_schema
    if payload is not None and payload.startswith(b"\\x"):
        _, body = open_single_object(bytes.fromhex(payload[2:].decode()))
        decoded: Json = RowCodec(schema).decode(body)
        return decoded
    try:
        value = json.loads(payload or b"")
    except ValueError:
        raise Misfit("the payload is no JSON", code="HW-O026", field="payload") from None
    record: Json = reader(schema)(value)
    RowCodec(schema).encode(record)
    return record


def mended(found: Found, changes: Mapping[str, Any]) -> Json:
    """The payload as plain JSON with some fields changed; dots lead into records. Raises `CallerFault` HW-O108."""
    payload = found.payload
    try:
        if payload is not None and payload.startswith(b"\\x"):
            value = to_json(found.product.output.payload_schema, read_payload(found.product, payload))
        else:
            value = json.loads(payload or b"")
        if not isinstance(value, dict):
            raise ValueError
    except (ValueError, Misfit):
        raise CallerFault(
            "the payload cannot be read, so no field of it can be changed",
            code="HW-O108",
            detail="the row was set aside as it came",
            hint="give the whole record: --record or --file",
        ) from None
    for path, new in changes.items():
        *parents, last = path.split(".")
        inner: Any = value
        for name in parents:
            inner = inner.setdefault(name, {}) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            raise CallerFault(f"'{path}' leads into no record", code="HW-O108", hint="name a field of the payload")
        inner[last] = new
    return dict(value)


def repair_row(found: Found, record: Json, *, kind: str = "", revision: int = 0) -> OutboxEvent:
    """The row that repairs an entry: its record checked, its identity, kind and revision kept unless they are given.

    Raises `Misfit` where the record does not fit, `NotSupported` HW-O109 where the entry cannot be repaired so.
    """
    must_be_of_outbox(found, "repaired")
    if found.entry.state != "open":
        raise CallerFault(
            f"the entry is {found.entry.state}",
            code="HW-O103",
            detail="what waits behind another row of its key has its turn after that"
            if found.entry.state == "parked"
            else "a row in quarantine is repaired, released or discarded once",
            hint="headwater quarantine list shows what is open",
        )
    row = row_of(found.message.key, found.message.value, found.message.headers)
    if row[1] != str(found.product.name).encode():
        raise NotSupported(
            "the row names a product that its outbox does not have",
            code="HW-O109",
            detail="it lies in this quarantine for want of another",
            hint="emit the fact into the right product, then headwater quarantine discard",
        )
    kept_kind, kept_revision = _text(row[5]), _text(row[6])
    event = event_of(
        found.product,
        reader(found.product.output.payload_schema)(record),
        event_id=(_text(row[7]) or _text(row[0])) if found.product.output.shape == "event" else None,
        kind=kind or (kept_kind if kept_kind in KINDS else "assert"),  # type: ignore[arg-type]  # event_of judges it
        revision=revision or (int(kept_revision) if kept_revision.isdigit() and int(kept_revision) else 1),
    )
    version = _text(row[9])
    return replace(
        event,
        replay_of=found.entry.id,
        key_version=int(version) if version.isdigit() else None,
        traceparent=_text(row[10]) or None,
    )


def must_be_of_outbox(found: Found, what: str) -> None:
    """Raise `NotSupported` HW-O109 where no outbox carries commands for the entry: of a runner, or of a capture.

    For both, the fact it was made of is mended, not the entry.
    """
    if not found.entry.from_outbox or found.product.product.outbox is None:
        whence = "its inputs" if not found.entry.from_outbox else "the table that is captured"
        raise NotSupported(
            f"an entry of {found.product.name} cannot be {what}: the product follows from {whence}",
            code="HW-O109",
            detail="published by hand, it would contradict what it is made from",
            hint="mend the fact where it comes from, as a correction",
        )


def listed(products: Sequence[ResolvedProduct], broker: Broker, *, resolved: bool) -> Iterator[tuple[str, Entry]]:
    """The entries of these products with the product's name, each product's oldest first."""
    there = broker.describe([quarantine_topic(p.name, p.major) for p in products])
    for product in products:
        topic = quarantine_topic(product.name, product.major)
        if topic in there:
            for entry in entries(broker, topic, resolved=resolved):
                yield str(product.name), entry


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")

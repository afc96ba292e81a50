"""What a person does about entries: found by id, a reason without values, a mended row that is the same event."""

from __future__ import annotations

import json

import pytest
from tests.unit.outbox.test_parking import World, check

from headwater.errors import CallerFault, Misfit, NotSupported
from headwater.outbox.event import OutboxEvent
from headwater.outbox.mending import Found, find, head_of, listed, mended, must_be_of_outbox, reason_of, repair_row
from headwater.ports.quarantine import Origin, quarantine_headers
from headwater.ports.quarantine_log import resolve


def aside(letter: str = "X", **changes: object) -> tuple[World, OutboxEvent, Found]:
    world = World()
    row = world.row(letter)
    row = OutboxEvent(**{**{name: getattr(row, name) for name in OutboxEvent.__slots__}, **changes})  # type: ignore[arg-type]
    world.commit([row])
    world.live(50)
    return world, row, find(world.products, world.broker, row.id)


def test_the_reason_is_made_anew_from_the_bytes_and_holds_no_value() -> None:
    _, _, found = aside()
    why, field = reason_of(found)
    assert field == "number" and "'number'" in why and "many" not in why


def test_a_mended_row_keeps_identity_kind_and_revision_and_is_published_once() -> None:
    world, bad, found = aside(event_id="e-1", kind="correct", revision=4, key_version=9, traceparent="00-1-2-01")
    row = repair_row(found, mended(found, {"number": 7}))
    assert (row.event_id, row.kind, row.revision, row.replay_of) == ("e-1", "correct", 4, bad.id)
    assert (row.key_version, row.traceparent) == (9, "00-1-2-01")
    assert json.loads(row.payload or "")["number"] == 7
    assert repair_row(found, mended(found, {"number": 7}), kind="assert", revision=5).revision == 5
    world.commit([row])
    world.live(50)
    check(world)
    (message,) = world.messages("orders.returned.v1")
    assert dict(message.headers)["replay.id"] == bad.id.encode()
    with pytest.raises(CallerFault) as caught:
        repair_row(find(world.products, world.broker, bad.id), {})
    assert caught.value.code == "HW-O103"


def test_an_event_without_an_identity_has_that_of_its_first_row() -> None:
    _, bad, found = aside()
    assert repair_row(found, mended(found, {"number": 7})).event_id == bad.id


def test_what_does_not_fit_is_refused_before_it_is_written() -> None:
    _, _, found = aside()
    with pytest.raises(Misfit):
        repair_row(found, mended(found, {"number": "few"}))
    with pytest.raises(CallerFault) as caught:
        mended(found, {"customer.name": 1})
    assert caught.value.code == "HW-O108"


def test_a_payload_that_cannot_be_read_needs_the_whole_record() -> None:
    _, _, found = aside(payload="[1")
    with pytest.raises(CallerFault) as caught:
        mended(found, {"number": 1})
    assert caught.value.code == "HW-O108"
    assert repair_row(found, {"customer": "x", "number": 1, "occurred_at": 1}).replay_of == found.entry.id


def test_nobody_has_an_entry_that_there_is_not() -> None:
    world, _, _ = aside()
    for call in (
        lambda: find(world.products, world.broker, "7"),
        lambda: head_of(world.products[0], world.broker, "z"),
    ):
        with pytest.raises(CallerFault) as caught:
            call()
        assert caught.value.code == "HW-O107"


def test_the_head_of_a_key_is_found_by_the_key() -> None:
    world, bad, _ = aside("A")
    assert head_of(world.products[0], world.broker, "a").entry.id == bad.id


def test_an_entry_of_a_runner_is_listed_and_discarded_and_not_repaired() -> None:
    world = World()
    topic = "orders.returned.v1.quarantine"
    origin = Origin("flights.departures.v1", "2", "17", 5)
    misfit = Misfit("not of this subject", code="HW-P022")
    added = quarantine_headers(origin, misfit, stage="decode", kind="poison", contract_version="1.0.0")
    sink = world.broker.sink("a-runner")
    sink.open()
    sink.begin()
    # An input may itself have been in a quarantine: what it carries from there is not what happened here.
    sink.send(topic, b"k", b"\0", timestamp=9, headers=[("id", b"7"), ("quarantine.resolution", b"discarded"), *added])
    sink.commit()
    ((product, entry),) = listed(world.products, world.broker, resolved=False)
    assert (product, entry.id, entry.state) == ("orders.returned", "flights.departures.v1/2/17", "open")
    found = find(world.products, world.broker, entry.id)
    for refuse in (lambda: must_be_of_outbox(found, "released"), lambda: repair_row(found, {})):
        with pytest.raises(NotSupported) as caught:
            refuse()
        assert caught.value.code == "HW-O109"
    resolve(world.broker, entry, "discarded", writer="quarantine", at=20, by="ann", reason="a test")
    assert list(listed(world.products, world.broker, resolved=False)) == []
    ((_, entry),) = listed(world.products, world.broker, resolved=True)
    assert (entry.state, entry.facts["by"], entry.facts["reason"], entry.resolved_at) == (
        "discarded",
        "ann",
        "a test",
        20,
    )

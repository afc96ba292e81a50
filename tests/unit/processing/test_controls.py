"""Pause and resume over the broker in memory: nothing moves while a product stands, nothing is lost or repeated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import CallerFault
from headwater.processing.commands import COMMAND_KEY, REPORT_KEY, Command, commands, decode, encode
from headwater.processing.reports import Report, Reports
from headwater.processing.reports import decode as decode_report
from headwater.processing.surroundings import Account, Place
from headwater.testing.broker_mesh import random_batches
from headwater.testing.turns import BEGAN, Scene, Worker


@pytest.mark.parametrize("seed", range(3))
def test_a_paused_product_stands_still_and_goes_on_with_nothing_lost_or_repeated(tmp_path: Path, seed: int) -> None:
    scene, batches = Scene(tmp_path), random_batches(seed, batches=30, size=4)
    worker = Worker(scene)
    scene.small.feed(batches[:10], last=False)
    worker.turns(12)
    assert scene.tell("pause") and not scene.tell("pause")
    worker.turns(3)
    settled, written = scene.small.settled(), scene.ends()
    scene.small.feed(batches[10:20], last=False)
    worker.turns(12)
    assert (scene.small.settled(), scene.ends()) == (settled, written)
    stood = scene.stand()
    assert stood.paused and {place.state for place in stood.places} == {"paused"}
    assert sum(place.lag or 0 for place in stood.places) > 0
    assert scene.tell("resume", "mended")
    scene.small.feed(batches[20:])
    worker.turns(25)
    assert scene.small.decoded() == scene.small.expected(batches)
    assert {place.state for place in scene.stand().places} == {"running"}
    told = [fields["does"] for name, fields in scene.heard if name == "product.told"]
    assert told == ["pause", "resume"]
    worker.close()
    assert {place.state for place in scene.stand().places} == {"unowned"}


def test_it_stays_paused_over_a_kill_and_for_a_new_worker(tmp_path: Path) -> None:
    scene, batches = Scene(tmp_path), random_batches(4, batches=20, size=4)
    scene.small.feed(batches[:10], last=False)
    first = Worker(scene)
    first.turns(6)
    scene.tell("pause")
    first.turns(2)
    first.close(killed=True)
    settled, written = scene.small.settled(), scene.ends()
    scene.small.feed(batches[10:])
    again, second = Worker(scene), Worker(scene, slot=1)
    for _ in range(12):
        again.turns(1)
        second.turns(1)
    assert (scene.small.settled(), scene.ends()) == (settled, written)
    scene.tell("resume")
    for _ in range(30):
        again.turns(1)
        second.turns(1)
    assert scene.small.decoded() == scene.small.expected(batches)
    assert {place.slot for place in scene.stand().places} == {0, 1}
    again.close()
    second.close()


def test_the_topic_says_who_gave_each_command_when_and_why(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.tell("pause", "one")
    scene.clock.sleep(5)
    scene.tell("resume", "two")
    scene.memory().compact(scene.topic)
    plan = scene.small.plan
    assert list(commands(scene.small.broker, plan.product, plan.major)) == [
        Command("pause", "ann", BEGAN, "one"),
        Command("resume", "ann", BEGAN + 5, "two"),
    ]
    for why in ("", " ", "x" * 1_001, "\x1b[2Jgone"):
        with pytest.raises(CallerFault) as refused:
            scene.tell("pause", why)
        assert refused.value.code == "HW-P182"


HOSTILE = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 20_000, b'{"does": "pause"}', b"1" * 2_000_000,
    json.dumps({"does": "pause", "by": 1, "at": 1, "why": "x"}).encode(),
    json.dumps({"does": "pause", "by": "x", "at": True, "why": "x"}).encode(),
    json.dumps({"does": "pause", "by": "x", "at": -1, "why": "x"}).encode(),
    json.dumps({"does": "pause", "by": "x", "at": 1, "why": "\x1b[2J\ud800"}).encode(),
    json.dumps({"does": "delete", "by": "x", "at": 1, "why": "x"}).encode(),
    json.dumps({"does": "pause", "by": "x" * 500, "at": 1, "why": "x"}).encode(),
]  # fmt: skip


def test_what_is_no_command_is_passed_over_and_said(tmp_path: Path) -> None:
    scene, batches = Scene(tmp_path), random_batches(6, batches=10, size=4)
    for value in HOSTILE:
        scene.write(COMMAND_KEY + b"x", value)
        scene.write(REPORT_KEY + b"x", value)
    scene.write(b"anything", encode(Command("pause", "x", 1, "under a key that is no command's")))
    scene.write(COMMAND_KEY + b"gone", None)
    scene.small.feed(batches)
    worker = Worker(scene)
    worker.turns(15)
    assert scene.small.decoded() == scene.small.expected(batches)
    assert not scene.stand().paused
    passed = [fields for name, fields in scene.heard if name == "product.misdirected"]
    assert len(passed) == len(HOSTILE) + 1
    worker.close()


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["does", "by", "at", "why", "stage", "slot", "places", "copies", "code", "reason", "0"]
                ),
                inner,
                max_size=6,
            )
        ),
    ).map(lambda held: json.dumps(held).encode())
)
def test_any_bytes_are_a_command_a_report_or_nothing(value: bytes) -> None:
    for found, again in ((decode(value), encode), (decode_report(value), Report.encode)):
        assert found is None or again(found)  # type: ignore[operator]


def test_a_failed_product_says_why_and_a_silent_worker_is_gone(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    plan = scene.small.plan
    account = Account(places={0: Place("restoring", 40, 0, {scene.small.source.output.topic: 0})})
    reports = Reports(
        [plan], {(plan.product, plan.stages[0].name): account}, scene.small.broker, clock=scene.clock, slot=2
    )
    reports.step()
    first = next(place for place in scene.stand().places if place.partition == 0)
    assert (first.state, first.percent, first.slot) == ("restoring", 40, 2)
    scene.clock.sleep(31_000_000)
    assert {place.state for place in scene.stand().places} == {"unowned"}
    reports.failed[plan.product] = ("HW-P034", "its state is of another form")
    reports.step()
    stood = scene.stand()
    assert (stood.code, stood.reason) == ("HW-P034", "its state is of another form")
    assert {place.state for place in stood.places} == {"failed"}
    reports.close()

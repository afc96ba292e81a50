"""A live Flink job on record beside its product: one command at a time changes it, and runners stand still for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import CallerFault
from headwater.processing.deployed import JOB_KEY, Deployed, change, decode, encode, recorded
from headwater.testing.broker_mesh import random_batches
from headwater.testing.turns import Scene, Worker

CLAIM = Deployed(0, "x-flink-live-1", "f")
JOB = replace(CLAIM, cluster="http://flink:8081", job="j")


def write(scene: Scene, decide: Any) -> Deployed:
    plan = scene.small.plan
    return change(scene.small.broker, plan.product, plan.major, decide, clock=scene.clock)


def test_the_newest_word_is_read_by_every_machine(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert recorded(scene.small.broker, [scene.topic, "no.such.topic"]) == {}
    write(scene, lambda now: CLAIM)
    made = write(scene, lambda now: replace(now, job="j", jars=("/a.jar",)))
    assert recorded(scene.small.broker, [scene.topic]) == {scene.topic: made}
    assert made.at == int(scene.clock.now()) and made.jars == ("/a.jar",)


def test_of_two_commands_at_once_one_is_refused_and_the_other_stands(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    other = replace(CLAIM, called="x-flink-live-2")

    def slowly(now: Deployed | None) -> Deployed:
        assert now is None
        write(scene, lambda _: other)  # another machine, between this one's look and its word
        return CLAIM

    with pytest.raises(CallerFault) as refused:
        write(scene, slowly)
    assert refused.value.code == "HW-P252"
    assert recorded(scene.small.broker, [scene.topic])[scene.topic].called == other.called


@given(st.binary() | st.from_regex(rb'\{"at": (1|"x"|-1), "called": ("a"|1|"\\u001b"), "fits": "f"\}', fullmatch=True))
def test_what_is_no_job_is_passed_over(value: bytes) -> None:
    found = decode(value)
    assert found is None or decode(encode(found)) == found


def test_a_runner_that_began_beside_a_job_stands_still_for_good_and_says_why(tmp_path: Path) -> None:
    scene, batches = Scene(tmp_path), random_batches(5, batches=20, size=4)
    worker = Worker(scene)
    scene.small.feed(batches[:10], last=False)
    worker.turns(12)
    scene.write(JOB_KEY, encode(CLAIM))  # a command that will yet look whether anybody is here
    scene.small.feed(batches[10:12], last=False)
    before = scene.ends()
    worker.turns(12)
    assert scene.ends() > before
    scene.write(JOB_KEY, encode(JOB))
    worker.turns(3)
    stood = scene.ends()
    scene.small.feed(batches[12:])
    worker.turns(12)
    scene.write(JOB_KEY, encode(replace(JOB, ended="stopped")))  # what the job wrote is not in this worker's state
    worker.turns(12)
    assert scene.ends() == stood
    (told,) = [fields for name, fields in scene.heard if name == "product.told"]
    assert told["paused"] == 1 and "live Flink job" in told["why"]
    worker.close(killed=True)


@pytest.mark.parametrize("ended", ["", "stopped", "gone"])
def test_one_that_begins_runs_where_no_job_is_in_force(tmp_path: Path, ended: Any) -> None:
    scene, batches = Scene(tmp_path), random_batches(6, batches=10, size=4)
    for said in (JOB, replace(JOB, ended=ended)):
        scene.write(JOB_KEY, encode(said))
    worker = Worker(scene)
    scene.small.feed(batches)
    worker.turns(20)
    assert (scene.small.decoded() == scene.small.expected(batches)) == bool(ended)
    worker.close()

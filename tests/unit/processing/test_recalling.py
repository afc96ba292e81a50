"""State that comes back from the inputs: lost, older than the group, of a state begun before, of inputs cut short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import CallerFault, Fault
from headwater.hooks import Hooks
from headwater.mesh.load import load_mesh
from headwater.mesh.products import Mesh
from headwater.plan.desired import desired
from headwater.plan.state_forms import form_refusals
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicPartition
from headwater.processing import recalling
from headwater.processing.stage_worker import StageWorker
from headwater.processing.state_form import StateForm, require_form
from headwater.processing.state_rocksdb import RocksStates
from headwater.processing.steps import Stage
from headwater.testing.broker_mesh import BrokerMesh, random_batches
from headwater.timeline.clock import ManualClock

ALL = (b"", b"\xff" * 9)
BATCHES = random_batches(11, batches=40, size=8)
HALF = 20


@pytest.fixture
def small(tmp_path: Path) -> BrokerMesh:
    return BrokerMesh.made(MemoryBroker(ManualClock()), tmp_path / "mesh", "x")


def work(small: BrokerMesh, folder: Path, *, polls: int = 12) -> list[Mapping[str, Any]]:
    """Run each stage for some polls; what it recalled."""
    heard: list[Mapping[str, Any]] = []
    hooks = Hooks([lambda name, fields: heard.append(fields) if name == "stage.recalled" else None])
    for stage in small.plan.stages:
        left = iter(range(polls))
        StageWorker(small.plan, stage, small.surroundings(folder, hooks=hooks)).run(
            lambda left=left: next(left, None) is None
        )
    return heard


def state(small: BrokerMesh, folder: Path, stage: Stage) -> dict[int, list[tuple[bytes, bytes]]]:
    states = RocksStates(folder / stage.group / "slot-0")
    found = {number: list(states.task(number).scan(*ALL)) for number in range(stage.partitions)}
    states.close()
    return found


def first(small: BrokerMesh) -> Stage:
    assert small.plan.stages[0].recalled_from == (small.source.output.topic,)
    return small.plan.stages[0]


def versions(small: BrokerMesh) -> int:
    """How many entries of a changelog are versions of the input."""
    name = f"versions.{small.source.name}".encode()
    return sum((message.key or b"").startswith(name) for message in small.written(first(small).changelog))


def keeping(small: BrokerMesh, retention: str) -> Mesh:
    """The mesh whose input's contract keeps records so long."""
    path = small.mesh.folder / small.source.product.folder / "product.yaml"
    text = path.read_text()
    assert text.count("retention: forever") == 1
    path.write_text(text.replace("retention: forever", f"retention: {retention}"))
    mesh = load_mesh(small.mesh.folder)
    path.write_text(text)
    return mesh


def test_what_was_lost_is_remembered_again_and_no_changelog_holds_it(small: BrokerMesh, tmp_path: Path) -> None:
    small.feed(BATCHES[:HALF], last=False)
    assert not work(small, tmp_path / "kept")
    small.feed(BATCHES[HALF:], last=False)
    recalled = work(small, tmp_path / "lost")
    assert sum(fields["records"] for fields in recalled) > 50
    assert not versions(small)
    work(small, tmp_path / "kept")
    assert state(small, tmp_path / "kept", first(small)) == state(small, tmp_path / "lost", first(small))
    small.feed([[{**BATCHES[-1][-1], "recorded_at": BATCHES[-1][-1]["recorded_at"] + 1_000_000, "revision": 99}]])
    work(small, tmp_path / "lost again")
    assert state(small, tmp_path / "lost again", first(small)) != state(small, tmp_path / "lost", first(small))


def test_a_plan_says_what_is_not_in_a_changelog(small: BrokerMesh) -> None:
    def notes(mesh: Mesh) -> dict[str, str]:
        found = desired(mesh, {small.plan.product: small.plan})
        return {topic.name: topic.note for topic in found.topics if topic.note}

    told = f"what is remembered of {small.source.output.topic} comes back from there"
    assert notes(small.mesh) == {first(small).changelog: told}
    assert not notes(keeping(small, "30d"))


def test_only_what_is_missed_is_read_again(small: BrokerMesh, tmp_path: Path) -> None:
    small.feed(BATCHES[:HALF], last=False)
    work(small, tmp_path / "one")
    small.feed(BATCHES[HALF:], last=False)
    work(small, tmp_path / "two")
    whole = sum(fields["records"] for fields in work(small, tmp_path / "three"))
    behind = sum(fields["records"] for fields in work(small, tmp_path / "one"))
    assert 0 < behind < whole
    assert state(small, tmp_path / "one", first(small)) == state(small, tmp_path / "three", first(small))


def test_a_kill_on_the_way_costs_the_rest_only(
    small: BrokerMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recalling, "BATCH_RECORDS", 4)
    monkeypatch.setattr(recalling, "FETCH_MESSAGES", 5)
    small.feed(BATCHES, last=False)
    work(small, tmp_path / "kept", polls=30)
    recall, taken = recalling.Recall._take, iter(range(6))

    def killed(self: recalling.Recall, item: Any) -> None:
        if next(taken, None) is None:
            raise Fault("killed", code="HW-P062")
        recall(self, item)

    monkeypatch.setattr(recalling.Recall, "_take", killed)
    with pytest.raises(Fault):
        work(small, tmp_path / "lost")
    monkeypatch.setattr(recalling.Recall, "_take", recall)
    rest = sum(fields["records"] for fields in work(small, tmp_path / "lost"))
    assert state(small, tmp_path / "kept", first(small)) == state(small, tmp_path / "lost", first(small))
    assert 0 < rest < sum(fields["records"] for fields in work(small, tmp_path / "another"))


def test_a_state_that_was_begun_with_a_changelog_goes_on_with_it(small: BrokerMesh, tmp_path: Path) -> None:
    mesh = small.mesh
    small.mesh = keeping(small, "30d")
    small.feed(BATCHES[:HALF], last=False)
    work(small, tmp_path / "one")
    assert versions(small)
    small.mesh = mesh
    before = versions(small)
    small.feed(BATCHES[HALF:])
    assert not work(small, tmp_path / "two", polls=30)
    assert versions(small) > before
    assert small.decoded() == small.expected(BATCHES)


def test_an_input_that_is_cut_short_begins_with_a_changelog(small: BrokerMesh, tmp_path: Path) -> None:
    small.feed(BATCHES[:2], last=False)
    topic = small.source.output.topic
    ends = small.broker.ends([TopicPartition(topic, number) for number in range(4)])
    small.broker.delete_before({place: 1 for place, end in ends.items() if end > 1})
    form = StateForm(first(small), small.mesh)
    assert form.of(None, small.broker) == form.plain
    assert form.of(form.recalling.encode(), small.broker) == form.recalling


def test_a_partition_that_begins_later_does_as_the_others(small: BrokerMesh, tmp_path: Path) -> None:
    mesh = small.mesh
    small.mesh = keeping(small, "30d")
    busy = BATCHES[0][0]
    small.feed([[busy]])
    work(small, tmp_path / "state")
    small.mesh = mesh
    form = StateForm(first(small), small.mesh)
    assert form.of(None, small.broker) == form.recalling
    require_form(form, first(small), small.broker, clock=small.broker.clock)
    assert form.of(None, small.broker) == form.plain


def test_an_input_that_lost_records_is_not_recalled(small: BrokerMesh, tmp_path: Path) -> None:
    small.feed(BATCHES, last=False)
    work(small, tmp_path / "kept")
    topic = small.source.output.topic
    ends = small.broker.ends([TopicPartition(topic, number) for number in range(4)])
    small.broker.delete_before({place: 1 for place, end in ends.items() if end > 1})
    work(small, tmp_path / "kept")
    with pytest.raises(CallerFault) as refused:
        work(small, tmp_path / "lost")
    assert refused.value.code == "HW-P301"


def test_a_shorter_retention_is_refused_before_it_matters(small: BrokerMesh, tmp_path: Path) -> None:
    small.feed(BATCHES[:HALF], last=False)
    work(small, tmp_path / "state")
    plans = {small.plan.product: small.plan}
    assert not form_refusals(small.mesh, plans, small.broker)
    small.mesh = keeping(small, "30d")
    assert [found.code for found in form_refusals(small.mesh, plans, small.broker)] == ["HW-P303"]
    with pytest.raises(CallerFault) as refused:
        work(small, tmp_path / "state")
    assert refused.value.code == "HW-P300"


def test_what_is_made_of_records_may_not_change_under_what_is_remembered(small: BrokerMesh, tmp_path: Path) -> None:
    small.feed(BATCHES[:HALF], last=False)
    work(small, tmp_path / "state")
    stages = tuple(replace(stage, recalled=stage.recalled and "another") for stage in small.plan.stages)
    small.plan = replace(small.plan, stages=stages)
    with pytest.raises(CallerFault) as refused:
        work(small, tmp_path / "state")
    assert refused.value.code == "HW-P034"
    found = form_refusals(small.mesh, {small.plan.product: small.plan}, small.broker)
    assert [one.code for one in found] == ["HW-P153"]

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import Unreachable
from headwater.hooks import Hooks
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicDescription, TopicPartition
from headwater.processing import restoring as restoring_module
from headwater.processing.restoring import TRUSTED_MICROSECONDS, Restore
from headwater.processing.state_changelog import mirror
from headwater.processing.state_rocksdb import Position, RocksStates
from headwater.timeline.clock import ManualClock

TOPIC = "a.b.v1.fold.changelog"
ALL = (b"", b"\xff" * 9)


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(ManualClock())
    broker.create_topic(TopicDescription(TOPIC, 2, {}))
    return broker


def write(broker: MemoryBroker, changes: list[tuple[bytes, bytes | None]], *, partition: int = 0) -> int:
    sink = broker.sink("writer")
    sink.open()
    sink.begin()
    mirror(sink, TOPIC, partition, changes, 0)
    end = sink.flush()[TopicPartition(TOPIC, partition)]
    sink.commit()
    return end


def restore(broker: MemoryBroker, stores: Any, committed: Any = None) -> list[dict[str, object]]:
    heard: list[dict[str, object]] = []
    hooks = Hooks([lambda happening, fields: heard.append(fields)])
    restoring = Restore(broker, TOPIC, clock=broker.clock, hooks=hooks, names=("a.b", "fold"))
    left = restoring.begin(stores, committed or {})
    while left:
        left -= set(restoring.step(0.1))
    return [fields for fields in heard if "seconds" in fields]


def test_an_empty_store_is_rebuilt_with_the_newest_values(broker: MemoryBroker, tmp_path: Path) -> None:
    write(broker, [(b"a", b"1"), (b"b", b"1")])
    write(broker, [(b"a", b"2"), (b"b", None)])
    write(broker, [(b"z", b"9")], partition=1)
    states = RocksStates(tmp_path / "s")
    heard = restore(broker, {0: states.task(0), 1: states.task(1)}, {0: {"t": 4}})
    assert list(states.task(0).scan(*ALL)) == [(b"a", b"2")]
    assert list(states.task(1).scan(*ALL)) == [(b"z", b"9")]
    assert states.task(0).position == Position(6, {"t": 4}, broker.identity(TOPIC))
    assert [fields["entries"] for fields in heard] == [4, 1]
    states.close()


def test_only_the_tail_is_read_where_the_store_is_behind(broker: MemoryBroker, tmp_path: Path) -> None:
    end = write(broker, [(b"a", b"1")])
    states = RocksStates(tmp_path / "s")
    states.task(0).commit([(b"a", b"1")], Position(end, {"t": 1}, broker.identity(TOPIC)))
    write(broker, [(b"b", b"2")])
    heard = restore(broker, {0: states.task(0)}, {0: {"t": 2}})
    assert list(states.task(0).scan(*ALL)) == [(b"a", b"1"), (b"b", b"2")]
    assert heard[0]["entries"] == 1
    states.close()


@pytest.mark.parametrize(
    "position",
    [Position(99, {"t": 1}, "this"), Position(1, {"t": 99}, "this"), Position(1, {"t": 1}, "another")],
)
def test_a_store_of_another_history_is_wiped_and_rebuilt(
    broker: MemoryBroker, tmp_path: Path, position: Position
) -> None:
    write(broker, [(b"a", b"1")])
    states = RocksStates(tmp_path / "s")
    if position.history == "this":
        position = replace(position, history=broker.identity(TOPIC))
    states.task(0).commit([(b"stray", b"?")], position)
    restore(broker, {0: states.task(0)}, {0: {"t": 2}})
    assert list(states.task(0).scan(*ALL)) == [(b"a", b"1")]
    states.close()


def test_what_was_committed_behind_an_open_transaction_is_waited_for(broker: MemoryBroker, tmp_path: Path) -> None:
    """The trap of bounding a restore by the last stable offset: a writer that died holds it, another has committed."""
    dead = broker.sink("dead", timeout_ms=5_000)
    dead.open()
    dead.begin()
    dead.send(TOPIC, b"a", b"never", timestamp=0, partition=0)
    write(broker, [(b"a", b"committed")])
    before = broker.clock.monotonic()
    states = RocksStates(tmp_path / "s")
    restore(broker, {0: states.task(0)})
    assert list(states.task(0).scan(*ALL)) == [(b"a", b"committed")]
    assert broker.clock.monotonic() - before >= 5_000_000
    states.close()


def test_a_changelog_that_cannot_be_read_to_its_end_is_an_outage(broker: MemoryBroker, tmp_path: Path) -> None:
    hanging = broker.sink("hanging", timeout_ms=10_000_000)
    hanging.open()
    hanging.begin()
    hanging.send(TOPIC, b"a", b"never", timestamp=0, partition=0)
    states = RocksStates(tmp_path / "s")
    with pytest.raises(Unreachable) as refused:
        restore(broker, {0: states.task(0)})
    assert refused.value.code == "HW-P032"
    states.close()


def test_what_is_read_before_a_hand_over_is_not_read_again(
    broker: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring_module, "BATCH_ENTRIES", 10)
    monkeypatch.setattr(restoring_module, "FETCH_MESSAGES", 35)
    for number in range(10):
        write(broker, [(b"k%d" % key, b"%d" % number) for key in range(number, number + 10)])
    states = RocksStates(tmp_path / "s")
    first = Restore(broker, TOPIC, clock=broker.clock, hooks=Hooks(), names=("a.b", "fold"))
    assert first.begin({0: states.task(0)}, {0: {"t": 4}}) == {0}
    assert first.step(0.0) == []
    first.forget([0])
    position = states.task(0).position
    assert position is not None and 0 < position.changelog < 110
    assert position.sources == {}  # of the group's offsets it may speak only once it is whole
    (heard,) = restore(broker, {0: states.task(0)}, {0: {"t": 4}})
    assert heard["entries"] == 65
    whole = RocksStates(tmp_path / "whole")
    restore(broker, {0: whole.task(0)}, {0: {"t": 4}})
    assert list(states.task(0).scan(*ALL)) == list(whole.task(0).scan(*ALL))
    assert states.task(0).position == whole.task(0).position
    states.close()
    whole.close()


def test_a_partition_that_waits_does_not_hold_another_back(broker: MemoryBroker, tmp_path: Path) -> None:
    write(broker, [(b"a", b"1")], partition=1)
    hanging = broker.sink("hanging", timeout_ms=10_000_000)
    hanging.open()
    hanging.begin()
    hanging.send(TOPIC, b"a", b"never", timestamp=0, partition=0)
    states = RocksStates(tmp_path / "s")
    told: list[dict[str, object]] = []
    hooks = Hooks([lambda happening, fields: told.append(fields) if happening == "stage.restoring" else None])
    restoring = Restore(broker, TOPIC, clock=broker.clock, hooks=hooks, names=("a.b", "fold"))
    assert restoring.begin({0: states.task(0), 1: states.task(1)}, {}) == {0, 1}
    assert restoring.step(0.5) == [1]
    assert restoring.step(0.5) == []
    hanging.abort()
    assert restoring.step(0.5) == [0]
    assert [(fields["partition"], fields["left"], fields["percent"]) for fields in told] == [(1, 0, 100), (0, 0, 100)]
    restoring.close()
    states.close()


def test_a_store_that_is_behind_is_trusted_for_half_as_long_as_tombstones_are_kept(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    """What was deleted after it was written may have left the changelog with its tombstone: the store would keep it."""
    clock = broker.clock
    assert isinstance(clock, ManualClock)
    end = write(broker, [(b"a", b"1"), (b"gone", b"1")])
    states = RocksStates(tmp_path / "s", clock=clock)
    states.task(0).commit([(b"a", b"1"), (b"gone", b"1")], Position(end, {"t": 1}, broker.identity(TOPIC)))
    write(broker, [(b"a", b"2")])
    clock.sleep(TRUSTED_MICROSECONDS)
    assert [fields["entries"] for fields in restore(broker, {0: states.task(0)}, {0: {"t": 4}})] == [1]
    write(broker, [(b"a", b"3")])
    clock.sleep(TRUSTED_MICROSECONDS + 1)
    assert [fields["entries"] for fields in restore(broker, {0: states.task(0)}, {0: {"t": 4}})] == [4]
    states.close()

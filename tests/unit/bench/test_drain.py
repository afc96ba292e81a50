"""A round of a system that fails, or whose broker does, says so in its place: what was measured beside it stands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from bench.drain import measure
from bench.machine import Command
from bench.oracle import Verdict
from bench.stack import Stack
from confluent_kafka import KafkaError, KafkaException

EVENTS = 5


def refused() -> KafkaException:
    return KafkaException(KafkaError(KafkaError.FENCED_LEADER_EPOCH))


class Waiting:
    """A program that waits, and a broker that may refuse before and after it."""

    name = "waiting"

    def __init__(self, *, before: bool = False, after: bool = False) -> None:
        self._before, self._after = before, after

    def version(self) -> str:
        return "1"

    def settings(self) -> dict[str, Any]:
        return {}

    def install(self) -> None: ...

    def prepare(self, round_: int) -> None:
        if self._before:
            raise refused()

    def command(self) -> Command:
        return Command([sys.executable, "-c", "import signal; signal.pause()"], {}, Path.cwd())

    def progress(self) -> int:
        return EVENTS

    def verify(self) -> Verdict:
        return Verdict("", EVENTS)

    def clean(self) -> None:
        if self._after:
            raise refused()


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("HEADWATER_DATA", str(tmp_path))
    return Stack()


@pytest.mark.parametrize(
    ("system", "fault", "outputs"),
    [
        (Waiting(), "", EVENTS),
        (Waiting(before=True), "FENCED_LEADER_EPOCH", 0),
        (Waiting(before=True, after=True), "FENCED_LEADER_EPOCH", 0),
        (Waiting(after=True), "cannot be removed: KafkaError{code=FENCED_LEADER_EPOCH", EVENTS),
    ],
    ids=["none", "before", "both", "after"],
)
def test_what_the_broker_refuses_is_a_fault_of_the_round(
    stack: Stack, system: Waiting, fault: str, outputs: int
) -> None:
    found = measure(system, stack, events=EVENTS, round_=0)
    assert fault in found.fault and bool(found.fault) == bool(fault)
    assert found.outputs == outputs

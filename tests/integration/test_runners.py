"""The suite over runners on the real stack: in short for kafka and faust, in full for the one that is named.

`make conformance RUNNER=faust` sets HEADWATER_RUNNER.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headwater.local.launch import start_stack
from headwater.ports.kafka import KafkaBroker
from headwater.schemas.registry_http import HttpRegistry
from headwater.testing.conformance.runner_flink import FlinkOnTrial
from headwater.testing.conformance.runner_memory import MemoryOnTrial
from headwater.testing.conformance.runner_processes import ProcessOnTrial
from headwater.testing.conformance.runner_trial import RunnerOnTrial, Trial
from headwater.testing.conformance.runners import ALL, SHORT, distinct, drawn, run_trial

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

NAMED = os.environ.get("HEADWATER_RUNNER", "")
SEEDS = (3, 5) if NAMED else (3,)


def on_trial(name: str, stack: Stack) -> RunnerOnTrial:
    if name == "memory":
        return MemoryOnTrial()
    if name == "flink":
        start_stack(stack.local, extra=("flink",))
        return FlinkOnTrial(gateway=stack.local.flink_url)
    return ProcessOnTrial(name)


@pytest.mark.slow
@pytest.mark.timeout(1_200 if NAMED else 300)  # all cases, each twice; on Flink a job for each
@pytest.mark.parametrize("number", SEEDS)
@pytest.mark.parametrize("name", [NAMED] if NAMED else ["kafka", "faust"])
def test_a_runner_makes_what_the_oracle_says(stack: Stack, tmp_path: Path, name: str, number: int) -> None:
    cases = distinct(ALL if NAMED else SHORT)
    broker = KafkaBroker({"bootstrap.servers": stack.kafka})
    registry, nonce = HttpRegistry(stack.registry_url), f"q{uuid.uuid4().hex[:8]}"
    histories = drawn(cases, number)
    trial = Trial.made(tmp_path, broker, registry, cases, histories, nonce, stack.environment())
    assert run_trial(on_trial(name, stack), trial, number=number) == []

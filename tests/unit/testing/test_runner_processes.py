"""A runner that ends by itself while it is on trial is seen at once, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headwater.testing.conformance.runner_processes import RunnerProcess
from headwater.testing.conformance.runner_trial import wait_for
from headwater.timeline.clock import SystemClock


@dataclass
class Nowhere:
    """A folder without a mesh."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    broker: Any = None
    registry: Any = None
    mesh: Any = None


@pytest.mark.slow
def test_one_that_ended_is_not_waited_for_and_its_logs_are_shown(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    old, new = tmp_path / "logs" / "flink-gateway.log", tmp_path / "logs" / "flink-a.b.log"
    old.write_text("said before it was started\n")
    scene = Nowhere(tmp_path, {"HEADWATER_DATA": str(tmp_path), "HEADWATER_MESH": str(tmp_path / "none")})
    running = RunnerProcess(scene, ["run", "a.b", "--runner", "flink"])
    new.write_text("Caused by: a record that no job can take\n")
    with old.open("a") as log:
        log.write("said after it\n")
    clock = SystemClock()
    began = clock.monotonic()
    with pytest.raises(AssertionError) as ended:
        wait_for(running, lambda: False, seconds=300)
    assert clock.monotonic() - began < 100_000_000
    told = str(ended.value)
    assert "it ended by itself with" in told and "HW-" in told
    assert "a record that no job can take" in told and "said after it" in told
    assert "said before" not in told
    running.kill()

"""Starting the services and asking how far they are: what is said where they are missing or end too early."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.errors import CallerFault, Fault
from headwater.local.seed import Replayed, progress_file, replayed, start_services
from headwater.local.stack import LocalStack
from headwater.settings import LocalPorts


@pytest.fixture
def stack(tmp_path: Path) -> LocalStack:
    (tmp_path / "run").mkdir()
    return LocalStack(tmp_path, LocalPorts(29090), databases=("operations",))


def test_a_mesh_without_services_is_told_so(stack: LocalStack, tmp_path: Path) -> None:
    with pytest.raises(CallerFault) as raised:
        start_services(stack, tmp_path, rows=10, rate=0, seed=1)
    assert raised.value.code == "HW-L080" and "HEADWATER_MESH" in raised.value.hint


def test_services_that_end_before_their_end_are_a_fault(stack: LocalStack) -> None:
    progress_file(stack).write_text(json.dumps({"done": 5, "of": 10, "outbox": None}))
    with pytest.raises(Fault) as raised:
        replayed(stack)
    assert raised.value.code == "HW-L082" and "goes on where it stopped" in raised.value.hint


def test_services_that_are_done_say_what_the_outbox_holds(stack: LocalStack) -> None:
    progress_file(stack).write_text(json.dumps({"done": 10, "of": 10, "outbox": {"fleet.aircraft": 3}}))
    assert replayed(stack) == Replayed(10, 10, {"fleet.aircraft": 3})
    assert replayed(stack).finished

"""One stack for all chaos tests of a run: that of HEADWATER_TEST_STACK, or one of our own, stopped at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.stacks import own_stack

from headwater.local.launch import start_stack
from headwater.local.stack import LocalStack
from headwater.settings import LocalPorts


@pytest.fixture(scope="session")
def running() -> Iterator[LocalStack]:
    """The stack. A test that stops a part of it starts that part again."""
    named = os.environ.get("HEADWATER_TEST_STACK", "")
    if named:
        kept = json.loads(Path(named).read_text())
        local = LocalStack(Path(kept["data_folder"]), LocalPorts(kept["port_base"]))
        start_stack(local)
        yield local
        return
    with own_stack() as local:
        yield local

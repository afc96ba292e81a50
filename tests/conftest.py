"""What holds for every test: no network outside integration and chaos, and the run's seed is printed."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# One profile: the same examples on every machine, so that a red run is red for everybody.
settings.register_profile(
    "headwater", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("headwater")

NETWORK_ALLOWED = ("tests/integration/", "tests/chaos/")
# What runs in one process, one test after the other, with a stack of its own: two parts of each, which take as long.
TOGETHER = ("tests/integration/test_[a-l]", "tests/integration/", "tests/chaos/test_p", "tests/chaos/")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Under `-n`, tests that need real parts go one after the other, those of each part in one process."""
    from xdist.scheduler import LoadScopeScheduling

    class FoldersTogether(LoadScopeScheduling):
        # Not `--dist loadgroup`: pytest 9.2 does not see the names that pytest-xdist 3.8 gives tests for it.
        def _split_scope(self, nodeid: str) -> str:
            return next((part for part in TOGETHER if re.match(part, nodeid)), super()._split_scope(nodeid))

    return FoldersTogether(config, log)


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path = request.node.path.relative_to(request.config.rootpath).as_posix()
    if not path.startswith(NETWORK_ALLOWED):

        def refuse(self: socket.socket, address: object) -> None:
            raise AssertionError(f"a unit test opened a connection to {address}: move it to tests/integration")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    yield


def pytest_report_header() -> str:
    return "hypothesis: derandomized (a fixed seed); every skip is printed with its reason"

"""Ports are tested before anything starts, and a taken one is named with its holder and the fix."""

from __future__ import annotations

import os
import socket

import pytest

from headwater.errors import CallerFault
from headwater.local import ports


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_its_holder_and_a_free_block(taken: int) -> None:
    with pytest.raises(CallerFault) as caught:
        ports.require_free([("Kafka", taken)], base=taken - 2)
    error = caught.value
    assert error.code == "HW-L001"
    assert error.exit_code == 2
    assert error.message == f"port {taken}, which Kafka needs, is taken"
    assert f"process {os.getpid()}" in error.detail
    base = int(error.hint.rpartition("=")[2])
    assert all(ports.free(base + offset) for offset in range(10))


def test_free_ports_pass(taken: int) -> None:
    base = ports.free_base(45000)
    ports.require_free([("Kafka", base), ("PostgreSQL", base + 1)], base=base)


def test_a_block_with_one_taken_port_is_passed_over(taken: int) -> None:
    assert ports.free_base(taken - 3) == ports.free_base(taken + 7)


def test_no_free_block_at_all_says_so(taken: int) -> None:
    with pytest.raises(CallerFault, match="no block of ten free ports"):
        ports.free_base(taken, tries=1)


def test_a_port_that_nobody_holds_has_no_holder_that_can_be_seen() -> None:
    assert "cannot be seen" in ports.holder(ports.free_base(46000))

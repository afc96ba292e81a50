"""What every command does where its output or its disk is taken away: one message, the right exit code, no trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEADWATER = (sys.executable, "-m", "headwater")


@pytest.mark.parametrize("arguments", [("explain", "--list"), ("schema", "show", "flights.departures.Departure")])
def test_a_reader_that_has_seen_enough_is_no_error(arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = subprocess.run([*HEADWATER, *arguments], stdout=gone, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_under_the_output_is_one_message_with_its_fix() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*HEADWATER, "explain", "HW-K001"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith("the output cannot be written: No space left on device\n")
    assert done.stderr.endswith("[HW-K020]\n") and "fix: " in done.stderr

"""What a command has to load before it answers: the libraries of the columnar roads only where columns come."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "pyarrow", "pyruhvro", "sqlglot")


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "headwater.plan.check",  # headwater check
        "headwater.processing.examples",  # headwater test
        "headwater.processing.preview",
        "headwater.ports.answers",  # headwater query, headwater.open
        "headwater.ports.consuming",
    ],
)
def test_who_takes_records_one_by_one_does_not_wait_for_columns(module: str) -> None:
    told = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"

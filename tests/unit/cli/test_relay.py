"""What a relay loads when it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PANDAS = "print('loaded')\n__version__ = '3.0.0'\n"
ASKS = "import pyarrow; assert pyarrow.array([1]).fill_null(0).to_pylist() == [1]\n"
HIDES = "from headwater.cli.relay import without_pandas; without_pandas()\n"


def said(program: str, folder: Path) -> str:
    (folder / "pandas.py").write_text(PANDAS)
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


@pytest.mark.slow
def test_arrow_loads_no_pandas_in_a_relay_though_it_is_there(tmp_path: Path) -> None:
    assert said(ASKS, tmp_path) == "loaded\n"  # else there is nothing to hide
    assert said(HIDES + ASKS, tmp_path) == ""


@pytest.mark.slow
def test_what_a_service_imports_itself_is_there(tmp_path: Path) -> None:
    assert said(HIDES + "import pandas\n", tmp_path) == "loaded\n"

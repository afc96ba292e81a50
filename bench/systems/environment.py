"""A virtual environment for a rival in Python: none of them can be installed beside the core."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

INSTALL_SECONDS = 600


def python_with(folder: Path, requirements: Sequence[str]) -> Path:
    """The interpreter of an environment with these pinned requirements, made where it is missing or differs.

    `requirements` are exact: `quixstreams==3.28.1`. They stand beside the figures as the rival's version.
    """
    wanted = "\n".join([sys.version, *requirements])
    mark, python = folder / "requirements", folder / "bin" / "python"
    if mark.is_file() and mark.read_text() == wanted:
        return python
    venv.create(folder, with_pip=True, clear=True)
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{', '.join(requirements)} cannot be installed:\n{done.stderr}")
    mark.write_text(wanted)
    return python

"""What people see on a terminal: whole cells, at any width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from pathlib import Path

import pytest

ROWS = """
from headwater.cli import console
rows = [("airports.hourly_punctuality", 20044, "keys [origin] :smile:")]
console.table("", ("product", "records in", "what for"), rows)
console.out(console.folded(["valid_from=2013-01-01T10:00:00.000000Z", "delay_minutes=-8", "kind=assert"]))
"""


def shown(tmp_path: Path, columns: int) -> str:
    """What stands on a terminal of so many columns after `ROWS`."""
    script = tmp_path / "rows.py"
    script.write_text(ROWS)
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        bare = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        os.execve(sys.executable, [sys.executable, str(script)], bare)
    seen = b""
    while True:
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            break
    os.close(terminal)
    assert os.waitpid(child, 0)[1] == 0
    return seen.decode()


@pytest.mark.parametrize("columns", [40, 50, 80, 120])
def test_nothing_is_cut_and_brackets_stay_on_a_terminal_of_any_width(tmp_path: Path, columns: int) -> None:
    text = shown(tmp_path, columns)
    assert all(
        part in text for part in ("airports.hourly_punctuality", "20,044", "keys [origin] :smile:", "kind=assert")
    )
    assert "…" not in text
    assert "valid_from=2013-01-01T10:00:00.000000Z" in text


def test_a_table_is_a_grid_where_it_fits_and_lines_where_it_does_not(tmp_path: Path) -> None:
    assert "│" in shown(tmp_path, 80)
    assert "airports.hourly_punctuality\r\n  records in 20,044\r\n  what for keys [origin] :smile:" in shown(
        tmp_path, 50
    )


def test_fields_are_not_torn(tmp_path: Path) -> None:
    assert "\r\n  delay_minutes=-8  kind=assert" in shown(tmp_path, 50)

"""What every command prints with: data on stdout, progress and errors on stderr, colour only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def err() -> Console:
    """A console on stderr, for progress and errors; honours NO_COLOR and pipes."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def out(text: str = "") -> None:
    """A line of data on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_json_line(value: object) -> None:
    """One JSON value on one line of stdout."""
    out(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def print_json(value: object) -> None:
    """One JSON value, indented, on stdout."""
    out(json.dumps(value, ensure_ascii=False, indent=2))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout; columns whose cells are all numbers stand to the right. Wide enough for a log, never cut."""
    from rich.console import Console
    from rich.table import Table

    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))] if cells else []
    grid = Table(title=title or None, title_justify="left")
    for index, column in enumerate(columns):
        grid.add_column(column, justify="right" if numeric and numeric[index] else "left", no_wrap=True)
    for row in cells:
        grid.add_row(*row)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    console.print(grid)


@contextmanager
def phase(text: str) -> Iterator[None]:
    """Show that something is under way, with its seconds, and when it is done; on stderr.

    On a terminal a running line with a clock; elsewhere one line at the start and one at the end.
    """
    from headwater.timeline.clock import SystemClock

    console, clock = err(), SystemClock()
    started = clock.monotonic()
    if console.is_terminal:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            progress.add_task(text)
            yield
    else:
        console.print(f"… {text}")
        yield
    console.print(f"✓ {text} ({(clock.monotonic() - started) / 1_000_000:.1f} s)")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return str(value)

"""What every command prints with: data on stdout, progress and errors on stderr, colour only on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_UNBOUNDED = 1_000_000  # columns: what is piped or logged has no width


def err() -> Console:
    """A console on stderr, for progress and errors; honours NO_COLOR and pipes."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def tell(text: str) -> None:
    """A line on stderr as it stands, without the library that colours and wraps."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def out(text: str = "") -> None:
    """A line of data on stdout. Where its reader has seen enough (`| head`), the command ends: nothing is wrong."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def print_json_line(value: object) -> None:
    """One JSON value on one line of stdout."""
    out(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def record(shown: Mapping[str, object], output: str) -> None:
    """One record on stdout: a line of JSON where `output` says so, else its fields by name."""
    if output == "json":
        print_json_line(shown)
    else:
        out(folded([f"{name}={'-' if value is None else value}" for name, value in shown.items()]))


def print_json(value: object) -> None:
    """One JSON value, indented, on stdout."""
    out(json.dumps(value, ensure_ascii=False, indent=2))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout, never cut: on a terminal that it is too wide for, each row becomes a few lines instead.

    Columns whose cells are all numbers stand to the right.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    cells = [[_cell(value) for value in row] for row in rows]
    grid = Table(title=Text(title) if title else None, title_justify="left")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        grid.add_column(Text(column), justify="right" if numeric else "left", no_wrap=True)
    for row in cells:
        grid.add_row(*(Text(cell) for cell in row))
    wanted = Console(width=_UNBOUNDED).measure(grid).maximum
    if wanted > _width():
        for row in cells:
            out(row[0])
            named = zip(columns[1:], row[1:], strict=True)
            out(folded([f"{name} {cell}" for name, cell in named if cell], indent=2))
        return
    console = Console(highlight=False, width=wanted)
    with console.capture() as drawn:
        console.print(grid)
    out(drawn.get().removesuffix("\n"))


def folded(parts: Sequence[str], *, indent: int = 0) -> str:
    """Parts on one line; on a terminal as many on each line as fit. What is wider than the terminal breaks at words.

    From the second line on, and from the first if `indent` says so, lines stand indented.
    """
    from textwrap import wrap

    lines, width = [" " * indent], _width()
    for part in parts:
        line = f"{lines[-1]}  {part}" if lines[-1].strip() else lines[-1] + part
        if len(line) <= width or not lines[-1].strip():
            lines[-1] = line
        else:
            lines.append(" " * max(indent, 2) + part)
        if len(lines[-1]) > width:
            spaces = lines[-1][: len(lines[-1]) - len(lines[-1].lstrip())]
            lines[-1:] = wrap(
                lines[-1].strip(),
                width,
                initial_indent=spaces,
                subsequent_indent=" " * (indent + 2),
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join(lines)


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


def _width() -> int:
    from shutil import get_terminal_size

    return get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED


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


class Seldom:
    """Counts what may happen a million times, and says when the count is worth a line: at 1, 2, 4, 8, ...

    >>> seldom = Seldom()
    >>> [seldom.worth_saying("a") for _ in range(5)]
    [1, 2, 0, 4, 0]
    """

    def __init__(self) -> None:
        self._counts: dict[object, int] = {}

    def worth_saying(self, what: object) -> int:
        """Count one more of it; the count where it is to be said, else 0."""
        count = self._counts[what] = self._counts.get(what, 0) + 1
        return 0 if count & (count - 1) else count

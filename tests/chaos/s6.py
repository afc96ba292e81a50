"""S6: hostile SQL. Every text of a corpus, and texts of a grammar, by the whole road, and past its first wall.

The first wall reads a text and refuses what is not on its lists; the second is the cell, a process of its own. Each
text takes the road as a reader's would; those of a sample are handed to the cell as they are too, as if the first wall
had a hole. What must not happen: a secret of a file in an answer or in an error, a byte in a folder, a connection to a
listener, a row of a product that is not served, a query that outlives its deadline by more than a second, an error
that is none of ours.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
from tests.chaos.hostile import Bait, Hostile, corpus, fuzz

from headwater.errors import CallerFault, HeadwaterError
from headwater.ports.answers import Answer
from headwater.ports.http.forms import table_as
from headwater.sdk import query
from headwater.sdk.query import Bounds
from headwater.sdk.query import run as run_query
from headwater.sdk.sql_text import Asked, read_query
from headwater.timeline.instant import Instant

SECRET = "canary-5b1f0c"
FUZZED = 20  # texts of the grammar for each trial
ROWS = pa.table({"v": range(2_000)})
_EXPECTED = ("HW-K064", "HW-K065", "HW-K066", "HW-R030", "HW-R043")
_LEAKS = (SECRET, "root:x:", "PATH=")


class Escapes:
    """What came out that may not; `longest` is how many seconds a query may take."""

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self.found: list[str] = []
        self.outcomes: dict[str, int] = {}
        self.slowest = 0.0

    def note(self, one: Hostile, what: str) -> None:
        """One escape, with the text that did it."""
        self.found.append(f"{one.want}: {what}: {one.text[:160]}")


def run(*, trials: int, seed: int, saboteur: str = "", seconds: float = 4.0, over: float = 1.0) -> dict[str, Any]:
    """`trials` are the texts that the cell gets past the first wall; all of the corpus takes the whole road. A query
    has `seconds`, and must have ended `over` seconds later.

    Of a long run, with 500 trials or more, all that is let through runs; of a short one, a sample.
    """
    chance, escapes = Random(seed), Escapes(seconds + over)
    bounds = Bounds(seconds=seconds, memory_megabytes=256, rows=10_000)
    with baited() as (bait, listener), _sabotaged(saboteur):
        texts = corpus(bait)
        fuzzed = list(fuzz(seed, FUZZED * trials))
        passed = [one for one in [*texts, *fuzzed] if _taken(one, escapes)]
        sample = passed if trials >= 500 else chance.sample(passed, min(trials, len(passed)))
        for one in sample:
            _judge(one, escapes, lambda one=one: run_query(read_query(one.text), _read, bounds).rows)  # type: ignore[misc]
        for one in _aimed(texts, chance, trials):
            _judge(one, escapes, lambda one=one: query._run(one.text, {("a", "b"): ROWS}, bounds))  # type: ignore[misc]
        _outside(bait, listener, escapes)
    return {
        "id": "S6", "trials": trials, "seed": seed, "texts": len(texts) + len(fuzzed), "let_through": len(passed),
        "run": len(sample),
        "escapes": len(escapes.found), "escaped": escapes.found[:10], "outcomes": escapes.outcomes,
        "slowest_seconds": round(escapes.slowest, 1), "lost": 0, "duplicates": 0, "phantom": 0, "order_breaks": 0,
        "passed": not escapes.found,
    }  # fmt: skip


def _aimed(texts: Sequence[Hostile], chance: Random, trials: int) -> list[Hostile]:
    """What the cell gets as it is: those that aim at the outside first."""
    aimed = [one for one in texts if one.want in ("outside", "statement", "catalogue", "function")]
    return chance.sample(aimed, min(trials, len(aimed)))


def _taken(one: Hostile, escapes: Escapes) -> bool:
    """Whether the first wall lets a text through. It may refuse it in one way only."""
    try:
        asked = read_query(one.text)
    except CallerFault as refused:
        if refused.code != "HW-K064":
            escapes.note(one, f"refused as {refused.code}")
        escapes.outcomes["refused"] = escapes.outcomes.get("refused", 0) + 1
        return False
    except Exception as error:  # whatever comes through here would have ended a server's request
        escapes.note(one, f"the reader fell: {type(error).__name__}")
        return False
    if one.want == "outside":  # what only looks like the name of a product is not there, and is told to be so
        escapes.note(one, "let through by the first wall")
    with suppress(HeadwaterError):
        read_query(asked.text)
        return True
    escapes.note(one, "what is to be run says what could not be asked")
    return False


def _judge(one: Hostile, escapes: Escapes, road: Any) -> None:
    began, said, outcome = time.monotonic(), "", "answered"
    try:
        rows = road()
        said = table_as("json", rows.slice(0, 5_000), {}).decode()
    except HeadwaterError as error:
        said, outcome = f"{error.message} {error.detail}", error.code
        if error.code not in _EXPECTED:
            escapes.note(one, f"ended with {error.code}: {error.detail[:200]}")
    took = time.monotonic() - began
    escapes.slowest = max(escapes.slowest, took)
    escapes.outcomes[outcome] = escapes.outcomes.get(outcome, 0) + 1
    if took > escapes.longest:
        escapes.note(one, f"took {took:.1f} s")
    if any(leak in said for leak in _LEAKS):
        escapes.note(one, "told a secret")


def _read(asked: Asked) -> tuple[Answer, pa.Table]:
    """The one product that is served; of another it is not told whether it is there."""
    if asked.product != "a.b":
        raise CallerFault("there is no such thing here", code="HW-R030")
    return Answer((), Instant(0), True), ROWS


def _outside(bait: Bait, listener: socket.socket, escapes: Escapes) -> None:
    for name in os.listdir(bait.folder):
        escapes.found.append(f"outside: wrote {name}")
    with suppress(BlockingIOError):
        listener.accept()[0].close()
        escapes.found.append("outside: a connection to the listener")


@contextmanager
def baited() -> Iterator[tuple[Bait, socket.socket]]:
    """A file with a secret, an empty folder, and somebody who listens."""
    with tempfile.TemporaryDirectory() as home, socket.socket() as listener:
        (folder := Path(home) / "folder").mkdir()
        (file := Path(home) / "secret.csv").write_text(f"v\n{SECRET}\n")
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        listener.setblocking(False)
        yield Bait(str(file), str(folder), listener.getsockname()[1]), listener


@contextmanager
def _sabotaged(saboteur: str) -> Iterator[None]:
    """`open`: the cell has no walls."""
    before = query._CELL
    query._CELL = "tests.chaos.cell_open" if saboteur == "open" else before
    try:
        yield
    finally:
        query._CELL = before

"""Committers of several writers against a catalogue that loses answers, answers late, and is tended by others.

Each run is drawn by Hypothesis: who does the next step, what becomes of an attempt, when the table is compacted,
expired, or a late attempt arrives. At the end the table has each offset once, and names each file once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headwater.ports.lake.commit import Append, Committer, Landed, Leave, Look, Overtaken, Step
from headwater.ports.lake.progress import Progress, Seen
from headwater.ports.lake.table import Files, Refused, Unsure
from headwater.ports.lake.table_memory import MemoryLake, MemoryLakeTable

WRITERS, BATCH = 2, 3
MAKE = Callable[[str, Seen], Committer]


@dataclass
class Life:
    """A writer between two deaths: it reads on from what it has seen, and commits one batch after another."""

    table: MemoryLakeTable
    make: MAKE
    name: str
    seen: Seen | None = None
    committer: Committer | None = None
    files: Files | None = None
    progress: Progress | None = None
    step: Step | None = None
    commits: int = 0

    def go(self) -> None:
        """One step; a writer that is overtaken dies, and begins anew from the table."""
        if self.seen is None:
            self.seen = self.table.look()
        elif self.committer is None:
            self._write(self.seen)
        elif isinstance(self.step, Append):
            self._attempt(self.step)
        elif isinstance(self.step, Look):
            self.step = self.committer.saw(self.table.look())
        elif isinstance(self.step, Overtaken) or (isinstance(self.step, Leave) and not self.step.unsure):
            assert self.files is not None
            self.table.discard(self.files)
            self._die()
        else:
            assert isinstance(self.step, Landed | Leave)
            self._die()

    def _die(self) -> None:
        self.seen = self.committer = self.step = None

    def _write(self, seen: Seen) -> None:
        first = seen.progress.offsets[0] if seen.progress else 0
        self.commits += 1
        commit = f"{self.name}-{self.commits}"
        self.files = self.table.write(pa.table({"offset": list(range(first, first + BATCH))}), commit)
        self.progress = Progress("t", "t1", {0: first + BATCH}, {}, commit, epoch=1)
        self.committer = self.make(commit, seen)
        self.step = self.committer.begin()

    def _attempt(self, step: Append) -> None:
        assert self.files is not None and self.progress is not None and self.committer is not None
        try:
            self.table.append(step.seen, self.files, self.progress)
            self.step = self.committer.accepted()
        except Refused:
            self.step = self.committer.refused()
        except Unsure:
            self.step = self.committer.unsure()


DEEDS = st.lists(
    st.one_of(
        st.integers(0, WRITERS - 1),
        st.sampled_from(["compact", "expire", "deliver"]),
        st.sampled_from(["answered", "unheard", "nowhere", "late"]),
    ),
    min_size=10,
    max_size=120,
)


def play(deeds: list[int | str], make: MAKE) -> None:
    lake = MemoryLake("t")
    fates: list[str] = []
    lake.fate = lambda: fates.pop() if fates else "answered"  # type: ignore[return-value]
    lives = [Life(lake.table(), make, str(number)) for number in range(WRITERS)]
    for deed in deeds:
        if isinstance(deed, int):
            lives[deed].go()
        elif deed in ("compact", "expire", "deliver"):
            getattr(lake, deed)()
        else:
            fates = [deed]
    fates.clear()
    for _ in range(40):  # all settle; what is late may arrive after everything
        for life in lives:
            life.go()
    lake.deliver()
    rows = [row["offset"] for row in lake.rows()]  # raises where a file that is named was removed
    assert sorted(rows) == list(range(len(rows))), rows
    assert len(set(lake.named())) == len(lake.named())
    assert len(rows) >= 10 * BATCH  # and they got somewhere


@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DEEDS)
def test_every_offset_is_there_once(deeds: list[int | str]) -> None:
    play(deeds, Committer)


class Repeating(Committer):
    """A saboteur: as PyIceberg's default, it tries again on whatever head it finds."""

    def saw(self, seen: Seen) -> Step:
        return Landed(adopted=True) if self._commit in seen.commits else self._append(seen)


class Forgetful(Committer):
    """A saboteur: it does not look for its own commit."""

    def saw(self, seen: Seen) -> Step:
        return super().saw(Seen(seen.head, self._seen.progress, frozenset(), seen.state))


class Hasty(Committer):
    """A saboteur: no answer is an answer, and files of what it takes for failed are removed."""

    def unsure(self) -> Step:
        return Overtaken()


@pytest.mark.parametrize("saboteur", [Repeating, Forgetful, Hasty])
def test_a_committer_that_errs_is_found_out(saboteur: MAKE) -> None:
    @settings(max_examples=300, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
    @given(DEEDS)
    def hunt(deeds: list[int | str]) -> None:
        play(deeds, saboteur)

    with pytest.raises((AssertionError, KeyError)):
        hunt()

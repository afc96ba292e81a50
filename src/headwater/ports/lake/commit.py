"""One commit to a table of the lake, decided: append, look again, adopt what landed, or stop. Pure, without a clock.

A catalogue refuses a commit whose base is not the newest; it does not know what a writer has read. So nothing here is
tried again unseen: after each refusal, and each answer that did not come, the table is looked at first.

- The commit's own id among the ancestors: it landed, and the answer was lost. It is adopted.
- Newer progress that is not ours: another writer has read on. This one is a zombie: its files go, and it stops.
- The same progress under another head: somebody compacted, expired or altered the table. The append is made anew.

A late attempt cannot land a second time: it is based on a head that is no longer the newest.
"""

from __future__ import annotations

from dataclasses import dataclass

from headwater.ports.lake.progress import Seen

TRIES_LIMIT = 20  # of one commit; maintenance that wins so often in a row is no accident


@dataclass(frozen=True, slots=True)
class Append:
    """Append on top of what was seen."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the table again."""


@dataclass(frozen=True, slots=True)
class Landed:
    """The commit is in the table; `adopted` where that was found by its id."""

    adopted: bool


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Another writer moved the table on: no snapshot will ever name this commit's files."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Stop trying. `unsure`: a late attempt might still land, so the files stay for the clean-up of orphans."""

    unsure: bool


Step = Append | Look | Landed | Overtaken | Leave


class Committer:
    """Decides for one commit, by its id, made by a writer that has seen a table and read on from its progress.

    >>> seen = Seen("", None, frozenset())
    >>> committer = Committer("c1", seen)
    >>> committer.begin() == Append(seen), committer.unsure()
    (True, Look())
    >>> committer.saw(Seen("s1", None, frozenset(["c1"])))
    Landed(adopted=True)
    """

    def __init__(self, commit: str, seen: Seen) -> None:
        self._commit = commit
        self._seen = seen
        self._tries = 0
        self._unsure = False

    def begin(self) -> Step:
        """The first deed."""
        return self._append(self._seen)

    def accepted(self) -> Step:
        """The catalogue took the append."""
        return Landed(adopted=False)

    def refused(self) -> Step:
        """The catalogue said no: the base was not the newest."""
        return Look()

    def unsure(self) -> Step:
        """No answer came, or one that says nothing."""
        self._unsure = True
        return Look()

    def saw(self, seen: Seen) -> Step:
        """The table as it is now."""
        if self._commit in seen.commits:
            return Landed(adopted=True)
        if seen.newest != self._seen.newest:
            return Overtaken()
        return self._append(seen)

    def _append(self, seen: Seen) -> Step:
        self._tries += 1
        return Append(seen) if self._tries <= TRIES_LIMIT else Leave(self._unsure)

"""What the lake needs of a table. `table_memory.py` and `table_iceberg.py` are two; one suite judges both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from headwater.mesh.products import ResolvedProduct
from headwater.ports.lake.commit import Append, Committer, Landed, Look, Overtaken, Step
from headwater.ports.lake.progress import Progress, Seen
from headwater.ports.lake.refusals import overtaken, undecided

if TYPE_CHECKING:  # plan and apply read this too, and wait for no columns
    import pyarrow as pa

TOPIC_ID, PARTITION, OFFSET = "headwater_topic_id", "headwater_partition", "headwater_offset"
PLACE = (TOPIC_ID, PARTITION, OFFSET)  # the columns that say where a row comes from
RECORDED = "recorded_at"  # a table is partitioned by its day


class Refused(Exception):
    """The catalogue's answer to an append whose base is not the newest: nothing was changed."""


class Unsure(Exception):
    """No answer to an append, or one that says nothing: it may be in the table, or come to be."""


@dataclass(frozen=True, slots=True)
class Files:
    """Data files that were written and that no snapshot names yet. `state` is the store's own."""

    paths: tuple[str, ...]
    rows: int
    state: Any = None


class LakeTable(Protocol):
    """A table of the lake. One thread uses it."""

    @property
    def name(self) -> str:
        """`domain.product_v1`, as the catalogue has it."""

    def look(self) -> Seen:
        """The table as it is now; raises `Unreachable` HW-I012."""

    def write(self, rows: pa.Table, commit: str) -> Files:
        """Write rows to files by recorded day, sorted; no snapshot names them yet. Their names bear the commit."""

    def append(self, seen: Seen, files: Files, progress: Progress) -> Seen:
        """One attempt to add files on top of what was seen, with this progress; the table as it is then.

        Raises `Refused` where something else was committed since, `Unsure` where nobody knows.
        """

    def discard(self, files: Files) -> None:
        """Remove files that no snapshot names, nor ever will."""

    def columns(self) -> Sequence[str]:
        """The names of the table's columns."""


class Tables(Protocol):
    """The tables of a lake, as `apply` makes them."""

    def missing(self, product: ResolvedProduct) -> tuple[str, ...]:
        """What `ensure` would do for a product's table, as sentences; raises `NotSupported` HW-I008."""

    def ensure(self, product: ResolvedProduct) -> None:
        """Make a product's table, or let its columns follow the contract. Safe to repeat."""


def commit(table: LakeTable, seen: Seen, files: Files, progress: Progress) -> Seen:
    """Put files into the table once, whatever the catalogue answers; the table as it is then.

    Raises `CallerFault` HW-I001 where another writer moved the table on (the files are removed), `Unreachable` HW-I012
    where the catalogue stays away: then the table alone knows.
    """
    committer = Committer(progress.commit, seen)
    step: Step = committer.begin()
    newest = seen
    while True:
        match step:
            case Append(on):
                try:
                    newest = table.append(on, files, progress)
                    step = committer.accepted()
                except Refused:
                    step = committer.refused()
                except Unsure:
                    step = committer.unsure()
            case Look():
                newest = table.look()
                step = committer.saw(newest)
            case Landed():
                if newest.newest != progress.commit:
                    raise overtaken(table.name)  # after ours, which is in the table: its files stay
                return newest
            case Overtaken():
                table.discard(files)
                raise overtaken(table.name)
            case _:
                if not step.unsure:
                    table.discard(files)
                raise undecided(table.name, "its head moved with each try of one commit")

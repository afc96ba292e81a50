"""Headwater's products on the other runners, the same folders and the same records: in a Faust application, and on
Flink. Run only where they are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from bench.filling import PARTITIONS
from bench.machine import Command
from bench.report import REFUSED
from bench.systems.headwater import HeadwaterRun
from bench.systems.protocol import System
from headwater import naming
from headwater.errors import HeadwaterError
from headwater.mesh.load import load_mesh
from headwater.processing.flow_file import load_flow


class HeadwaterOnFaust(HeadwaterRun):
    """The `faust` runner: its fetches and agents, our stages, state and transactions."""

    name = "headwater-faust"
    runner = "faust"
    options = ("--runner", "faust", "--no-supervise")

    def version(self) -> str:
        """Of both packages."""
        return f"{super().version()}, faust {version('faust-streaming')}"

    def clean(self) -> None:
        """The application's group too."""
        super().clean()
        self._kafka.delete_group(naming.faust_group([self._topic]))


class HeadwaterOnFlink(HeadwaterRun):
    """The `flink` runner: a bounded job in a JVM of its own, all of whose records are one transaction.

    Until it is done, each record that it has written stands for one input; that it is done is told by the product's
    marks, which come after the transaction.
    """

    name = "headwater-flink"
    runner = "flink"
    options = ("--runner", "flink")

    def version(self) -> str:
        """Of both packages."""
        return f"{super().version()}, Flink {version('apache-flink-libraries')}"

    def settings(self) -> dict[str, Any]:
        """What is not Flink's default is said by the runner."""
        return {**super().settings(), "state store": "heap, no checkpoints: bounded", "delivery": "one transaction"}

    def prepare(self, round_: int) -> None:
        """Raises a RuntimeError that begins with `refused` where the flow does not compile to Flink SQL."""
        from headwater.processing.runners.flink import refusals

        try:
            found = refusals(load_flow(load_mesh(self._stack.mesh), self._product))
        except HeadwaterError as error:
            raise RuntimeError(str(error)) from None
        if found:
            raise RuntimeError(f"{REFUSED}{found[0].message} [{found[0].code}]")
        super().prepare(round_)

    def command(self) -> Command:
        """It serves no metrics: what it does is in Flink's."""
        return self._stack.headwater("run", str(self._product), *self.options)

    def progress(self) -> int:
        """What is written is not committed yet: it only shows that the job moves."""
        if any(self._kafka.ends(naming.progress_topic(self._product, 1), PARTITIONS)) and self._marked() > 0:
            return self._events
        return min(sum(self._kafka.ends(self._topic, PARTITIONS)), self._events - 1)


def elsewhere(systems: Iterable[System]) -> Iterator[System]:
    """The same products on the other runners."""
    for one in systems:
        if type(one) is HeadwaterRun:
            yield HeadwaterOnFaust(**one.again)
            yield HeadwaterOnFlink(**one.again)

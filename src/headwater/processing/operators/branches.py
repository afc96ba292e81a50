"""Several outputs of one stage: from the changes that they share to the records of each, by its own row steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headwater.processing.operators.core import Change, RowStep, stepped
from headwater.processing.operators.publish import Numbered, Publish, PublishSpec
from headwater.processing.state import Overlay


@dataclass(frozen=True)
class BranchSpec:
    """What an output does to the rows that all share (None: nothing), and how it is published."""

    step: RowStep | None
    publish: PublishSpec


class Branch:
    """One output of a stage with several. Each numbers its own records: what one leaves out, another may say."""

    def __init__(self, spec: BranchSpec, overlay: Overlay) -> None:
        self._step = spec.step
        self._publish = Publish(spec.publish, overlay)

    def tick(self, changes: Sequence[Change], recorded_at: int) -> list[Numbered]:
        """The records of a tick, in the order of `Publish`."""
        own = changes if self._step is None else stepped(changes, self._step)
        return self._publish.tick(own, recorded_at)

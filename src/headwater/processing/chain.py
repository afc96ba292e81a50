"""The operators of one task, one after another: what a closed tick brought in, to what is to be published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from headwater.processing.cells import FoldSpec
from headwater.processing.compiler import Operation
from headwater.processing.operators.aggregate import Fold
from headwater.processing.operators.changes import Changes, ChangesSpec
from headwater.processing.operators.core import Change, RowStep, stepped
from headwater.processing.operators.explode import Explode, ExplodeSpec
from headwater.processing.operators.join_as_of import FactsSpec, Join, JoinSpec
from headwater.processing.operators.join_interval import IntervalJoin, IntervalSpec, OthersSpec
from headwater.processing.operators.latest import Latest, LatestSpec
from headwater.processing.operators.publish import Branch, Numbered, Publish
from headwater.processing.operators.rekey import Moved, Rekey
from headwater.processing.operators.sessions import Sessions, SessionSpec
from headwater.processing.recalled_logic import rows_recalled
from headwater.processing.state import Overlay
from headwater.processing.steps import Stage, StageInput
from headwater.processing.work import add_counts

Arrivals = Sequence[tuple[StageInput, list[Any]]]


class Closed(NamedTuple):
    """What a tick made: records of the product or messages of the rekey topic, and what became of what came in.

    `further` are the records of the product's other outputs, in their order.
    """

    records: list[Numbered]
    messages: list[Moved]
    counts: dict[str, int]
    further: Sequence[list[Numbered]] = ()


class _Kept(NamedTuple):
    """Where an operator keeps what it makes, the rows that it is given, and what it is told of an input of its own."""

    made: Overlay
    rows: Overlay
    told: Overlay


class Chain:
    """Changes from the inputs, through each operation, to a rekey or to the product."""

    def __init__(self, stage: Stage, overlay: Overlay, lane: int, recalled: Overlay | None = None) -> None:
        """`recalled` takes what follows from the records of one input alone, where that is to lie apart."""
        recalled = overlay if recalled is None else recalled
        self.changes = {
            entry.topic: Changes(entry.logic, recalled)
            for entry in stage.inputs
            if isinstance(entry.logic, ChangesSpec)
        }
        product = stage.output.kind == "product"
        alone = product and not stage.further
        operations = stage.logic.operations
        self._operations = []
        first = recalled if rows_recalled(stage.inputs, [operation.spec for operation in operations]) else overlay
        for place, operation in enumerate(operations):
            kept = _Kept(overlay, overlay if place else first, recalled)
            self._operations.append(_operation(operation, kept, numbered=alone and operation is operations[-1]))
        self._joined = {
            entry.topic: operator
            for entry in stage.inputs
            for operator, _, right in self._operations
            if right is not None and right is entry.logic
        }
        last = self._operations[-1][0] if self._operations else None
        number = last.number if isinstance(last, Fold) and alone else None
        self.publish = Publish(stage.output.logic, overlay, number) if alone else None
        self.branches = [Branch(output.logic, overlay) for output in stage.outputs] if stage.further else []
        self._rekey = None if product else Rekey(stage.output.logic, lane)

    @property
    def operators(self) -> list[Any]:
        """What runs its operations, in their order."""
        return [operator for operator, _, _ in self._operations]

    def joined_to(self, topic: str) -> Any:
        """The operator that has an input as its right side."""
        return self._joined[topic]

    def told(self, topic: str) -> Changes:
        """What makes changes of an input's versions, those of a right side too."""
        changes: Changes = self.changes[topic] if topic in self.changes else self.joined_to(topic).others
        return changes

    def stepped(self, place: int, changes: list[Change]) -> list[Change]:
        """Changes that an operation gave, through the row steps behind it."""
        step = self._operations[place][1]
        return changes if step is None else stepped(changes, step)

    def close(self, arrivals: Arrivals, tick: int, end: int) -> Closed:
        """A tick through all operators; `end` is its last microsecond."""
        counts: dict[str, int] = {"folded": 0}
        changes: list[Change] = []
        for entry, items in arrivals:
            if entry.topic in self.changes:
                made, became = self.changes[entry.topic].tick(items)
                changes.extend(made)
                add_counts(counts, became)
            elif not isinstance(entry.logic, FactsSpec | OthersSpec):
                changes.extend(items)
                counts["folded"] += len(items)
        for operator, step, right in self._operations:
            if right is not None:
                changes, became = operator.tick(changes, _items(arrivals, right))
                add_counts(counts, became)
            else:
                changes = operator.tick(changes)
            if step is not None:
                changes = stepped(changes, step)
        if self.branches:
            first, *further = [branch.tick(changes, end) for branch in self.branches]
            return Closed(first, [], counts, further)
        if self.publish is not None:
            return Closed(self.publish.tick(changes, end), [], counts)
        assert self._rekey is not None
        return Closed([], self._rekey.tick(changes, tick), counts)

    def marks(self) -> list[Moved]:
        """A mark for each partition of the rekey topic; none where the product is written."""
        return [] if self._rekey is None else self._rekey.marks()


# What runs each kind of operation; `numbered` where the operation is the last one before the product. One that also
# takes arrivals of an input of its own says so by `right` of its spec.
_OPERATORS: Mapping[type, Callable[[Any, _Kept, bool], Any]] = {
    FoldSpec: lambda spec, kept, numbered: Fold(spec, kept.made, numbered=numbered),
    SessionSpec: lambda spec, kept, numbered: Sessions(spec, kept.made, kept.rows),
    ExplodeSpec: lambda spec, kept, numbered: Explode(spec),
    LatestSpec: lambda spec, kept, numbered: Latest(spec, kept.rows),
    JoinSpec: lambda spec, kept, numbered: Join(spec, kept.rows, kept.told),
    IntervalSpec: lambda spec, kept, numbered: IntervalJoin(
        spec, Changes(spec.right.changes, kept.told), kept.rows, kept.told
    ),
}


def _operation(operation: Operation, kept: _Kept, *, numbered: bool) -> tuple[Any, RowStep | None, Any]:
    spec = operation.spec
    return _OPERATORS[type(spec)](spec, kept, numbered), operation.step, getattr(spec, "right", None)


def _items(arrivals: Arrivals, right: Any) -> list[Any]:
    return [item for entry, items in arrivals if entry.logic is right for item in items]

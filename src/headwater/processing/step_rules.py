"""What the compiler asks of a step that is kept: which columns it reads, where its rows must lie, what runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from headwater.processing.field_types import FieldType
from headwater.processing.graph import EVENT_TIMES, FACT_TIMES, Graph, Port, Relation
from headwater.processing.steps import StageInput


class Given(NamedTuple):
    """What a step is compiled from: its name, the rows before it with the columns kept, the columns wanted of it."""

    name: str
    relation: Relation
    columns: tuple[str, ...]
    gives: tuple[str, ...]

    @property
    def types(self) -> tuple[FieldType, ...]:
        """The types of the columns kept."""
        return types_of(self.relation, self.columns)


class Made(NamedTuple):
    """A step compiled: what runs it (`chain` knows by its class), and the inputs that it reads beside the rows.

    `form` says all that decides how the state is laid out: where it changes, the state is rebuilt. `keeps` are the
    columns whose values stand in that state as they are, by their names for the author.
    """

    spec: Any
    form: str
    inputs: tuple[StageInput, ...] = ()
    keeps: tuple[tuple[str, FieldType], ...] = ()


class StepRule(NamedTuple):
    """How a kind of step is compiled.

    `taken` gives the columns that it reads, from those wanted of it; `home` the columns and the number of partitions
    that its rows must lie by (None where they may lie anyhow); `made` compiles it.
    """

    taken: Callable[[Graph, Any, Sequence[str]], tuple[str, ...]]
    home: Callable[[Graph, Any], tuple[tuple[str, ...], int]] | None
    made: Callable[[Graph, Any, Given], Made]


def types_of(relation: Relation, names: Sequence[str]) -> tuple[FieldType, ...]:
    """The types of columns."""
    return tuple(relation.fields[name] for name in names)


def times_of(port: Port) -> tuple[str, ...]:
    """The fields of identity and valid time of a product."""
    return EVENT_TIMES if port.shape == "event" else FACT_TIMES

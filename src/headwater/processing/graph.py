"""A flow as frozen steps, and what can be said of it before anything runs: types, keys, lineage, findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from headwater.naming import ProductName
from headwater.processing.custom_fold import CustomFold
from headwater.processing.expressions import Expression
from headwater.processing.field_types import FieldType
from headwater.processing.windows import Window

Shape = Literal["event", "fact"]
Field = tuple[str, str]
"""A field of an input: the product's name as text, and the field's."""

EVENT_TIMES = ("event_id", "occurred_at")
FACT_TIMES = ("valid_from", "valid_to")
HIDDEN = ("recorded_at", "kind", "revision")  # not for flows: what they say changes with every record


@dataclass(frozen=True, slots=True)
class Port:
    """A product as a flow sees it: the topic it reads or writes, its key and fields.

    `corrections` is false where the contract says that records are never corrected nor repeated. `grid` is true where
    any two intervals of a key that are known at one moment are equal or disjoint, and `moving` where they may give way
    to others, as sessions do. `accept_late` bounds, in microseconds, how long after its valid time a record may be
    recorded; what a product's contract says there holds for what its flow takes in.
    """

    product: ProductName
    major: int
    topic: str
    key: tuple[str, ...]
    partitions: int
    shape: Shape
    fields: Mapping[str, FieldType]
    corrections: bool = True
    grid: bool = False
    accept_late: int | None = None
    moving: bool = False

    def columns(self) -> dict[str, FieldType]:
        """The fields that a flow may read."""
        return {name: type_ for name, type_ in self.fields.items() if name not in HIDDEN}


@dataclass(frozen=True, slots=True)
class Measure:
    """One aggregate: `function` over a field; `field` is None for a count of rows.

    A fold of the author's own (`custom`) is over several `fields`.
    """

    function: Literal["count", "total", "minimum", "maximum", "average", "count_distinct", "first", "last", "fold"]
    field: str | None = None
    fields: tuple[str, ...] = ()
    custom: CustomFold | None = None

    def reads(self) -> tuple[str, ...]:
        """The fields that are measured."""
        return self.fields if self.field is None else (self.field,)


@dataclass(frozen=True, slots=True)
class Source:
    """An input of the flow, by its place among the inputs of `product.yaml`."""

    index: int
    line: int = 0


@dataclass(frozen=True, slots=True)
class Union:
    """Rows of several inputs as one; `named` is a field for the product that a row comes from ("" none)."""

    sources: tuple[Node, ...]
    named: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Map:
    """Fields computed. `kept` None keeps all others, else only these and the identity and times."""

    source: Node
    fields: tuple[tuple[str, Expression], ...]
    kept: tuple[str, ...] | None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Filter:
    """Only rows whose condition is true."""

    source: Node
    condition: Expression
    line: int = 0


@dataclass(frozen=True, slots=True)
class Explode:
    """One row for each element of an array; `take` None takes all fields of elements that are records.

    `into` names the column of elements that are none ("" the array's own), `position` one for their place ("" none).
    """

    source: Node
    field: str
    into: str
    take: tuple[tuple[str, str], ...] | None
    position: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A fold over key and interval: events by `occurred_at`, facts by `valid_from`."""

    source: Node
    by: tuple[str, ...]
    window: Window
    measures: tuple[tuple[str, Measure], ...]
    name: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Latest:
    """Events as the state of their key: what an event says holds until the next one of the key."""

    source: Node
    by: tuple[str, ...]
    name: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class JoinAsOf:
    """Left rows with the right's value as of their instant; `on` pairs a left field with a right key field."""

    source: Node
    right: Node
    on: tuple[tuple[str, str], ...]
    take: tuple[tuple[str, str], ...]
    name: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class JoinWithin:
    """Left events with each right event at most `distance` microseconds from them; a pair is an event."""

    source: Node
    right: Node
    on: tuple[tuple[str, str], ...]
    take: tuple[tuple[str, str], ...]
    distance: int
    name: str
    line: int = 0


Stateful = Aggregate | Latest | JoinAsOf | JoinWithin
"""Steps with state of their own, by which they are named."""

Step = Explode | Stateful
"""Steps that are not row by row: they work on what is known of a row's earlier version."""

Start = Source | Union
"""Where a line of steps begins."""

Node = Start | Map | Filter | Step


@dataclass(frozen=True, slots=True)
class Relation:
    """The rows at one point of a flow.

    `key` names, for each part of the key that partitions the rows, a field that still holds it ("" where none does).
    `lineage` says which input fields each field is made of. `pieces` is true of facts that override what was said of a
    part of their interval before: changes speak of such parts, and only a reader of the product sees the whole.
    `moving` is true of facts whose intervals may give way to others that overlap them, as sessions do.
    """

    fields: Mapping[str, FieldType]
    key: tuple[str, ...]
    shape: Shape
    grid: bool
    lineage: Mapping[str, frozenset[Field]]
    corrections: bool = True
    pieces: bool = False
    moving: bool = False

    @property
    def identity(self) -> tuple[str, ...]:
        """The fields that, with the key, tell one row from another."""
        return ("event_id",) if self.shape == "event" else FACT_TIMES

    @property
    def times(self) -> tuple[str, ...]:
        """The fields of valid time and identity, which no step may change."""
        return EVENT_TIMES if self.shape == "event" else FACT_TIMES

    @property
    def instant(self) -> str:
        """The field of valid time at which a row is joined and windowed."""
        return "occurred_at" if self.shape == "event" else "valid_from"


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole flow: its last step, its inputs in order, its output, and the file it was read from.

    `further` are the product's other outputs, each with its own last step; they share inputs and file.
    """

    root: Node
    inputs: tuple[Port, ...]
    output: Port
    file: str = "flow.py"
    further: tuple[Graph, ...] = ()

    @property
    def outputs(self) -> tuple[Graph, ...]:
        """The flow to each output, the first one first."""
        return (self, *self.further)


def step_name(graph: Graph, step: Step) -> str:
    """What state and topics of a step are named by: its own name, else for a join what it joins; "" if it has none."""
    if isinstance(step, Explode):
        return ""
    if step.name or isinstance(step, Aggregate | Latest):
        return step.name
    right = main_line(step.right)[0]
    assert isinstance(right, Source)
    product = graph.inputs[right.index].product
    return f"join_{product.domain}_{product.product}" + (f"_{product.output}" if product.output else "")


def main_line(node: Node) -> list[Node]:
    """The steps from the source or union to a node, along the left side of joins."""
    line = [node]
    while not isinstance(node, Start):
        node = node.source
        line.append(node)
    return line[::-1]


def before_of(node: Node) -> tuple[Node, ...]:
    """The steps whose rows a step takes, in the order of its rule's arguments."""
    if isinstance(node, Source):
        return ()
    if isinstance(node, Union):
        return node.sources
    return (node.source, node.right) if isinstance(node, JoinAsOf | JoinWithin) else (node.source,)


def stateful(node: Node) -> bool:
    """Whether anything is kept on the way to a step, so that the flow ticks."""
    return any(isinstance(step, Union | Step) for step in main_line(node))

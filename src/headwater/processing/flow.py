"""How a flow is written: streams, and the steps that make one from others. Building runs nothing.

`flow.py` of a product holds one function, from one stream for each input to the stream that is published:

    def flow(departures):
        return departures.aggregate(by=["origin"], window=tumbling("1h"), departures=count())
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headwater.errors import CallerFault
from headwater.processing.expressions import Expression, Literal
from headwater.processing.fold_admission import admitted
from headwater.processing.graph import (
    Aggregate,
    Explode,
    Filter,
    JoinAsOf,
    JoinWithin,
    Latest,
    Map,
    Measure,
    Node,
    Source,
    Union,
    main_line,
)
from headwater.processing.windows import Window
from headwater.timeline.instant import Duration


class Stream:
    """Records of a product, or what steps make of them. A value: each step gives a new one.

    >>> from headwater import col
    >>> late = source(0).filter(col("delay_minutes") > 15)
    >>> late
    Stream(filter <- input 0)
    """

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    def filter(self, condition: Expression) -> Stream:
        """Only rows whose condition is true; where it is null a row is left out, as in SQL.

        >>> from headwater import col
        >>> source(0).filter(col("origin") == "JFK")
        Stream(filter <- input 0)
        """
        if not isinstance(condition, Expression):
            raise _refused("filter takes an expression", 'for example .filter(col("delay_minutes") > 15)')
        return Stream(Filter(self.node, condition, _line()))

    def map(self, **fields: object) -> Stream:
        """Fields added or replaced; all others stay. Identity and times cannot be replaced.

        >>> from headwater import col
        >>> source(0).map(delay_hours=col("delay_minutes") / 60)
        Stream(map <- input 0)
        """
        return Stream(Map(self.node, _named(fields), None, _line()))

    def select(self, *names: str, **fields: object) -> Stream:
        """Only these fields, and those computed; identity and times always stay.

        >>> from headwater import col
        >>> source(0).select("origin", minutes=col("delay_minutes"))
        Stream(map <- input 0)
        """
        return Stream(Map(self.node, _named(fields), tuple(names), _line()))

    def explode(
        self, field: str, *, into: str = "", take: Mapping[str, str] | None = None, position: str = ""
    ) -> Stream:
        """One row for each element of an array; no row where it is empty or null.

        Elements become the column `into` (the array's own name unless said). Of elements that are records `take` names
        new fields by theirs; unless said, all of them under their own names. `position` names a column for the place,
        from 0. A row's `event_id` is its parent's with the position: a correction with a shorter array takes back the
        rest, and an element that stays as it is says nothing.

        >>> source(0).explode("legs", take={"leg_origin": "origin"}, position="leg")
        Stream(explode <- input 0)
        """
        if not isinstance(field, str) or not (take is None or (isinstance(take, Mapping) and take)):
            raise _refused("explode takes a field's name, and pairs of fields", 'for example .explode("legs")')
        pairs = None if take is None else tuple(take.items())
        return Stream(Explode(self.node, field, into, pairs, position, _line()))

    def union(self, *others: Stream, named: str = "") -> Stream:
        """The rows of this input and of others, which have the same fields.

        An event's `event_id` gets its product's name before it, so that two inputs never correct each other's events.
        `named` names a field for that product; facts need one, and it comes first in their key.

        >>> source(0).union(source(1), named="airline")
        Stream(union <- input 0, input 1)
        """
        if not others or not all(isinstance(other, Stream) for other in others) or not isinstance(named, str):
            raise _refused("union takes one or more other streams", "give the flow one parameter for each input")
        return Stream(Union((self.node, *(other.node for other in others)), named, _line()))

    def aggregate(self, *, by: Sequence[str], window: Window, name: str = "aggregate", **measures: Measure) -> Stream:
        """Fold rows by fields and intervals of valid time into facts with one field for each measure.

        A late, corrected or retracted row corrects every interval it was or is in. `name` names the step inside the
        mesh; two aggregates of one flow need different ones.

        >>> from headwater.processing.windows import tumbling
        >>> source(0).aggregate(by=["origin"], window=tumbling("1h"), departures=count(), delay=total("delay_minutes"))
        Stream(aggregate <- input 0)
        """
        if isinstance(by, str) or not by or not all(isinstance(field, str) for field in by):
            raise _refused("aggregate takes the names of one or more fields", 'for example by=["origin"]')
        if not isinstance(window, Window):
            raise _refused("aggregate takes a window", 'for example window=tumbling("1h")')
        if not measures or not all(isinstance(measure, Measure) for measure in measures.values()):
            raise _refused("aggregate takes one or more measures by name", "for example departures=count()")
        return Stream(Aggregate(self.node, tuple(by), window, tuple(measures.items()), name, _line()))

    def latest(self, *, by: Sequence[str], name: str = "latest") -> Stream:
        """Events as the state of a key: facts that hold from an event to the next one of the key, the last one open.

        Events are ordered by `occurred_at`, at one instant by `event_id`. One that comes late, is corrected or
        retracted alters the piece up to the next event, and only that is published. The facts have the events'
        fields, without `event_id`; they may be mapped and filtered, and what reads the product can join them.

        >>> source(0).latest(by=["tailnum"])
        Stream(latest <- input 0)
        """
        if isinstance(by, str) or not by or not all(isinstance(field, str) for field in by):
            raise _refused("latest takes the names of one or more fields", 'for example by=["tailnum"]')
        return Stream(Latest(self.node, tuple(by), name, _line()))

    def join_as_of(self, other: Stream, *, on: Mapping[str, str], take: Mapping[str, str], name: str = "") -> Stream:
        """Each row with fields of a fact that held at its instant, null where none did (a left join).

        `on` pairs this stream's fields with the other's key fields, `take` names new fields by the other's. Events are
        joined at `occurred_at`, facts at `valid_from`. When the other side is recorded late or corrected, results that
        it concerns are published again as corrections.

        >>> source(0).join_as_of(source(1), on={"origin": "origin"}, take={"wind_speed": "wind_speed"})
        Stream(join_as_of <- input 0)
        """
        if not isinstance(other, Stream):
            raise _refused("join_as_of takes another stream", "give the flow one parameter for each input")
        for pairs in (on, take):
            if not isinstance(pairs, Mapping) or not pairs:
                raise _refused(
                    "join_as_of pairs fields by name",
                    'for example on={"origin": "origin"}, take={"wind": "wind_speed"}',
                )
        return Stream(JoinAsOf(self.node, other.node, tuple(on.items()), tuple(take.items()), name, _line()))

    def join_within(
        self, other: Stream, *, within: str, on: Mapping[str, str], take: Mapping[str, str], name: str = ""
    ) -> Stream:
        """A row for each pair of events of both sides that occurred at most `within` of each other (an inner join).

        `on` pairs this stream's fields with the other's key fields, `take` names new fields by the other's, its
        `occurred_at` among them. A pair keeps this side's `occurred_at`; its `event_id` is made of both. Late events
        make their pairs when they come; corrections and retractions alter or take back each pair that they are in.

        >>> source(0).join_within(source(1), within="2h", on={"flight_id": "flight_id"}, take={"gate": "gate"})
        Stream(join_within <- input 0)
        """
        if not isinstance(other, Stream) or not isinstance(within, str):
            raise _refused("join_within takes another stream and a distance", 'for example within="2h"')
        for pairs in (on, take):
            if not isinstance(pairs, Mapping) or not pairs:
                raise _refused("join_within pairs fields by name", 'for example on={"flight_id": "flight_id"}')
        distance = int(Duration.parse(within))
        node = JoinWithin(self.node, other.node, tuple(on.items()), tuple(take.items()), distance, name, _line())
        return Stream(node)

    def __repr__(self) -> str:
        words = {
            Filter: "filter",
            Map: "map",
            Explode: "explode",
            Aggregate: "aggregate",
            Latest: "latest",
            JoinAsOf: "join_as_of",
            JoinWithin: "join_within",
        }
        line = main_line(self.node)
        steps = [words[type(node)] for node in line[:0:-1]]
        start = line[0]
        if isinstance(start, Union):
            steps.append("union")
        starts = [main_line(node)[0] for node in (start.sources if isinstance(start, Union) else (start,))]
        inputs = ", ".join(f"input {node.index}" if isinstance(node, Source) else "a union" for node in starts)
        return f"Stream({' <- '.join([*steps, inputs])})"


def source(index: int) -> Stream:
    """The stream of an input, by its place in `product.yaml`."""
    return Stream(Source(index))


def count(field: str | None = None) -> Measure:
    """How many rows, or of how many the field is not null."""
    return Measure("count", field)


def total(field: str) -> Measure:
    """The sum of a field; exact, so on integers and decimals only. Nulls do not count; only nulls make null."""
    return Measure("total", field)


def minimum(field: str) -> Measure:
    """The least value of a field that is not null."""
    return Measure("minimum", field)


def maximum(field: str) -> Measure:
    """The greatest value of a field that is not null."""
    return Measure("maximum", field)


def average(field: str) -> Measure:
    """The mean of a field: of integers a double, of decimals a decimal of the same places, half to even."""
    return Measure("average", field)


def count_distinct(field: str) -> Measure:
    """How many different values a field has; exact, for each value is kept with how often it is in. Nulls do not count.

    >>> count_distinct("tailnum").function
    'count_distinct'
    """
    return Measure("count_distinct", field)


def first(field: str) -> Measure:
    """The field's value in the first row that has one: by valid time, then by event_id (facts: by key).

    The order in which rows were recorded does not count, so that a late row may become the first.

    >>> first("gate").function
    'first'
    """
    return Measure("first", field)


def last(field: str) -> Measure:
    """The field's value in the last row that has one, in the same order as `first`.

    >>> last("gate").function
    'last'
    """
    return Measure("last", field)


def fold(
    initial: Mapping[str, object],
    add: Callable[..., Mapping[str, object]],
    remove: Callable[..., Mapping[str, object]],
    result: Callable[[dict[str, Any]], object],
    *,
    of: Sequence[str],
    state: Mapping[str, object],
    type: object,
    version: int = 1,
) -> Measure:
    """A measure of your own: a state that `add` puts a row's fields into, `remove` takes them out of, and its result.

    `state` names the state's fields with their Avro types, `type` is the result's. `add` and `remove` are called with
    the state, as a dict, and the values of the fields `of`, and give the new state; `result` is called with the state.
    They are pure, and the order of rows must not matter. That `remove` undoes `add` is tried on generated rows
    whenever the flow is checked. Raise `version` when a change of the functions makes kept states mean something else.

    >>> def add(state, minutes, seats):
    ...     return {"minutes": state["minutes"] + minutes * seats, "seats": state["seats"] + seats}
    >>> def remove(state, minutes, seats):
    ...     return {"minutes": state["minutes"] - minutes * seats, "seats": state["seats"] - seats}
    >>> fold(
    ...     {"minutes": 0, "seats": 0}, add, remove, lambda state: state["minutes"] // (state["seats"] or 1),
    ...     of=["delay_minutes", "seats"], state={"minutes": "long", "seats": "long"}, type="long",
    ... ).function
    'fold'
    """
    if isinstance(of, str) or not of or not all(isinstance(name, str) for name in of):
        raise CallerFault(
            "a fold is of one or more fields", code="HW-P122", hint='for example of=["delay_minutes", "seats"]'
        )
    functions = {"add": add, "remove": remove, "result": result}
    custom = replace(admitted(functions, initial, state, type), version=version)
    return Measure("fold", fields=tuple(of), custom=custom)


def _named(fields: Mapping[str, object]) -> tuple[tuple[str, Expression], ...]:
    return tuple((name, value if isinstance(value, Expression) else Literal(value)) for name, value in fields.items())


def _line() -> int:
    # The line of flow.py that called the step: a finding has to name it.
    return sys._getframe(2).f_lineno


def _refused(message: str, hint: str) -> CallerFault:
    return CallerFault(message, code="HW-P016", detail=f"line {sys._getframe(2).f_lineno}", hint=hint)

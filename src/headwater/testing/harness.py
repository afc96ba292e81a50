"""A flow under test, in this process: give it records, move time, read what comes out. Nothing runs in the background.

harness = Harness(flow, inputs=[departures], output=punctuality)
harness.at("2013-01-05T14:06:00Z").give(departures, flight_id="F1", ...)
harness.records()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from headwater import naming
from headwater.naming import ProductName
from headwater.processing.compiler import compile_plan
from headwater.processing.field_types import from_avro
from headwater.processing.flow import source
from headwater.processing.graph import Graph, Port
from headwater.processing.runners.memory import MemoryRunner
from headwater.processing.steps import Plan
from headwater.timeline.instant import Duration, Instant
from headwater.timeline.tick import TICK_DEFAULT

_INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
_TIMES: Mapping[str, Mapping[str, Any]] = {
    "event": {"event_id": "string", "occurred_at": _INSTANT},
    "fact": {"valid_from": _INSTANT, "valid_to": ["null", _INSTANT]},
}


def product(
    name: str,
    *,
    shape: Literal["event", "fact"],
    key: Sequence[str],
    fields: Mapping[str, Any],
    partitions: int = 4,
    grid: bool = False,
) -> Port:
    """A product to test with: its fields as Avro types, without the platform's, which are added.

    >>> product("fleet.aircraft", shape="fact", key=["tailnum"], fields={"tailnum": "string", "seats": "int"}).topic
    'fleet.aircraft.v1'
    """
    parsed = ProductName.parse(name)
    types = {**fields, **_TIMES[shape], "recorded_at": _INSTANT, "kind": "string", "revision": "long"}
    return Port(
        product=parsed,
        major=1,
        topic=naming.topic(parsed, 1),
        key=tuple(key),
        partitions=partitions,
        shape=shape,
        fields={field: from_avro(type_) for field, type_ in types.items()},
        grid=grid,
    )


def plan_of(flow: Callable[..., Any], inputs: Sequence[Port], output: Port | Mapping[str, Port], *, tick: int) -> Plan:
    """The plan of a flow between products; `tick` in microseconds.

    Of a product with several outputs `output` names each as the flow does; the first is the product's own.
    """
    made = flow(*(source(index) for index in range(len(inputs))))
    streams, outputs = ({"": made}, {"": output}) if isinstance(output, Port) else (made, output)
    first, *further = [Graph(streams[name].node, tuple(inputs), port) for name, port in outputs.items()]
    return compile_plan(replace(first, further=tuple(further)), tick=tick)


class Harness:
    """A flow between products, with a clock of recorded time that moves only when it is told to.

    >>> from headwater.processing.flow import count
    >>> from headwater.processing.windows import tumbling
    >>> departures = product(
    ...     "flights.departures", shape="event", key=["flight_id"], fields={"flight_id": "string", "origin": "string"}
    ... )
    >>> counted = {"origin": "string", "flights": "long"}
    >>> hourly = product("airports.hourly", shape="fact", key=["origin"], fields=counted)
    >>> def flow(stream):
    ...     return stream.aggregate(by=["origin"], window=tumbling("1h"), flights=count())
    >>> harness = Harness(flow, inputs=[departures], output=hourly)
    >>> harness.at("2013-01-05T14:06:00.030Z").give(
    ...     departures, event_id="F1", flight_id="F1", origin="JFK", occurred_at="2013-01-05T14:05:00Z"
    ... )
    >>> [(r["origin"], r["flights"], r["kind"], Instant(r["recorded_at"]).iso()) for r in harness.records()]
    [('JFK', 1, 'assert', '2013-01-05T14:06:00.099999Z')]
    """

    def __init__(
        self,
        flow: Callable[..., Any],
        *,
        inputs: Sequence[Port],
        output: Port | Mapping[str, Port],
        tick: str = TICK_DEFAULT.text(),
    ) -> None:
        """`output` is a mapping for a flow with several outputs, named as it names them, the first one first."""
        self._inputs = tuple(inputs)
        self._outputs = {} if isinstance(output, Port) else output
        self._tick = int(Duration.parse(tick))
        self._now = 0
        self.runner = MemoryRunner(plan_of(flow, inputs, output, tick=self._tick))

    def at(self, recorded_at: str | int) -> Harness:
        """Move recorded time: what is given next is recorded then. It never goes back."""
        moment = _instant(recorded_at)
        assert moment >= self._now, "recorded time never goes back"
        self._now = moment
        return self

    def give(self, to: Port, **fields: Any) -> None:
        """A record of an input, recorded now: assert, revision 1 unless said; times are ISO 8601 text or microseconds.

        A fact's `valid_to` is open unless said.
        """
        record: dict[str, Any] = {"kind": "assert", "revision": 1, "recorded_at": self._now}
        if to.shape == "fact":
            record["valid_to"] = None
        for name, value in fields.items():
            instant = to.fields[name].kind == "instant" and value is not None
            record[name] = _instant(value) if instant else value
        for name, type_ in to.fields.items():
            if name not in record:
                assert type_.nullable, f"{to.product} needs the field {name}"
                record[name] = None
        self.runner.write(to.topic, [record[name] for name in to.key], record)

    def settle(self) -> None:
        """Let every tick up to now close: no input will bring anything that was recorded in them."""
        end = (self._now // self._tick + 1) * self._tick - 1
        for port in self._inputs:
            self.runner.mark(port.topic, end)
        self._now = end + 1
        self.runner.run()

    def records(self, output: str = "") -> list[dict[str, Any]]:
        """Everything that was published, in order of recorded time; what waits is settled first.

        `output` names one of several; left out, it is the first.
        """
        self.settle()
        topic = self._outputs[output].topic if output else ""
        return sorted((dict(record) for record in self.runner.records(topic)), key=lambda record: record["recorded_at"])


def _instant(value: str | int) -> int:
    return int(Instant.parse(value)) if isinstance(value, str) else value

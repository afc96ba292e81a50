"""The ordered list of everything the four services report. Pure: it reads the data set, and writes nothing.

    for report in Replay(rows=20_000, seed=2013): ...

`rows` takes the first so many flights in order of their first report, cancelled ones among them, and every other source
up to the same moment. What was reported about these is then replayed to its end, corrections and withdrawals that came
after the moment too. So the newest state of the flights replayed is what the data set says, less what was withdrawn.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest
from typing import Literal, NamedTuple

from examples.services import accidents, data, records
from examples.services.data import Flight, parse_flight
from examples.services.records import Record

AIRCRAFT, WEATHER = "fleet.aircraft", "weather.observations"
DEPARTURES, ARRIVALS = "flights.departures", "flights.arrivals"
SOURCES = (AIRCRAFT, WEATHER, DEPARTURES, ARRIVALS)  # at one moment, reported in this order
EVENTS = (DEPARTURES, ARRIVALS)
SEED_DEFAULT = 2013  # the year of the data
NEVER = 2**63 - 1

Kind = Literal["assert", "correct", "retract"]


@dataclass(frozen=True, slots=True)
class Report:
    """One report of a service: a row of its own table, and a row of the outbox.

    `record` is the payload without the platform's fields. `event_id` is None for facts: their identity is key and
    interval. `reported_at` is the moment in 2013 at which the service would have written it.
    """

    product: str
    identity: str
    reported_at: int
    kind: Kind
    revision: int
    event_id: str | None
    record: Record


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A flight that never departs: departure control keeps it, and no event comes of it."""

    flight: Flight
    reported_at: int


class _Step(NamedTuple):
    """A report to come, small enough to sort a million of them. Revision 0 is a cancellation."""

    reported_at: int
    source: int
    row: int
    revision: int
    kind: Kind
    erring: bool


class Replay:
    """All reports of so many flights and their companions, in order of report; the same for the same seed.

    `moment` is when the last of the flights was first reported, `counts` how many reports of each product there are,
    `len()` how many things there are to do, cancellations included.
    """

    def __init__(self, rows: int | None = None, seed: int = SEED_DEFAULT) -> None:
        self._seed = seed
        self._flights = data.flight_lines()
        self._weather = list(data.weather_rows())
        self._aircraft = list(data.aircraft_rows())
        steps = self._departures(rows)
        steps += self._arrivals()
        steps += self._facts(WEATHER, self._weather)
        steps += self._facts(AIRCRAFT, self._aircraft)
        self._steps = sorted(steps)
        self._forget_others()
        self.counts = Counter(SOURCES[step.source] for step in self._steps if step.revision)
        self.corrections = Counter(SOURCES[step.source] for step in self._steps if step.revision > 1)

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Report | Cancellation]:
        for step in self._steps:
            yield self._report(step)

    def _departures(self, rows: int | None) -> list[_Step]:
        """The steps of the first `rows` flights; sets `moment`, and keeps when each flight arrived."""
        lots: list[tuple[_Step, accidents.Accident]] = []
        self._arrived_at = array("q")
        first = self._first_departures(lots)
        chosen = sorted(first) if rows is None else nsmallest(rows, first)
        everything = len(chosen) == len(self._flights)
        self.moment = NEVER if everything else chosen[-1].reported_at if chosen else -1
        last = chosen[-1] if chosen else _Step(-1, 0, 0, 0, "assert", False)
        return chosen + [later for step, lot in lots if step <= last for later in _later(step, lot)]

    def _first_departures(self, lots: list[tuple[_Step, accidents.Accident]]) -> Iterator[_Step]:
        """The first report of every flight, one by one; those that something happens to go to `lots` as well."""
        for row, line in enumerate(self._flights):
            flight = parse_flight(line)
            self._arrived_at.append(flight.arrived_at or NEVER)
            departed_at = flight.departed_at
            if departed_at is None:
                yield _Step(flight.scheduled_at, SOURCES.index(DEPARTURES), row, 0, "assert", False)
                continue
            lot = accidents.accident(self._seed, DEPARTURES, flight.flight_id)
            step = _first(departed_at, DEPARTURES, row, lot)
            if lot is not accidents.NONE:
                lots.append((step, lot))
            yield step

    def _arrivals(self) -> list[_Step]:
        steps = []
        for row, arrived_at in enumerate(self._arrived_at):
            if arrived_at > self.moment or arrived_at == NEVER:
                continue
            identity = parse_flight(self._flights[row]).flight_id
            steps += self._steps_of(arrived_at, ARRIVALS, row, identity)
        return steps

    def _facts(self, product: str, rows: list[dict[str, str]]) -> list[_Step]:
        steps = []
        for row, values in enumerate(rows):
            known_at = records.YEAR_START if product == AIRCRAFT else data.instant(values["time_hour"])
            if known_at <= self.moment:
                steps += self._steps_of(known_at, product, row, _identity(product, values))
        return steps

    def _steps_of(self, known_at: int, product: str, row: int, identity: str) -> list[_Step]:
        lot = accidents.accident(self._seed, product, identity)
        step = _first(known_at, product, row, lot)
        if step.reported_at > self.moment:
            return []
        return [step] if lot is accidents.NONE else [step, *_later(step, lot)]

    def _forget_others(self) -> None:
        """Keep the lines that are still needed: of a short replay few of a third of a million."""
        needed = {step.row for step in self._steps if SOURCES[step.source] in EVENTS}
        self._flights = [line if row in needed else "" for row, line in enumerate(self._flights)]

    def _report(self, step: _Step) -> Report | Cancellation:
        product = SOURCES[step.source]
        if product in EVENTS:
            flight = parse_flight(self._flights[step.row])
            if step.revision == 0:
                return Cancellation(flight, step.reported_at)
            identity = flight.flight_id
            build = records.departure if product == DEPARTURES else records.arrival
            error = accidents.accident(self._seed, product, identity).error if step.erring else 0
            record, event_id = build(flight, error), accidents.event_id(product, identity)
        else:
            values = (self._weather if product == WEATHER else self._aircraft)[step.row]
            identity = _identity(product, values)
            error = accidents.accident(self._seed, product, identity).error if step.erring else 0
            record = records.observation(values, error) if product == WEATHER else records.aircraft(values, error)
            event_id = None
        return Report(product, identity, step.reported_at, step.kind, step.revision, event_id, record)


def _identity(product: str, values: dict[str, str]) -> str:
    return values["tailnum"] if product == AIRCRAFT else f"{values['origin']} {values['time_hour']}"


def _first(known_at: int, product: str, row: int, lot: accidents.Accident) -> _Step:
    erring = lot.corrected_after is not None
    return _Step(known_at + lot.late, SOURCES.index(product), row, 1, "assert", erring)


def _later(first: _Step, lot: accidents.Accident) -> Iterator[_Step]:
    """What follows a first report: a correction that tells the truth, a withdrawal of what was said last."""
    revision = 1
    if lot.corrected_after is not None:
        revision += 1
        yield first._replace(
            reported_at=first.reported_at + lot.corrected_after, revision=revision, kind="correct", erring=False
        )
    if lot.withdrawn_after is not None:
        yield first._replace(
            reported_at=first.reported_at + lot.withdrawn_after, revision=revision + 1, kind="retract", erring=False
        )

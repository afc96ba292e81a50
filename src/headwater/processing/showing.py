"""How a stage's partitions stand, said about once a second to whoever looks: status, metrics, other workers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from headwater.ports.record import TopicPartition
from headwater.processing.holding import Holding
from headwater.processing.steps import Plan, Stage
from headwater.processing.surroundings import Account, Place, Surroundings

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Partitions:
    """Those of a worker: `owned` are served, of `awaiting` so many percent of the state are there, `next` is read next.

    `others` tells whether the worker keeps copies of the partitions that are not its own.
    """

    owned: Collection[int]
    awaiting: Collection[int]
    percents: Mapping[int, int]
    next: Mapping[TopicPartition, int]
    others: bool


class Showing:
    """Keeps an account's places, and announces what is held, where that has changed."""

    def __init__(self, plan: Plan, stage: Stage, around: Surroundings, account: Account) -> None:
        self._names = {"product": str(plan.product), "stage": stage.name}
        self._stage, self._around, self._account = stage, around, account
        self._topics = {stage_input.topic for stage_input in stage.inputs}
        self._committed_at: dict[int, int] = {}
        self._shown = 0
        self._held = (0, 0, 0)

    def committed(self, numbers: Iterable[int]) -> None:
        """These partitions have committed just now."""
        self._committed_at.update(dict.fromkeys(numbers, int(self._around.clock.now())))

    def at_once(self) -> None:
        """Do not wait for the second to be over: something has changed that people wait for."""
        self._shown = 0

    @property
    def due(self) -> bool:
        """Whether a second has passed."""
        return self._around.clock.monotonic() >= self._shown

    def show(self, partitions: Partitions, holding: Holding, *, paused: bool) -> None:
        """Say it."""
        self._shown = self._around.clock.monotonic() + MICROSECONDS
        held = (holding.bytes, holding.records, len(holding.paused))
        if held != self._held:
            self._held = held
            numbers = dict(zip(("bytes", "records", "paused"), held, strict=True))
            self._around.hooks.announce("stage.holding", **self._names, **numbers)
        offsets: dict[int, dict[str, int]] = {}
        for place, offset in partitions.next.items():
            if place.topic in self._topics:
                offsets.setdefault(place.partition, {})[place.topic] = offset
        state: Literal["paused", "running"] = "paused" if paused else "running"
        places = {
            number: Place(state, 100, self._committed_at.get(number, 0), offsets.get(number, {}))
            for number in partitions.owned
        }
        for number in partitions.awaiting:
            places[number] = Place("restoring", partitions.percents.get(number, 0), 0, offsets.get(number, {}))
        self._account.places = places
        if partitions.others:
            self._account.copies = [number for number in range(self._stage.partitions) if number not in places]

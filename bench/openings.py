"""Seeded persons and the auctions that they open, after Nexmark: one person to three auctions, three quarters of the
auctions by the hottest of the last hundred persons, the others by one of the last thousand.

Recorded densely, ten thousand a second, so that a window of ten seconds holds 25,000 sign-ups. A person's sign-up comes
before their first auction, in both times; the two are recorded within five seconds, in no order of valid time.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bench.orders import RECORDED_FROM, TICK_MICROSECONDS, event_id

PER_TICK = 1_000
AUCTIONS_TO_PERSON = 3
HOT_SELLERS = 100
ACTIVE = 1_000
CATEGORIES = range(10, 15)
GREATEST_DELAY = 5_000_000
STATES = ("AZ", "CA", "ID", "OR", "WA", "WY")
CITIES = (
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
)
FIRST = ("Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter")
LAST = ("Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris")


class Person(NamedTuple):
    """Who signed up, and since when."""

    event_id: str
    person: str
    full_name: str
    city: str
    state: str
    occurred_at: int
    recorded_at: int


class Opening(NamedTuple):
    """An auction, when it is opened."""

    event_id: str
    seller: str
    auction: str
    category: int
    occurred_at: int
    recorded_at: int


@dataclass(frozen=True, slots=True)
class OpeningLog:
    """A log of persons and openings that can be read again and again.

    >>> log = OpeningLog(events=1_000)
    >>> sum(isinstance(one, Person) for one in log.all()), len({one.person for one in log.persons()})
    (250, 250)
    """

    events: int
    seed: int = 1

    def all(self) -> Iterator[Person | Opening]:
        """Both kinds, in recorded order; a fourth of the events are persons."""
        chance = random.Random(f"{self.seed}/openings")
        since: deque[int] = deque(maxlen=ACTIVE)  # when the last persons signed up
        newest = -1
        for number in range(self.events):
            bits = chance.getrandbits(128)
            recorded_at = RECORDED_FROM + number * (TICK_MICROSECONDS // PER_TICK)
            occurred_at = recorded_at - (bits >> 64) % GREATEST_DELAY
            if number % (1 + AUCTIONS_TO_PERSON) == 0:
                newest += 1
                since.append(occurred_at)
                yield _person(bits, newest, occurred_at, recorded_at)
                continue
            hot = bits & 3 != 0
            seller = newest - newest % HOT_SELLERS if hot else newest - (bits >> 2) % len(since)
            opened = max(occurred_at, since[seller - newest - 1] + 1)
            category = CATEGORIES[(bits >> 32) % len(CATEGORIES)]
            yield Opening(event_id(bits), f"p{seller}", f"a{number}", category, opened, recorded_at)

    def persons(self) -> Iterator[Person]:
        """The persons alone."""
        return (one for one in self.all() if isinstance(one, Person))

    def openings(self) -> Iterator[Opening]:
        """The openings alone."""
        return (one for one in self.all() if isinstance(one, Opening))

    @property
    def through(self) -> int:
        """All that is recorded at or before this instant is in the log."""
        return RECORDED_FROM + (-(-self.events // PER_TICK) + 1) * TICK_MICROSECONDS - 1


def _person(bits: int, number: int, occurred_at: int, recorded_at: int) -> Person:
    name = f"{FIRST[(bits >> 8) % len(FIRST)]} {LAST[(bits >> 16) % len(LAST)]}"
    city, state = CITIES[(bits >> 24) % len(CITIES)], STATES[(bits >> 32) % len(STATES)]
    return Person(event_id(bits), f"p{number}", name, city, state, occurred_at, recorded_at)

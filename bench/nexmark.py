"""Seeded bids and auctions after Nexmark (https://github.com/nexmark/nexmark): three auctions to 46 bids, half of the
bids on the hottest of the last hundred auctions, prices spread over six powers of ten.

Auctions and bids are valid and recorded over ten days. For Nexmark-Late some bids were placed ten minutes to three days
before the mesh knew of them, some are corrected and some taken back.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bench.orders import LATE_FROM, LATE_SPAN, RECORDED_FROM, TICK_MICROSECONDS, event_id

TICKS_OF_TEN_DAYS = 8_640_000
BIDS_PER_TICK = 1_000
AUCTIONS_TO_BIDS = (3, 46)
HOT_AUCTIONS = 100
BIDDERS = 20_000
CHANNELS = ("Google", "Facebook", "Baidu", "Apple")
CATEGORIES = range(10, 15)
CORRECTED, RETRACTED = 5, 1  # per mille
GREATEST_DELAY = 20_000  # bids between one and its change


class Auction(NamedTuple):
    """An auction, open from `valid_from` on."""

    auction: str
    valid_from: int
    seller: str
    category: int
    reserve: int
    recorded_at: int
    kind: str = "assert"
    revision: int = 1
    valid_to: None = None


class Bid(NamedTuple):
    """A bid, as the service wrote it, and when the mesh first knew."""

    event_id: str
    auction: str
    auction_number: int
    bidder: str
    price: int
    channel: str
    url: str
    occurred_at: int
    recorded_at: int
    kind: str = "assert"
    revision: int = 1


@dataclass(frozen=True, slots=True)
class NexmarkLog:
    """A log that can be read again and again.

    >>> log = NexmarkLog(bids=2_000, late_per_mille=20, amended=True)
    >>> sum(bid.kind == "assert" for bid in log.all_bids()), len({one.auction for one in log.auctions()})
    (2000, 131)
    """

    bids: int
    late_per_mille: int = 0
    amended: bool = False
    seed: int = 1

    def auctions(self) -> Iterator[Auction]:
        """Auctions in recorded order; each is there before the first bid on it."""
        chance = random.Random(f"{self.seed}/auctions")
        for number in range(self._opened(self.bids) + 1):
            at = self._recorded_at(max(0, -(-number * AUCTIONS_TO_BIDS[1] // AUCTIONS_TO_BIDS[0]) - 1))
            start = at - at % TICK_MICROSECONDS
            seller = f"p{chance.randrange(BIDDERS)}"
            # Open before any bid that is late.
            since = RECORDED_FROM - 30 * 86_400_000_000
            yield Auction(_name(number), since, seller, chance.choice(CATEGORIES), chance.randrange(10_000), start)

    def all_bids(self) -> Iterator[Bid]:
        """Bids, and what became of them, in recorded order."""
        chance = random.Random(f"{self.seed}/bids")
        due: list[tuple[int, int, Bid]] = []
        last = RECORDED_FROM
        for number in range(self.bids):
            bid = self._bid(chance, number)
            last = bid.recorded_at
            yield bid
            draw = chance.randrange(1_000)
            if self.amended and draw < CORRECTED + RETRACTED:
                later = number + chance.randint(1, GREATEST_DELAY)
                heapq.heappush(due, (later, number, _changed(bid, draw)))
            while due and due[0][0] <= number:
                yield heapq.heappop(due)[2]._replace(recorded_at=last)
        for _, _, change in sorted(due):
            yield change._replace(recorded_at=last)

    @property
    def through(self) -> int:
        """All that is recorded at or before this instant is in the log."""
        ticks = -(-self.bids // BIDS_PER_TICK)
        return RECORDED_FROM + (ticks * self._apart + 1) * TICK_MICROSECONDS - 1

    @property
    def _apart(self) -> int:
        return max(1, TICKS_OF_TEN_DAYS // -(-self.bids // BIDS_PER_TICK))

    def _recorded_at(self, number: int) -> int:
        tick, place = divmod(number, BIDS_PER_TICK)
        return RECORDED_FROM + tick * self._apart * TICK_MICROSECONDS + place * (TICK_MICROSECONDS // BIDS_PER_TICK)

    @staticmethod
    def _opened(bids: int) -> int:
        return bids * AUCTIONS_TO_BIDS[0] // AUCTIONS_TO_BIDS[1]

    def _bid(self, chance: random.Random, number: int) -> Bid:
        bits = chance.getrandbits(128)
        newest = self._opened(number)
        auction = newest - newest % HOT_AUCTIONS if bits & 1 else max(0, newest - (bits >> 1) % HOT_AUCTIONS)
        recorded_at = self._recorded_at(number)
        late = (bits >> 96) % 1_000 < self.late_per_mille
        behind = int(LATE_FROM * LATE_SPAN ** chance.random()) if late else (bits >> 64) % 60_000_000
        return Bid(
            event_id=event_id(bits),
            auction=_name(auction),
            auction_number=auction,
            bidder=f"p{(bits >> 16) % BIDDERS}",
            price=int(10 ** (chance.random() * 6) * 100),
            channel=CHANNELS[(bits >> 40) % len(CHANNELS)],
            url=f"https://www.nexmark.com/item.htm?query={(bits >> 48) % 1_000}",
            occurred_at=recorded_at - behind,
            recorded_at=recorded_at,
        )


def _name(number: int) -> str:
    return f"a{number}"


def _changed(bid: Bid, draw: int) -> Bid:
    if draw < RETRACTED:
        return bid._replace(kind="retract", revision=2)
    return bid._replace(kind="correct", revision=2, price=bid.price + 1)

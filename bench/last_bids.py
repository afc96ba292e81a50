"""W5's query 18, the last bid of each bidder on each auction: a state over valid time, judged whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from confluent_kafka import Message

from bench.history import Values
from bench.nexmark import NexmarkLog
from bench.oracle import Verdict
from bench.orders import tick_end
from bench.systems.avro_reader import AvroReader

FRAME_BYTES = 5
RETRACT = 2
OPEN = 1 << 62


class Piece(NamedTuple):
    """A price that was a bidder's last on an auction from `start` until `end`."""

    start: int
    end: int
    price: int


class Said(NamedTuple):
    """A record of the product as it was read back; `price` is None where it takes its interval back."""

    pair: str
    start: int
    end: int
    price: int | None
    revision: int


class LastBids:
    """What holds of each pair at the end, from all bids in the order of their instants."""

    def __init__(self, log: NexmarkLog) -> None:
        placed: dict[str, list[tuple[int, str, int]]] = {}
        for bid in log.all_bids():
            placed.setdefault(f"{bid.bidder}@{bid.auction}", []).append((bid.occurred_at, bid.event_id, bid.price))
        self.pieces = {pair: _pieces(sorted(bids)) for pair, bids in placed.items()}

    def judge(self, said: Iterable[Said]) -> Verdict:
        """Each record overrides what was said of its interval; at the end the pieces must be those of the bids."""
        timelines: dict[str, list[Piece]] = {}
        revisions: Counter[tuple[str, int, int]] = Counter()
        count = 0
        for one in said:
            count += 1
            revisions[one[:3]] += 1
            if one.revision != revisions[one[:3]]:
                return Verdict(f"output {count}: revisions do not count 1, 2, 3 ...", count)
            timelines[one.pair] = list(_overridden(timelines.get(one.pair, ()), one))
        right = sum(_joined(timelines.get(pair, ())) == _joined(pieces) for pair, pieces in self.pieces.items())
        wrong = len(self.pieces) - right + len(set(timelines) - set(self.pieces))
        share = right / max(len(self.pieces), 1)
        return Verdict(f"{wrong} pairs are not as their bids say" if wrong else "", count, share)


def read(messages: Iterable[Message]) -> Iterator[Said]:
    """Headwater's `nexmark.last_bids`."""
    for message in messages:
        reader = AvroReader(message.value() or b"", FRAME_BYTES)
        bidder, auction, start = reader.text(), reader.text(), reader.long()
        end = reader.long() if reader.long() else OPEN
        price, _, kind, revision = reader.long(), reader.long(), reader.long(), reader.long()
        if not reader.ended:
            raise ValueError("a last bid has bytes too many")
        yield Said(f"{bidder}@{auction}", start, end, None if kind == RETRACT else price, revision)


def newest(log: NexmarkLog) -> Iterator[tuple[str, Values, int]]:
    """What each pair's last bid is after each bid, for systems that keep no interval of it."""
    last: dict[str, tuple[int, str, int]] = {}
    for bid in log.all_bids():
        pair = f"{bid.bidder}@{bid.auction}"
        last[pair] = max(last.get(pair, (0, "", 0)), (bid.occurred_at, bid.event_id, bid.price))
        occurred_at, _, price = last[pair]
        yield pair, (price, occurred_at), tick_end(bid.recorded_at)


def read_newest(reader: AvroReader) -> tuple[str, Values]:
    """A pair and its last bid."""
    bidder, auction = reader.text(), reader.text()
    return f"{bidder}@{auction}", (reader.long(), reader.long())


def _pieces(bids: Sequence[tuple[int, str, int]]) -> list[Piece]:
    ends = [at for at, _, _ in bids[1:]] + [OPEN]
    return [Piece(at, end, price) for (at, _, price), end in zip(bids, ends, strict=True) if at < end]


def _overridden(pieces: Iterable[Piece], one: Said) -> Iterator[Piece]:
    """In order, without what `one` overrides, and with what it says."""
    left = [Piece(piece.start, min(piece.end, one.start), piece.price) for piece in pieces if piece.start < one.start]
    rest = [Piece(max(piece.start, one.end), piece.end, piece.price) for piece in pieces if piece.end > one.end]
    said = [] if one.price is None else [Piece(one.start, one.end, one.price)]
    return iter([*left, *said, *rest])


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Neighbours that say the same as one."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].end == piece.start and joined[-1].price == piece.price:
            joined[-1] = joined[-1]._replace(end=piece.end)
        else:
            joined.append(piece)
    return joined

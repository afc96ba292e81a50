"""Rows = published + in quarantine + discarded, proven for a window by count and digest, each difference named.

The table is read as it was at one moment. Rows of it that the relay has not come to yet are waiting, not lost: the
relay's position says so where it is ahead of that moment, else the log behind the position (`behind.py`).
Memory is bounded: topics are read as a stream and asked for in parts; ids are compared only in buckets that differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from headwater.errors import CallerFault, Unreachable
from headwater.outbox.accounts import PLACES, Line, ends_of, lines
from headwater.outbox.book import BUCKETS, Book, Ledger, Log, Tally, Window, hash_of
from headwater.outbox.position import Position
from headwater.outbox.source import OutboxSource
from headwater.outbox.starting import read_position
from headwater.ports.protocol import Broker
from headwater.ports.record import TopicPartition

_CHUNK = 2_000  # ids that the database is asked for at once
_IDS_LIMIT = 200_000  # that are compared one by one: some 50 MB
_AGAIN = 200_000  # microseconds between two looks at a relay that is behind
_LATE = 60_000_000  # a record may bear a time before its row's, by a clock that was set; not by more than a minute


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not where it should be, once: missing, twice, or a record whose row is not in the table."""

    row_id: str
    what: str
    where: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """Both sides of the account. `places` counts rows by where they are; `named` holds some of the differences."""

    source: str
    window: Window
    rows: Tally = field(default_factory=Tally)
    found: Tally = field(default_factory=Tally)
    places: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PLACES, 0))
    strangers: int = 0
    differences: int = 0
    named: list[Difference] = field(default_factory=list)
    complete: bool = True  # False: there are more differences than were counted

    @property
    def equal(self) -> bool:
        """Whether every row is accounted for, once."""
        return not self.differences and (self.rows.count, self.rows.digest) == (self.found.count, self.found.digest)


def reconcile(
    source: OutboxSource,
    ledger: Ledger,
    broker: Broker,
    window: Window,
    *,
    sleep: Callable[[int], None],
    patience: int = 30_000_000,
    limit: int = 100,
    rowless: bool = False,
) -> Report:
    """Reconcile one source. `limit` bounds how many differences are named; `patience` (microseconds) how long to wait
    for a relay that is behind. With `rowless`, records without a row are no differences: logical messages have none.

    Raises `Unreachable` HW-O111 where a relay that runs stays behind, `CallerFault` HW-O112 where there is no position.
    """
    report, book = Report(source.name, window), ledger.book
    ends, waiting = _settled(source, ledger.log, broker, sleep, patience)
    rows = book.totals(window)
    for tally in rows.values():
        report.rows.add(tally.count, tally.total)
    account = _Account(report, book, limit=limit, rowless=rowless)
    account.take(_waiting_lines(waiting))
    account.take(lines(source.products, broker, ends))
    differing = [b for b in range(BUCKETS) if _pair(rows.get(b)) != _pair(account.buckets.get(b))]
    if differing:
        again = lines(source.products, broker, ends)
        _name(report, book, differing, rows, account.buckets, again, waiting, limit)
    return report


def _settled(
    source: OutboxSource, log: Log, broker: Broker, sleep: Callable[[int], None], patience: int
) -> tuple[dict[str, Mapping[TopicPartition, int]], list[str]]:
    """Ends of the topics and the rows that wait, both of one moment of the relay's."""
    while True:
        position = _position(broker, source.name)
        if log.passed(position):
            return ends_of(source.products, broker), []
        waiting = log.waiting(position)
        if waiting is not None:
            rows = list(waiting)
            ends = ends_of(source.products, broker)
            if _position(broker, source.name) == position:
                return ends, rows
        if patience <= 0:
            raise Unreachable(
                f"{source.name}: the relay is behind the table, and reads",
                code="HW-O111",
                detail="which rows it has not come to yet is known once it has, or once it is stopped",
                hint="try again, or stop the relay first; where Debezium reads the outbox: headwater connector status",
            )
        sleep(_AGAIN)
        patience -= _AGAIN


def _position(broker: Broker, source: str) -> Position:
    position = read_position(broker, source)
    if position is None:
        raise CallerFault(
            f"{source}: there is no position, so nobody knows what the relay has come to",
            code="HW-O112",
            hint="headwater apply; where rows were published before, see headwater relay repair",
        )
    return position


class _Account:
    """Sums lines into buckets, for the rows of the window."""

    def __init__(self, report: Report, book: Book, *, limit: int, rowless: bool) -> None:
        self.buckets: dict[int, Tally] = {}
        self._report, self._book, self._limit, self._rowless = report, book, limit, rowless
        self._oldest = book.oldest()

    def take(self, some: Iterable[Line]) -> None:
        window = self._report.window
        since = None if window.since is None else window.since - _LATE
        wanted = (line for line in some if since is None or line.moment >= since or not line.moment)
        while chunk := list(islice(wanted, _CHUNK)):
            known = self._book.known(sorted({line.row_id for line in chunk}), window)
            for line in chunk:
                side = known.get(line.row_id)
                if side == "in":
                    self._add(line)
                elif side is None:
                    self._stranger(line)

    def _add(self, line: Line) -> None:
        number = hash_of(line.row_id)
        self.buckets.setdefault(number % BUCKETS, Tally()).add(line.change, number * line.change)
        self._report.found.add(line.change, number * line.change)
        self._report.places[line.place] += line.change

    def _stranger(self, line: Line) -> None:
        """A record whose row is not in the table. What retention has taken of it is older than its oldest row."""
        if line.change < 1 or not self._report.window.holds(line.moment):
            return
        if self._oldest is None or line.moment < self._oldest - _LATE:
            return
        self._report.strangers += 1
        if not self._rowless:
            self._report.differences += 1
            if len(self._report.named) < self._limit:
                self._report.named.append(Difference(line.row_id, "not in the table", (line.where,)))


def _name(
    report: Report,
    book: Book,
    differing: Sequence[int],
    rows: Mapping[int, Tally],
    found: Mapping[int, Tally],
    again: Iterator[Line],
    waiting: Sequence[str],
    limit: int,
) -> None:
    """Compare the ids of the buckets that differ, as many as memory has room for."""
    chosen: set[int] = set()
    size = 0
    for bucket in differing:
        size += _pair(rows.get(bucket))[0] + _pair(found.get(bucket))[0]
        if chosen and size > _IDS_LIMIT:
            report.complete = False
            break
        chosen.add(bucket)
    should = Counter(book.ids(report.window, chosen))
    counts: Counter[str] = Counter(row_id for row_id in waiting if row_id in should)
    places: dict[str, list[str]] = {}
    for line in again:
        if line.row_id in should:
            counts[line.row_id] += line.change
            places.setdefault(line.row_id, []).append(line.where)
    for row_id, expected in should.items():
        if counts[row_id] != expected:
            report.differences += 1
            if len(report.named) < limit:
                what = "in the table, and nowhere else" if counts[row_id] < expected else f"{counts[row_id]} times"
                report.named.append(Difference(row_id, what, tuple(places.get(row_id, ()))))


def _waiting_lines(rows: Iterable[str]) -> Iterator[Line]:
    return (Line(row_id, "waiting", 1, "behind the relay's position", 0) for row_id in rows)


def _pair(tally: Tally | None) -> tuple[int, int]:
    return (tally.count, tally.total) if tally is not None else (0, 0)

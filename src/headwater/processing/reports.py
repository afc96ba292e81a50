"""What each worker says of its partitions, in the control topic of its product: the newest word of each stage and slot.

A word is one record with the key of its stage and slot, which compaction keeps the newest of. It is written where it
has changed, every two seconds at most, and every ten at least: a worker that is silent for longer is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, cast

from headwater import naming
from headwater.errors import HeadwaterError
from headwater.naming import ProductName
from headwater.ports.protocol import Broker, TransactionalSink
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import Message
from headwater.processing.commands import OPEN_MS, REPORT_KEY, fields_of
from headwater.processing.steps import Plan
from headwater.processing.surroundings import Account, Place
from headwater.timeline.clock import Clock

CHANGED_MICROSECONDS = 2_000_000
SAME_MICROSECONDS = 10_000_000
FRESH_MICROSECONDS = 30_000_000  # a worker whose last word is older is taken for gone
STATES = ("running", "paused", "restoring")


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker said of its stage: `at` by its clock, in microseconds; `code` and `reason` where it has failed."""

    stage: str
    slot: int
    at: int
    places: Mapping[int, Place] = field(default_factory=dict)
    copies: Sequence[int] = ()
    code: str = ""
    reason: str = ""

    def encode(self) -> bytes:
        """The value of its record."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()


def decode(value: bytes | None) -> Report | None:
    """The report that a record's value holds; None where it is none."""
    held = fields_of(value)
    if held is None:
        return None
    try:
        places = {int(number): _place(about) for number, about in cast("dict[str, object]", held["places"]).items()}
        copies = tuple(_count(number) for number in cast("list[object]", held["copies"]))
        return Report(
            _text(held["stage"]), _count(held["slot"]), _count(held["at"]), places, copies,
            _text(held["code"]), _text(held["reason"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def claimed(broker: Broker, plan: Plan, stage: str, *, but: int, now: int) -> set[int]:
    """The partitions of a stage that workers of other slots have said lately, by `now`, to have."""
    newest: dict[bytes, Report | None] = {}
    places = places_of(broker, naming.control_topic(plan.product, plan.major))
    for item in read_to_end(broker, broker.starts(places)):
        if isinstance(item, Message) and (key := item.key or b"").startswith(REPORT_KEY):
            newest[key] = decode(item.value)
    mine = [report for report in newest.values() if report is not None and report.stage == stage and report.slot != but]
    return {number for report in mine if now - report.at < FRESH_MICROSECONDS for number in report.places}


class Reports:
    """Writes the words of one process. `accounts` are those of its stages, by product and stage."""

    def __init__(
        self, plans: Sequence[Plan], accounts: Mapping[tuple[ProductName, str], Account], broker: Broker, *,
        clock: Clock, slot: int,
    ) -> None:  # fmt: skip
        self._topics = {plan.product: naming.control_topic(plan.product, plan.major) for plan in plans}
        self._accounts = accounts
        self._broker = broker
        self._clock = clock
        self._slot = slot
        self._id = naming.control_transactional_id(plans[0].product, plans[0].major, str(slot))
        self._sink: TransactionalSink | None = None
        self._said: dict[tuple[ProductName, str], Report] = {}
        self._next = 0
        self.failed: dict[ProductName, tuple[str, str]] = {}

    def step(self, *, last: bool = False) -> None:
        """Say what has changed, if it is time; with `last` that everything is let go of. A broker that is away is no
        matter: what was not said is said next time.
        """
        now = self._clock.monotonic()
        if now < self._next and not last:
            return
        self._next = now + CHANGED_MICROSECONDS
        wall = int(self._clock.now())
        due = {}
        for (product, stage), account in self._accounts.items():
            report = self._report(product, stage, account, wall, last=last)
            before = self._said.get((product, stage))
            if before is None or wall - before.at >= SAME_MICROSECONDS or replace(before, at=wall) != report:
                due[product, stage] = report
        if not due:
            return
        try:
            self._write(due)
        except HeadwaterError:
            self.close()
        else:
            self._said.update(due)

    def close(self) -> None:
        """Let go."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _report(self, product: ProductName, stage: str, account: Account, wall: int, *, last: bool) -> Report:
        code, why = self.failed.get(product, ("", ""))
        reason = "".join(letter if letter.isprintable() else " " for letter in why)
        if last or code:
            return Report(stage, self._slot, wall, code=code, reason=reason)
        return Report(stage, self._slot, wall, account.places, account.copies)

    def _write(self, due: Mapping[tuple[ProductName, str], Report]) -> None:
        if self._sink is None:
            self._sink = self._broker.sink(self._id, timeout_ms=OPEN_MS)
            self._sink.open()
        self._sink.begin()
        for (product, stage), report in due.items():
            key = REPORT_KEY + f"{stage}/{self._slot}".encode()
            timestamp = max(0, report.at) // 1_000
            self._sink.send(self._topics[product], key, report.encode(), timestamp=timestamp, partition=0)
        self._sink.commit()


def _place(held: object) -> Place:
    about = cast("dict[str, object]", held)
    state = about["state"]
    if state not in STATES:
        raise ValueError(state)
    offsets = {_text(topic): _count(offset) for topic, offset in cast("dict[str, object]", about["offsets"]).items()}
    kind = cast("Literal['running', 'paused', 'restoring']", state)
    return Place(kind, _count(about["percent"]), _count(about["committed_at"]), offsets)


def _count(held: object) -> int:
    if type(held) is not int or not 0 <= held < 1 << 62:
        raise ValueError("not a count")
    return held


def _text(held: object) -> str:
    if not isinstance(held, str) or not held.isprintable():
        raise TypeError("not a text to be shown")
    return held

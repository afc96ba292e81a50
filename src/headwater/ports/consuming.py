"""The idempotent consumer: a product's records as updates, each taken in once, together with what it causes.

Offsets and versions lie in an `Inbox` beside the consumer's effects, and not in Kafka: so a crash between the two is
not possible. Any doubt drops inbox and reader and begins again from what the inbox holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

from headwater.errors import CallerFault, HeadwaterError, Misfit
from headwater.hooks import Hooks
from headwater.mesh.products import ResolvedProduct
from headwater.ports.inbox import Inbox, Kept, Reached
from headwater.ports.persistence import BACKOFF_FIRST, pause, persist
from headwater.ports.protocol import Broker
from headwater.ports.reading import places_of
from headwater.ports.record import EndOfPartition, Message, TopicPartition
from headwater.ports.serde import RecordReader
from headwater.schemas.registry import Registry
from headwater.timeline.clock import Clock

Record = Mapping[str, Any]
POLL_SECONDS = 0.2  # bounds how late a stop is noticed
AT_ONCE = 500  # records of a transaction
FORGETS_EVERY, FORGETS_AT_ONCE = 600_000_000, 5_000  # microseconds; versions of a transaction


@dataclass(frozen=True, slots=True)
class Update:
    """What a record changes. `before` and `after` are versions of one event, or of one fact of a key and interval.

    `before` is None where nothing was known of it, `after` where it is retracted. `record` is the record as it was
    published, with its kind, revision and both times. Instants are microseconds since 1970.
    """

    before: Record | None
    after: Record | None
    record: Record


Handle = Callable[[Update, Any], object]


@dataclass(frozen=True, slots=True)
class Effects:
    """What updates cause, and the inbox beside it: `inbox` makes one for each life, `handle` is called within its
    transactions, with what they give it to write with."""

    inbox: Callable[[], Inbox]
    handle: Handle


@dataclass(frozen=True, slots=True)
class ConsumeOptions:
    """Where a consumer begins that has never read (`beginning` or `end`), and what it does at a value that cannot be
    decoded (`stop` or `skip`); `until_end` ends it where nothing more is committed. `remember` says how long a version
    is kept: `all` for good, `retained` as long as its record is in the topic."""

    start: Literal["beginning", "end"] = "beginning"
    unreadable: Literal["stop", "skip"] = "stop"
    until_end: bool = False
    remember: Literal["all", "retained"] = "all"


class Consumer:
    """Reads a product for one consumer."""

    def __init__(
        self,
        name: str,
        product: ResolvedProduct,
        broker: Broker,
        registry: Registry,
        effects: Effects,
        *,
        clock: Clock,
        hooks: Hooks | None = None,
        options: ConsumeOptions | None = None,
    ) -> None:
        self._name = name
        self._topic = product.output.topic
        self._key = product.output.output.key
        self._event = product.output.shape == "event"
        self._broker = broker
        self._records = RecordReader(registry, subject=product.output.subject, schema=product.output.schema)
        self._effects = effects
        self._clock = clock
        self._hooks = hooks or Hooks()
        self._options = options or ConsumeOptions()
        self._moved = False  # since the last doubt
        self._forgot: int | None = None  # when, by the monotonic clock

    def run(self, stopping: Callable[[], bool]) -> None:
        """Take in updates until `stopping` says so, or to the end. Raises what waiting does not mend, and what `handle`
        raises: the transaction is rolled back, and the next run begins with the same update."""

        def waiting(error: HeadwaterError) -> None:
            self._hooks.announce("consumer.waiting", consumer=self._name, code=error.code, reason=error.message)

        persist(lambda: self._serve(stopping), stopping, clock=self._clock, moved=lambda: self._moved, waiting=waiting)

    def _serve(self, stopping: Callable[[], bool]) -> None:
        self._moved = False
        with ExitStack() as held:
            inbox = self._effects.inbox()
            held.callback(inbox.close)
            if not self._leased(inbox, stopping):
                return
            identity, start = self._start(inbox)
            reader = self._broker.reader(start)
            held.callback(reader.close)
            left = set(start)
            while not stopping():
                items = reader.poll(AT_ONCE, POLL_SECONDS)
                messages = [item for item in items if isinstance(item, Message)]
                if messages:
                    self._take(inbox, messages, identity)
                    self._moved = True
                left -= {TopicPartition(one.topic, one.partition) for one in items if isinstance(one, EndOfPartition)}
                if not left and self._options.remember == "retained":
                    self._forget(inbox, list(start))
                if self._options.until_end and not left:
                    return

    def _forget(self, inbox: Inbox, places: Sequence[TopicPartition]) -> None:
        """What retention has removed from the topic. Only at its end: a repeat that is still to be read would come back
        as new."""
        now = self._clock.monotonic()
        if self._forgot is not None and now - self._forgot < FORGETS_EVERY:
            return
        self._forgot, starts, versions = now, self._broker.starts(places), 0
        while True:
            with inbox.transaction() as transaction:
                gone = transaction.forget(starts, FORGETS_AT_ONCE)
            versions += gone
            if gone < FORGETS_AT_ONCE:
                break
        if versions:
            self._hooks.announce("consumer.forgot", consumer=self._name, versions=versions)

    def _start(self, inbox: Inbox) -> tuple[str, Mapping[TopicPartition, int]]:
        """The topic's identity, and where to read each partition from."""
        places = places_of(self._broker, self._topic)
        identity = self._broker.identity(self._topic)
        reached, starts = inbox.positions(), self._broker.starts(places)
        for place, one in reached.items():
            if one.topic_identity != identity:
                raise _made_anew(self._name, self._topic)
            if one.offset < starts.get(place, 0):
                raise _removed(self._name, place, starts[place] - one.offset)
        first = starts if self._options.start == "beginning" else self._broker.ends(places)
        fresh = {place: Reached(first[place], identity) for place in places if place not in reached}
        if (
            fresh
        ):  # kept before anything is read: else a consumer that begins at the end would begin anew with each start
            with inbox.transaction() as transaction:
                transaction.reach(fresh)
        return identity, {place: (reached.get(place) or fresh[place]).offset for place in places}

    def _take(self, inbox: Inbox, messages: Sequence[Message], identity: str) -> None:
        """One transaction; where a value cannot be decoded and stops the consumer, of what lies before it."""
        taken, refused = self._decoded(messages)
        if taken:
            records = [(self._own(record), message, record) for message, record in taken if record is not None]
            with inbox.transaction() as transaction:
                known = dict(transaction.known({own for own, _, _ in records}))
                changed: dict[bytes, Kept] = {}
                updates = 0
                for own, message, record in records:
                    kept = known.get(own)
                    if kept is None or record["revision"] > kept.revision:
                        self._effects.handle(self._update(kept, record), transaction.effects)
                        value = None if record["kind"] == "retract" else message.value
                        lies_at = message.partition, message.offset
                        known[own] = changed[own] = Kept(record["revision"], value, lies_at)
                        updates += 1
                    else:  # known already, and kept as long as this repeat of it is in the topic
                        lies_at = message.partition, message.offset
                        known[own] = changed[own] = replace(kept, lies_at=lies_at)
                transaction.keep(changed)
                transaction.reach(
                    {TopicPartition(one.topic, one.partition): Reached(one.offset + 1, identity) for one, _ in taken}
                )
            self._hooks.announce(
                "consumer.committed",
                consumer=self._name,
                records=len(records),
                repeats=len(records) - updates,
                unreadable=len(taken) - len(records),
            )
        if refused is not None:
            raise refused

    def _update(self, kept: Kept | None, record: Record) -> Update:
        before = None if kept is None or kept.value is None else self._records.read(kept.value)
        return Update(before, None if record["kind"] == "retract" else record, record)

    def _decoded(self, messages: Sequence[Message]) -> tuple[list[tuple[Message, Record | None]], CallerFault | None]:
        """Messages with their records, None where one is passed over; and what stops the consumer behind them."""
        taken: list[tuple[Message, Record | None]] = []
        for message in messages:
            try:
                taken.append((message, self._records.read(message.value)))
            except Misfit as misfit:
                if self._options.unreadable == "stop":
                    return taken, _unreadable(self._name, message, misfit)
                taken.append((message, None))
        return taken, None

    def _own(self, record: Record) -> bytes:
        """What tells an event or a fact from all others."""
        names = ("event_id",) if self._event else (*self._key, "valid_from", "valid_to")
        return json.dumps([record[name] for name in names], ensure_ascii=False, separators=(",", ":")).encode()

    def _leased(self, inbox: Inbox, stopping: Callable[[], bool]) -> bool:
        said = False
        while not inbox.acquire():
            if stopping():
                return False
            if not said:
                said = True
                reason = "another process reads for this consumer; this one stands by"
                self._hooks.announce("consumer.waiting", consumer=self._name, code="HW-K080", reason=reason)
            pause(BACKOFF_FIRST, stopping, clock=self._clock)
        return True


def _made_anew(name: str, topic: str) -> CallerFault:
    return CallerFault(
        f"{name}: the topic {topic} is not the one that was read so far",
        code="HW-K081",
        detail="it was made anew, or another cluster has one of its name: the offsets that are kept mean nothing in it",
        hint="undo what the consumer did so far and take another consumer name; or point it at the cluster it has read",
    )


def _removed(name: str, place: TopicPartition, count: int) -> CallerFault:
    return CallerFault(
        f"{name}: {count} records of {place.topic}, partition {place.partition}, were removed before they were read",
        code="HW-K082",
        detail="retention removes what is old, read or not; going on would leave out updates",
        hint="undo what the consumer did, take another consumer name, and run it more often than retention is long",
    )


def _unreadable(name: str, message: Message, misfit: Misfit) -> CallerFault:
    return CallerFault(
        f"{name}: {message.topic}, partition {message.partition}, offset {message.offset} cannot be decoded",
        code="HW-K083",
        detail=f"{misfit.message} [{misfit.code}]; all that lies before it is taken in",
        hint='tell the owner of the product; unreadable="skip" passes over such values',
    )

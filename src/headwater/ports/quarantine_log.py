"""What a quarantine topic says: entries, what became of each, and which are still open.

An entry has an origin (`quarantine.topic`); a resolution has none, and names its entry by the header `id`. Both lie in
one partition, the entry first, so that reading a partition in order is enough to know each entry's state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from headwater.ports.protocol import Broker
from headwater.ports.quarantine import PARKS, PREFIX, Outcome, resolution_headers
from headwater.ports.reading import read_to_end
from headwater.ports.record import Header, Message, TopicPartition

State = Literal["open", "parked", "repaired", "released", "discarded"]
_STATES: Mapping[str, State] = {
    "parked": "parked",
    "refused": "open",
    "repaired": "repaired",
    "released": "released",
    "discarded": "discarded",
}


@dataclass(slots=True)
class Entry:
    """A record in quarantine. `facts` are the `quarantine.` headers, of the entry and of what became of it."""

    id: str
    topic: str
    partition: int
    offset: int
    key: bytes
    timestamp: int  # milliseconds: when it went aside
    state: State
    parks: bool  # it holds back its key
    from_outbox: bool
    facts: dict[str, str] = field(default_factory=dict)
    resolved_at: int = 0  # milliseconds

    @property
    def sequence(self) -> int:
        """Its place in the queue of its key; 0 where it was not held."""
        return int(self.facts.get("sequence", 0))

    def follow(self, resolution: Resolution) -> None:
        """Take in what became of it."""
        outcome = resolution.outcome
        if "refusal" in resolution.facts:
            return  # a command that was not obeyed
        if outcome in ("refused", "unparked"):
            self.parks = outcome == "refused"
        if outcome in _STATES:
            self.state = _STATES[outcome]
            self.resolved_at = resolution.timestamp if self.state not in ("open", "parked") else 0
        self.facts |= {name: value for name, value in resolution.facts.items() if name != "resolution"}


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of an entry."""

    id: str
    outcome: str
    timestamp: int
    facts: Mapping[str, str]


def read_letter(message: Message) -> Entry | Resolution:
    """A record of a quarantine topic as one of the two.

    >>> headers = [("id", b"7"), ("quarantine.resolution", b"discarded"), ("quarantine.by", b"ann")]
    >>> read_letter(Message("a.b.v1.quarantine", 0, 5, b"k", None, 9, headers)).outcome
    'discarded'
    """
    facts = _facts(message.headers)
    if "topic" not in facts:
        named = dict(message.headers)
        return Resolution(_text(named.get("id", b"")), facts.get("resolution", ""), message.timestamp, facts)
    from_outbox = facts.get("stage") == "relay"
    identity = _text(dict(message.headers).get("id", b"")) if from_outbox else ""
    state = _STATES.get(facts.get("resolution", ""), "open")
    return Entry(
        id=identity or f"{facts['topic']}/{facts.get('partition', '')}/{facts.get('offset', '')}",
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key or b"",
        timestamp=message.timestamp,
        state=state,
        parks=PARKS.removeprefix(PREFIX) in facts,
        from_outbox=from_outbox,
        facts=facts,
        resolved_at=message.timestamp if state == "discarded" else 0,
    )


def committed(
    broker: Broker,
    topic: str,
    *,
    start: Mapping[TopicPartition, int] | None = None,
    ends: Mapping[TopicPartition, int] | None = None,
) -> Iterator[Message]:
    """The committed records of a topic up to its present end, each partition in order; or within `start` and `ends`.

    Raises as `read_to_end` does.
    """
    if start is None:
        described = broker.describe([topic])
        places = [TopicPartition(topic, number) for number in range(described[topic].partitions)]
        start = broker.starts(places)
    if ends is None:
        ends = broker.ends(list(start))
    return (item for item in read_to_end(broker, start, ends) if isinstance(item, Message))


def entries(broker: Broker, topic: str, *, resolved: bool = False) -> list[Entry]:
    """The entries of a quarantine topic, oldest first; only those that are open or parked, unless `resolved`."""
    found: dict[str, Entry] = {}
    for message in committed(broker, topic):
        letter = read_letter(message)
        if isinstance(letter, Entry):
            if letter.state != "discarded" or resolved:
                found[letter.id] = letter
            continue
        entry = found.get(letter.id)
        if entry is not None:
            entry.follow(letter)
            if not resolved and entry.state not in ("open", "parked"):
                del found[letter.id]
    return sorted(found.values(), key=lambda entry: (entry.timestamp, entry.partition, entry.offset))


def resolve(broker: Broker, entry: Entry, outcome: Outcome, *, writer: str, at: int, by: str, reason: str) -> None:
    """Write what became of an entry of a derived product, as the transactional id `writer`; `at` in milliseconds.

    Never for a source's product: its relay is the only one that writes there.
    """
    sink = broker.sink(writer)
    try:
        sink.open()
        sink.begin()
        headers = resolution_headers(entry.id, outcome, by=by, reason=reason)
        sink.send(entry.topic, entry.key, None, timestamp=at, partition=entry.partition, headers=headers)
        sink.flush()
        sink.commit()
    finally:
        sink.close()


def _facts(headers: Sequence[Header]) -> dict[str, str]:
    """The `quarantine.` headers that were added last: an original may itself carry some."""
    names = [name for name, _ in headers]
    first = len(names) - 1 - names[::-1].index(PREFIX + "topic") if PREFIX + "topic" in names else 0
    return {name.removeprefix(PREFIX): _text(value) for name, value in headers[first:] if name.startswith(PREFIX)}


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")

"""Which keys of a `park-key` product are held back, folded from its quarantine topic: keys and offsets, no rows.

A key is parked by an entry that did not fit (its head). Later rows of the key are entries too, held, and numbered in
their order. When the head is gone they are dealt with one after the other; each leaves a resolution with its number,
so that after a crash in the middle the topic itself says where to go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from headwater.outbox.pgoutput import Row
from headwater.ports.quarantine_log import Entry, Resolution, read_letter
from headwater.ports.record import Message

_DEALT = ("released", "refused")


@dataclass(slots=True)
class ParkedKey:
    """One key that is held back. Without a head it is being released."""

    head: str | None
    place: int  # nothing of this key's queue lies before this offset of its partition
    last: int = 0  # the number of the newest held row
    dealt: int = 0  # the number of the last that was released, or became the head in its turn
    passed: dict[str, int] = field(default_factory=dict)  # held rows that were discarded: passed over in their turn
    fresh: list[tuple[int, Row]] = field(default_factory=list)  # held by the transaction that is being made

    @property
    def left(self) -> int:
        """How many rows are still held."""
        return self.last - self.dealt - len(self.passed)

    @property
    def releasing(self) -> bool:
        """Whether rows are held though nothing holds them back."""
        return self.head is None

    def deal(self, number: int) -> None:
        """The row of this number is dealt with, and so are those before it."""
        self.dealt = max(self.dealt, number)
        if self.passed:
            self.passed = {identity: at for identity, at in self.passed.items() if at > self.dealt}


class ParkedKeys:
    """The parked keys of one product."""

    def __init__(self) -> None:
        self.keys: dict[bytes, ParkedKey] = {}

    def park(self, key: bytes, head: str, place: int) -> None:
        """A row of this key did not fit: hold back what follows."""
        self.keys[key] = ParkedKey(head, place)

    def done(self, key: bytes) -> None:
        """Forget a key that has nothing held and nothing that holds it."""
        parked = self.keys.get(key)
        if parked is not None and parked.head is None and parked.left <= 0:
            del self.keys[key]

    def fold(self, messages: Iterable[Message]) -> ParkedKeys:
        """Take in a quarantine topic, each partition in its order."""
        for message in messages:
            letter = read_letter(message)
            if isinstance(letter, Entry):
                self._entry(letter)
            else:
                self._resolution(message.key or b"", letter)
        return self

    def _entry(self, entry: Entry) -> None:
        if entry.state == "parked":
            # A queue whose beginning retention has taken is still a queue: go on from what is there.
            parked = self.keys.setdefault(entry.key, ParkedKey(None, entry.offset, dealt=entry.sequence - 1))
            parked.last = entry.sequence
        elif entry.parks:
            self.park(entry.key, entry.id, entry.offset)

    def _resolution(self, key: bytes, resolution: Resolution) -> None:
        parked = self.keys.get(key)
        if parked is None:
            return
        number = int(resolution.facts.get("sequence", 0))
        outcome = resolution.outcome
        if resolution.id == parked.head:
            if outcome in ("repaired", "released", "discarded", "unparked"):
                parked.head = None
        elif outcome in _DEALT and number:
            parked.deal(number)
            if outcome == "refused":
                parked.head = resolution.id
        elif outcome == "discarded" and number > parked.dealt:
            parked.passed[resolution.id] = number
        self.done(key)

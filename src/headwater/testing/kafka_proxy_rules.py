"""Rules of a `KafkaProxy` as data: which frames of the protocol, the how-manieth of them, and what is done to it.

"The third EndTxn of transactional id X: hold it until the next transaction has added its first partition, and reset
the client" is

>>> rule = Rule(
...     "stale",
...     Frames("EndTxn", transactional_id="X"),
...     Hold(Seen(Frames("AddPartitionsToTxn", "answer", transactional_id="X")), cut="reset"),
...     nth=3,
... )

A rule counts frames from when it is added, or from the strike of the rule that `after` names.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headwater.testing.kafka_proxy_frame import Frame

Cut = Literal["", "reset", "close"]


@dataclass(frozen=True, slots=True)
class Frames:
    """Which frames: requests or answers of an API; what is left empty may be anything.

    >>> Frames("EndTxn", committed=True).match(Frame("request", "EndTxn", 1, 7, "c", b"", "X", (), False))
    False
    """

    api: str
    side: Literal["request", "answer"] = "request"
    transactional_id: str = ""
    topic: str = ""
    client_id: str = ""
    committed: bool | None = None

    def match(self, frame: Frame) -> bool:
        """Whether a frame is one of these."""
        return (
            frame.api == self.api
            and frame.side == self.side
            and self.transactional_id in ("", frame.transactional_id)
            and (not self.topic or self.topic in frame.topics)
            and self.client_id in ("", frame.client_id)
            and self.committed in (None, frame.committed)
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """The moment when the nth of these frames has reached the proxy, counted from the strike."""

    frames: Frames
    nth: int = 1


@dataclass(frozen=True, slots=True)
class Answered:
    """The moment when the broker has answered what the rule of this name struck."""

    rule: str


@dataclass(frozen=True, slots=True)
class Elapsed:
    """So many milliseconds after the strike, drawn evenly between the two by the proxy's seed."""

    least_ms: float
    most_ms: float


Moment = Seen | Answered | Elapsed


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the frame back until a moment, then pass it on; what follows on its connection waits behind it.

    With `cut` the client loses its connection at once, by reset or by an orderly close, while the broker's side stays
    open for the frame that is held. A delay is a hold until `Elapsed`.
    """

    until: Moment
    cut: Cut = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """Never pass it on. Of an answer: the broker did it, the client does not learn."""

    cut: Cut = ""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Pass it on twice. The client gets one answer to a request that went twice."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Pass it on after the next frame of the same connection and direction."""


@dataclass(frozen=True, slots=True)
class Sever:
    """Do not pass it on, and end the connection on both sides."""

    cut: Literal["reset", "close"] = "reset"


@dataclass(frozen=True, slots=True)
class Freeze:
    """From this frame on nothing passes on the connection, in no direction, though both sides think it is open."""


Deed = Hold | Drop | Duplicate | Swap | Sever | Freeze


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: strikes the `nth` frame of these, and `times - 1` after it."""

    name: str
    frames: Frames
    do: Deed
    nth: int = 1
    times: int = 1
    after: str = ""

    def __post_init__(self) -> None:
        assert self.nth >= 1 and self.times >= 1, "frames are counted from 1"
        assert self.after != self.name, "a rule does not follow itself"


class RuleBook:
    """Counts frames and says which rule strikes. The same seed and the same frames give the same strikes.

    >>> book = RuleBook([Rule("second", Frames("EndTxn"), Drop(), nth=2)], seed=7)
    >>> frame = Frame("request", "EndTxn", 1, 7, "c", b"", "X", (), True)
    >>> [rule and rule.name for rule in (book.strike(frame), book.strike(frame), book.strike(frame))]
    [None, 'second', None]
    """

    def __init__(self, rules: Sequence[Rule] = (), *, seed: int) -> None:
        self._rules: list[Rule] = []
        self._counted: dict[str, int] = {}
        self._chance = random.Random(seed)
        self.struck: set[str] = set()
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> None:
        """One rule more, counting from now."""
        assert rule.name not in self._counted, f"two rules are called {rule.name}"
        self._rules.append(rule)
        self._counted[rule.name] = 0

    def strike(self, frame: Frame) -> Rule | None:
        """The rule that strikes this frame: the first, if there are more. All that match count it."""
        found = None
        armed = [rule for rule in self._rules if not rule.after or rule.after in self.struck]
        for rule in armed:
            if rule.frames.match(frame):
                self._counted[rule.name] += 1
                if found is None and 0 <= self._counted[rule.name] - rule.nth < rule.times:
                    found = rule
        if found is not None:
            self.struck.add(found.name)
        return found

    def seconds(self, moment: Elapsed) -> float:
        """How long, drawn now."""
        return self._chance.uniform(moment.least_ms, moment.most_ms) / 1_000

"""A product made anew from its inputs, held against what its topic says already: repeats are left out, to the byte.

What a flow makes follows from its inputs alone, so a state that is gone, or kept in a form that is no longer read, can
be built again from the inputs' first record on. The records that come of it are those of the topic, one by one in each
partition, until the topic is told to its end; what follows is new. One that differs would unsay what was published.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from headwater.errors import Fault, Unreachable
from headwater.ports.protocol import Broker, Reader
from headwater.ports.record import Message, TopicPartition

SAID_KEY = b"\0said"  # in a state that is being made anew: how far its product's log has been held against it
_AT_ONCE = 5_000
_SECONDS = 0.5
_SILENT_POLLS_LIMIT = 120


def said_key(output: str) -> bytes:
    """Where a state keeps how far an output's log has been held against it; `output` is empty for the first one.

    >>> said_key(""), said_key("alerts")
    (b'\\x00said', b'\\x00said.alerts')
    """
    return SAID_KEY + b"." + output.encode() if output else SAID_KEY


class Replay:
    """One partition of a product's log, compared record by record with what is made anew. One thread uses it."""

    def __init__(self, broker: Broker, place: TopicPartition, first: int, end: int) -> None:
        self._place = place
        self._position = first
        self._end = end
        self._reader: Reader | None = broker.reader({place: first}) if first < end else None
        self._ahead: deque[Message] = deque()

    @property
    def over(self) -> bool:
        """Whether the log holds nothing more to be repeated."""
        return self._next() is None

    @property
    def said(self) -> bytes | None:
        """What a restart needs to go on from here; None once it is over."""
        return None if self.over else b"%d" % self._position

    def covers(self, key: bytes, value: bytes) -> bool:
        """Whether the log says this already; False from its end on. Raises `Fault` HW-P170 where it says otherwise."""
        message = self._next()
        if message is None:
            return False
        if message.key != key or message.value != value:
            raise Fault(
                f"{self._place.topic}: made anew, partition {self._place.partition} differs from offset "
                f"{message.offset} on",
                code="HW-P170",
                detail="the flow, its schema or its inputs are not those that the log came from; nothing was written",
                hint="give the product a new major version, or take the change of its flow back and reset it again",
            )
        self._ahead.popleft()
        self._position = message.offset + 1
        return True

    def close(self) -> None:
        """Let go."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _next(self) -> Message | None:
        silent = 0
        while not self._ahead and self._reader is not None:
            polled = self._reader.poll(_AT_ONCE, _SECONDS)
            silent = 0 if polled else silent + 1
            if silent > _SILENT_POLLS_LIMIT:
                raise Unreachable(
                    f"the end of {self._place.topic}, partition {self._place.partition}, was not reached",
                    code="HW-P171",
                    detail="a product that is made anew is held against what its topic says already",
                    hint="look whether a transaction hangs in the topic; the runner tries again by itself",
                )
            for item in polled:
                if isinstance(item, Message):
                    if item.offset < self._end:
                        self._ahead.append(item)
                elif item.offset >= self._end:
                    self.close()
        return self._ahead[0] if self._ahead else None


@dataclass(slots=True)
class Written:
    """One output of a partition: the next offset of its log as far as is known, and while it is made anew, that log."""

    end: int = 0
    replay: Replay | None = None

    @property
    def silent(self) -> bool:
        """Whether its log still says what is made."""
        return self.replay is not None and not self.replay.over

    def let_go(self, *, over_only: bool = False) -> None:
        """Close the log; with `over_only` once it has been told to its end."""
        if self.replay is not None and not (over_only and self.silent):
            self.replay.close()
            self.replay = None

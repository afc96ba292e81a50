"""Progress marks, and up to when a partition's recorded time is settled.

A mark says: nothing recorded at or before `through` follows at or after `offset` in this partition. Marks lie in the
topic `<topic>.progress`, partition p for partition p, key the partition's number as text. Their value is the plain Avro
body of `headwater.Progress {through: long, offset: long}`: two variable-length integers, without a registry's frame, so
that marks need no registry.
"""

from __future__ import annotations

from headwater.errors import Fault
from headwater.timeline.instant import Instant
from headwater.timeline.tick import tick_of

NOTHING = Instant(-1)  # before the epoch, at which recorded time begins


def encode_mark(through: int, offset: int) -> bytes:
    """The value of a mark.

    >>> decode_mark(encode_mark(Instant(99_999), 7))
    (99999, 7)
    """
    return _long(through) + _long(offset)


def decode_mark(value: bytes) -> tuple[Instant, int]:
    """`through` and `offset` of a mark; raises `Fault` HW-R011 where it is none."""
    try:
        through, place = _read_long(value, 0)
        offset, place = _read_long(value, place)
    except IndexError:
        place = -1
    if place != len(value):
        raise Fault("a progress mark cannot be read", code="HW-R011", detail=f"{len(value)} bytes")
    return Instant(through), offset


def mark_key(partition: int) -> bytes:
    """The key of a partition's mark: its number as text.

    >>> mark_key(3)
    b'3'
    """
    return str(partition).encode()


class Settled:
    """Up to when one partition is settled, for a reader that tells it what it has read and where it stands.

    The watermark is the greater of the newest mark whose offset the reader has reached, and the end of the tick before
    the last record's; it never goes back.

    >>> settled = Settled(tick=100)
    >>> settled.record(offset=0, recorded_at=250); settled.through
    199
    >>> settled.mark(through=299, offset=1); settled.through
    299
    >>> settled.mark(through=499, offset=3); settled.through       # not yet: offset 2 is still to come
    299
    >>> settled.reached(3); settled.through
    499
    """

    __slots__ = ("_pending", "_position", "_tick", "through")

    def __init__(self, tick: int, *, position: int = 0) -> None:
        self._tick = tick
        self._position = position
        self._pending: list[tuple[int, Instant]] = []  # marks ahead of the reader, by offset
        self.through = NOTHING

    def record(self, *, offset: int, recorded_at: int) -> None:
        """A record was read."""
        before = tick_of(recorded_at, self._tick) * self._tick - 1
        if before > self.through:
            self.through = Instant(before)
        self.reached(offset + 1)

    def reached(self, position: int) -> None:
        """Everything before this offset was read."""
        if position > self._position:
            self._position = position
        while self._pending and self._pending[0][0] <= self._position:
            self.through = max(self.through, self._pending.pop(0)[1])

    def mark(self, *, through: int, offset: int) -> None:
        """A mark was read; it speaks once the reader has reached its offset."""
        if offset <= self._position:
            self.through = max(self.through, Instant(through))
        else:  # a writer's offsets never go back, so that the list stays sorted
            self._pending.append((offset, Instant(through)))


def _long(value: int) -> bytes:
    left = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def _read_long(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), place
        shift += 7

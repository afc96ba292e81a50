"""Reads Avro's binary form plainly, for the judges: independent of every codec that is under test."""

from __future__ import annotations


class AvroReader:
    """Values one after the other, in the order of the schema.

    >>> reader = AvroReader(bytes([4, 104, 105, 216, 4]))
    >>> reader.text(), reader.long()
    ('hi', 300)
    """

    __slots__ = ("_data", "_place")

    def __init__(self, data: bytes, place: int = 0) -> None:
        self._data = data
        self._place = place

    def long(self) -> int:
        """An int, a long, a count, or the branch of a union."""
        data, place = self._data, self._place
        byte = data[place]
        value, shift = byte & 0x7F, 7
        while byte > 0x7F:
            place += 1
            byte = data[place]
            value |= (byte & 0x7F) << shift
            shift += 7
        self._place = place + 1
        return (value >> 1) ^ -(value & 1)

    def text(self) -> str:
        """A string."""
        length = self.long()
        end = self._place + length
        text = self._data[self._place : end].decode()
        self._place = end
        return text

    def blocks(self) -> int:
        """The number of items in the next block of an array; 0 at its end."""
        count = self.long()
        if count < 0:
            self.long()
            return -count
        return count

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self._place == len(self._data)

"""Avro's variable-length integers, strictly: the shortest form only, within 32 or 64 bits.

Instants of this century take eight bytes. Those go through one masked load and three folds instead of a loop over
bytes, which halves their cost; every other length takes the loop.
"""

from __future__ import annotations

from typing import Final

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1
LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1
DEPTH_LIMIT: Final = 64  # of values within values of a schema that contains itself


class Damage(ValueError):
    """The bytes are no value of the schema. The text says what is wrong and never what the bytes hold."""


# The 128 values of one byte, by the byte; and small numbers as bytes, by the number.
SMALL_VALUES: Final = tuple((byte >> 1) ^ -(byte & 1) for byte in range(128))
_HIGH_BITS = 0x8080808080808080
_HIGH_BITS_OF_EIGHT = 0x0080808080808080


def read_long(body: bytes, at: int) -> tuple[int, int]:
    """A number of up to 64 bits, and the offset behind it.

    >>> read_long(bytes([0x80, 0x01]), 0)
    (64, 2)
    """
    word = int.from_bytes(body[at : at + 8], "little")
    if word & _HIGH_BITS == _HIGH_BITS_OF_EIGHT and word >> 56:
        word &= 0x7F7F7F7F7F7F7F7F
        word = (word & 0x007F007F007F007F) | ((word & 0x7F007F007F007F00) >> 1)
        word = (word & 0x00003FFF00003FFF) | ((word & 0x3FFF00003FFF0000) >> 2)
        word = (word & 0x0FFFFFFF) | ((word & 0x0FFFFFFF00000000) >> 4)
        return (word >> 1) ^ -(word & 1), at + 8
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise Damage("a number is longer than ten bytes")
    if not byte and shift:
        raise Damage("a number is written longer than it needs to be")
    if value >> 64:
        raise Damage("a number does not fit in 64 bits")
    return (value >> 1) ^ -(value & 1), at


def read_int(body: bytes, at: int) -> tuple[int, int]:
    """A number of up to 32 bits, and the offset behind it."""
    value, at = read_long(body, at)
    if not INT_MIN <= value <= INT_MAX:
        raise Damage("a number does not fit in 32 bits")
    return value, at


def read_length(body: bytes, at: int) -> tuple[int, int]:
    """The length of text or bytes, checked against what is left, and the offset behind it."""
    value, at = read_long(body, at)
    if value < 0 or value > len(body) - at:
        raise Damage("a length does not fit in the body")
    return value, at


def read_block(body: bytes, at: int, width: int) -> tuple[int, int, int]:
    """The head of a block of items of at least `width` bytes: count, offset behind the head, offset where it must end.

    The end is -1 where the writer gave none. The count is held against the bytes that are left before anything is
    made, so that five bytes cannot become a list of millions.
    """
    count, at = read_long(body, at)
    end = -1
    if count < 0:
        size, at = read_length(body, at)
        count, end = -count, at + size
    if count * width > len(body) - at:
        raise Damage("a block has more items than the body has bytes for")
    return count, at, end


def long_bytes(value: int) -> bytes:
    """A number of up to 64 bits in its shortest form; raises `Damage` where it does not fit.

    >>> long_bytes(64).hex(), long_bytes(-1).hex()
    ('8001', '01')
    """
    word = value << 1
    if 0x2000000000000 <= word < 0x100000000000000:
        word = (word & 0x0FFFFFFF) | ((word & 0xFFFFFFF0000000) << 4)
        word = (word & 0x00003FFF00003FFF) | ((word & 0x0FFFC0000FFFC000) << 2)
        word = (word & 0x007F007F007F007F) | ((word & 0x3F803F803F803F80) << 1)
        return (word | _HIGH_BITS_OF_EIGHT).to_bytes(8, "little")
    if not LONG_MIN <= value <= LONG_MAX:
        raise Damage("a number does not fit in 64 bits")
    word ^= value >> 63
    out = bytearray()
    while word > 0x7F:
        out.append(word & 0x7F | 0x80)
        word >>= 7
    out.append(word)
    return bytes(out)


SMALL_NUMBERS: Final = {number: long_bytes(number) for number in range(-64, 2048)}


def int_bytes(value: int) -> bytes:
    """A number of up to 32 bits."""
    if not INT_MIN <= value <= INT_MAX:
        raise Damage("a number does not fit in 32 bits")
    return long_bytes(value)

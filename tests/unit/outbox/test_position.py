"""The position goes to the broker and comes back as it was, or the relay stops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import Fault
from headwater.outbox.position import Position, decode_position, encode_position
from headwater.timeline.instant import Instant
from headwater.timeline.recorded import Stamp

NUMBERS = st.integers(0, 2**62)
POSITIONS = st.builds(
    Position,
    system_id=st.text("0123456789", min_size=1),
    timeline=st.integers(1, 2**31),
    commit_lsn=NUMBERS,
    end_lsn=NUMBERS,
    ordinal=NUMBERS,
    stamp=st.builds(Stamp, *[st.integers(-1, 2**53).map(Instant)] * 3),
)


@given(POSITIONS)
def test_a_position_is_read_back(position: Position) -> None:
    assert decode_position(encode_position(position)) == position


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"system_id":"1"}', b"\xff"])
def test_what_is_no_position_stops_the_relay(value: bytes) -> None:
    with pytest.raises(Fault) as caught:
        decode_position(value)
    assert caught.value.code == "HW-O002"


def test_idle_time_moves_only_what_may_be_acknowledged() -> None:
    position = Position("1", 1, 100, 110, 3, Stamp.start())
    idle = position.idle(500, Stamp.start().mark(9))
    assert (idle.commit_lsn, idle.ordinal, idle.end_lsn, idle.stamp.marked) == (100, 3, 500, 9)
    assert idle.idle(400, idle.stamp).end_lsn == 500

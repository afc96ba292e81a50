"""The newest records of a topic, however they lie in partitions and transactions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import CallerFault
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicDescription
from headwater.ports.sample import newest

PARTITIONS = 3
# Transactions of (partition, how much later than the record before it).
WRITTEN = st.lists(st.lists(st.tuples(st.integers(0, PARTITIONS - 1), st.integers(0, 3)), max_size=6), max_size=12)


@settings(max_examples=80, derandomize=True, deadline=None)
@given(WRITTEN, st.integers(0, 30))
def test_no_older_record_stands_in_for_a_newer_one(written: list[list[tuple[int, int]]], limit: int) -> None:
    broker = MemoryBroker()
    broker.create_topic(TopicDescription("a.b.v1", PARTITIONS, {}))
    sink, now, times = broker.sink("writer"), 1, []
    sink.open()
    for transaction in written:
        sink.begin()
        for partition, later in transaction:
            now += later
            times.append(now)
            sink.send("a.b.v1", b"k", b"v", timestamp=now, partition=partition)
        sink.flush()
        sink.commit()
    found = newest(broker, "a.b.v1", limit)
    assert sorted(message.timestamp for message in found) == (sorted(times)[-limit:] if limit else [])
    places = [(message.partition, message.offset) for message in found]
    assert places == sorted(places)


def test_a_topic_that_is_missing_is_said() -> None:
    with pytest.raises(CallerFault) as caught:
        newest(MemoryBroker(), "a.b.v1", 5)
    assert caught.value.code == "HW-R004"

"""What a reader of given partitions makes of an event of its client: a trouble that the client mends, or an error."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, Message

from headwater.errors import CallerFault, Fault, Unreachable
from headwater.ports.kafka import _KafkaGroupSource, _KafkaReader


def event(code: int) -> Message:
    """What a consumer hands over in place of a record."""
    return Message(topic="flights.departures.v1", partition=0, error=KafkaError(code, "seen on a starved broker"))


class Script:
    """A consumer that has these events and no more."""

    def __init__(self, *codes: int) -> None:
        self._left = [event(code) for code in codes]

    def consume(self, limit: int, timeout: float) -> list[Message]:
        taken, self._left = self._left[:limit], self._left[limit:]
        return taken

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        pass


PASSING = (
    KafkaError.NOT_COORDINATOR,  # "Failed to fetch committed offsets for 0 partition(s) in group …"
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
)


@pytest.mark.parametrize("code", PASSING)
def test_what_the_client_mends_by_itself_ends_no_reader(code: int) -> None:
    reader = _KafkaReader(Script(code, code), "127.0.0.1:9")
    assert reader.poll(10, 0) == []
    assert _KafkaReader(Script(code), "127.0.0.1:9").fetch(10, 0) == []


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (KafkaError._AUTO_OFFSET_RESET, Fault),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, CallerFault),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, CallerFault),
    ],
)
def test_what_it_does_not_mend_is_raised(code: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        _KafkaReader(Script(code), "127.0.0.1:9").poll(10, 0)


def test_a_member_of_a_group_that_lost_its_coordinator_begins_anew() -> None:
    """What it holds may be another's by then: the stage is built again."""
    source = _KafkaGroupSource(Script(KafkaError.NOT_COORDINATOR), "127.0.0.1:9", ["flights.departures.v1"], None)  # type: ignore[arg-type]
    with pytest.raises(Unreachable):
        source.poll(10, 0)

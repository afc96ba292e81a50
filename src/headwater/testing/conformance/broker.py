"""What every `Broker` must do, as a class of tests: subclass it and give it the fixture `broker`.

Topics are made with names of their own, so that one real cluster serves all tests; a slow broker only takes longer.
"""

from __future__ import annotations

# ruff: noqa: D102  (the names of the tests say what they show)
import uuid
from collections.abc import Iterator, Mapping, Sequence

import pytest

from headwater.errors import CallerFault, HeadwaterError
from headwater.ports.keys import partition_of
from headwater.ports.protocol import Broker, GroupSource, Reader, TransactionalSink
from headwater.ports.record import EndOfPartition, Message, TopicDescription, TopicPartition

PARTITIONS = 3
POLLS_LIMIT = 400
T0 = 1_700_000_000_000


class Recorder:
    """`Assignments` that start at the committed offset or the beginning, and remember what they heard."""

    def __init__(self, starts: Mapping[TopicPartition, int] | None = None) -> None:
        self.owned: set[TopicPartition] = set()
        self.heard: list[str] = []
        self.source: GroupSource | None = None
        self._starts = starts or {}

    def gained(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.owned |= set(partitions)
        self.heard.append("gained")
        committed = self.source.committed(partitions) if self.source else {}
        return {place: committed.get(place, self._starts.get(place, 0)) for place in partitions}

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self.owned -= set(partitions)
        self.heard.append("revoked")

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        self.owned -= set(partitions)
        self.heard.append("lost")


def drain(reader: Reader, ends: Mapping[TopicPartition, int]) -> list[Message]:
    """Read until every partition has told an end at or past the given one."""
    left, messages = dict(ends), []
    for _ in range(POLLS_LIMIT):
        for found in reader.poll(100, 0.1):
            if isinstance(found, Message):
                messages.append(found)
            elif left.get(TopicPartition(found.topic, found.partition), -1) >= 0:
                place = TopicPartition(found.topic, found.partition)
                if found.offset >= left[place]:
                    del left[place]
        if not left:
            return messages
    raise AssertionError(f"the ends were not reached: {left}")


def reached(broker: Broker, place: TopicPartition, end: int) -> None:
    """Wait for a high watermark: a commit returns once it is decided, and its marker follows in the log."""
    for _ in range(POLLS_LIMIT):
        if broker.ends([place]) == {place: end}:
            return
    raise AssertionError(f"{broker.ends([place])} is not {end}")


def written(broker: Broker, transactional_id: str, topic: str, values: Sequence[bytes], partition: int = 0) -> None:
    """One committed transaction."""
    sink = broker.sink(transactional_id)
    sink.open()
    sink.begin()
    for value in values:
        sink.send(topic, b"k", value, timestamp=T0, partition=partition)
    sink.commit()
    sink.close()


class BrokerConformance:
    """The suite."""

    @pytest.fixture
    def broker(self) -> Iterator[Broker]:
        """Given by the subclass."""
        raise NotImplementedError

    @pytest.fixture
    def topic(self, broker: Broker) -> str:
        """A fresh topic."""
        name = f"conformance.broker.t{uuid.uuid4().hex[:10]}"  # groups of an earlier run must not be met again
        broker.create_topic(TopicDescription(name, PARTITIONS, {"cleanup.policy": "delete"}))
        return name

    @pytest.fixture
    def sink(self, broker: Broker, topic: str) -> Iterator[TransactionalSink]:
        """An opened sink."""
        sink = broker.sink(f"{topic}-writer")
        sink.open()
        yield sink
        sink.close()

    def test_a_topic_is_described_as_it_was_created(self, broker: Broker, topic: str) -> None:
        broker.alter_topic(topic, {"retention.ms": "1000000"})
        described = broker.describe([topic, "no.such.topic"])
        assert set(described) == {topic}
        assert described[topic].partitions == PARTITIONS
        assert described[topic].settings == {"cleanup.policy": "delete", "retention.ms": "1000000"}
        assert topic in broker.topics()
        broker.create_topic(TopicDescription(topic, 7, {}))
        assert broker.describe([topic])[topic].partitions == PARTITIONS

    def test_a_topic_made_anew_under_its_old_name_is_another(self, broker: Broker, topic: str) -> None:
        before = broker.identity(topic)
        assert broker.identity(topic) == before
        broker.delete_topic(topic)
        broker.create_topic(TopicDescription(topic, PARTITIONS, {}))
        assert broker.identity(topic) != before

    def test_many_records_at_once_are_as_if_sent_one_by_one(
        self, broker: Broker, topic: str, sink: TransactionalSink
    ) -> None:
        sink.begin()
        sink.send(topic, b"k", b"first", timestamp=T0, partition=0)
        many = [
            (topic, number % 2, b"k", b"%d" % number, T0 + number, [("id", b"x")] * (number % 3)) for number in range(9)
        ]
        sink.send_many(many[:6])
        sink.send_many([])
        sink.send_many([*many[6:], (f"{topic}", 1, None, None, T0, ())])
        sink.send(topic, b"k", b"last", timestamp=T0, partition=0)
        assert sink.flush() == {TopicPartition(topic, 0): 7, TopicPartition(topic, 1): 5}
        sink.commit()
        for partition, values in (
            (0, [b"first", b"0", b"2", b"4", b"6", b"8", b"last"]),
            (1, [b"1", b"3", b"5", b"7", None]),
        ):
            reader = broker.reader({TopicPartition(topic, partition): 0})
            found = drain(reader, {TopicPartition(topic, partition): len(values) + 1})
            reader.close()
            assert [message.value for message in found] == values
            kept = [
                (message.timestamp, len(message.headers))
                for message in found
                if message.value and message.value.isdigit()
            ]
            assert kept == [(T0 + int(value), int(value) % 3) for value in values if value and value.isdigit()]

    def test_a_column_of_records_is_as_if_sent_one_by_one(
        self, broker: Broker, topic: str, sink: TransactionalSink
    ) -> None:
        keys, values = [b"a", None, b"b"], [b"0", b"1", None]
        sink.begin()
        sink.send(topic, b"k", b"first", timestamp=T0, partition=0, headers=[("h", b"0")])
        sink.send_column((topic, 0), keys, values, [T0, T0 + 1, T0 + 2])
        sink.send_column((topic, 1), [], [], [])
        sink.send_column((topic, 0), keys[:1], values[:1], [T0 + 3])
        sink.send(topic, b"k", b"last", timestamp=T0 + 4, partition=0)
        assert sink.flush() == {TopicPartition(topic, 0): 6}
        sink.commit()
        reader = broker.reader({TopicPartition(topic, 0): 0})
        found = drain(reader, {TopicPartition(topic, 0): 7})
        reader.close()
        assert [message.key for message in found] == [b"k", *keys, b"a", b"k"]
        assert [message.value for message in found] == [b"first", *values, b"0", b"last"]
        assert [message.timestamp - T0 for message in found] == [0, 0, 1, 2, 3, 4]
        assert [len(message.headers) for message in found] == [1, 0, 0, 0, 0, 0]

    def test_what_is_fetched_together_is_what_is_polled_one_by_one(
        self, broker: Broker, topic: str, sink: TransactionalSink
    ) -> None:
        sink.begin()
        for number in range(30):
            headers = [("h", b"%d" % number)] if number % 7 == 0 else []
            value = None if number % 11 == 0 else b"%d" % number
            sink.send(topic, b"k", value, timestamp=T0 + number, partition=number % PARTITIONS, headers=headers)
        sink.commit()
        ends = {TopicPartition(topic, partition): 11 for partition in range(PARTITIONS)}
        reader = broker.reader(dict.fromkeys(ends, 0))
        polled = drain(reader, ends)
        reader.close()
        recorder = Recorder()
        source = broker.group(f"{topic}-fetching", [topic], recorder)
        fetched: list[Message] = []
        told: dict[TopicPartition, int] = {}
        for _ in range(POLLS_LIMIT):
            for found in source.fetch(7, 0.1):
                if isinstance(found, EndOfPartition):
                    told[TopicPartition(found.topic, found.partition)] = found.offset
                    continue
                messages = found.messages()
                assert list(found.offsets) == [message.offset for message in messages]
                assert list(found.keys) == [message.key for message in messages]
                assert list(found.values) == [message.value for message in messages]
                assert {(message.topic, message.partition) for message in messages} == {(found.topic, found.partition)}
                fetched += messages
            if told == ends:
                break
        source.close()
        assert told == ends

        def comparable(messages: Sequence[Message]) -> list[str]:
            return sorted(str((*message[:6], list(message.headers))) for message in messages)

        assert comparable(fetched) == comparable(polled)

    def test_a_deleted_topic_is_gone(self, broker: Broker, topic: str) -> None:
        broker.delete_topic(topic)
        broker.delete_topic(topic)
        assert broker.describe([topic]) == {}

    def test_a_commit_shows_all_with_keys_times_and_headers(
        self, broker: Broker, topic: str, sink: TransactionalSink
    ) -> None:
        sink.begin()
        sink.send(topic, b"a", b"1", timestamp=T0, partition=1, headers=[("id", b"x"), ("id", b"y")])
        sink.send(topic, None, b"2", timestamp=T0 + 5, partition=1)
        sink.send(topic, b"c", None, timestamp=T0 + 6, partition=1)
        ends = sink.flush()
        assert ends == {TopicPartition(topic, 1): 3}
        sink.commit()
        reader = broker.reader({TopicPartition(topic, 1): 0})
        found = drain(reader, {TopicPartition(topic, 1): 4})
        reader.close()
        assert [(m.offset, m.key, m.value, m.timestamp, list(m.headers)) for m in found] == [
            (0, b"a", b"1", T0, [("id", b"x"), ("id", b"y")]),
            (1, None, b"2", T0 + 5, []),
            (2, b"c", None, T0 + 6, []),
        ]

    def test_each_end_of_a_transaction_takes_an_offset(
        self, broker: Broker, topic: str, sink: TransactionalSink
    ) -> None:
        place = TopicPartition(topic, 0)
        for number in range(3):
            sink.begin()
            sink.send(topic, b"k", b"%d" % number, timestamp=T0, partition=0)
            assert sink.flush()[place] == number * 2 + 1
            sink.commit()
        reader = broker.reader({place: 0})
        found = drain(reader, {place: 6})
        reader.close()
        assert [m.offset for m in found] == [0, 2, 4]
        reached(broker, place, 6)
        assert broker.starts([place]) == {place: 0}

    def test_what_is_aborted_is_never_seen(self, broker: Broker, topic: str, sink: TransactionalSink) -> None:
        for value, commit in ((b"seen", True), (b"unseen", False), (b"seen too", True)):
            sink.begin()
            sink.send(topic, b"k", value, timestamp=T0, partition=0)
            sink.flush()
            if commit:
                sink.commit()
            else:
                sink.abort()
        reader = broker.reader({TopicPartition(topic, 0): 0})
        found = drain(reader, {TopicPartition(topic, 0): 6})
        reader.close()
        assert [m.value for m in found] == [b"seen", b"seen too"]

    def test_ends_count_an_open_transaction_that_readers_do_not_pass(
        self, broker: Broker, topic: str, sink: TransactionalSink
    ) -> None:
        place = TopicPartition(topic, 0)
        sink.begin()
        sink.send(topic, b"k", b"open", timestamp=T0, partition=0)
        sink.flush()
        written(broker, f"{topic}-other", topic, [b"committed behind it"])
        reached(broker, place, 3)
        reader = broker.reader({place: 0})
        before = [found for _ in range(3) for found in reader.poll(10, 0.2)]
        assert before == [EndOfPartition(topic, 0, 0)]
        assert broker.stable_ends([place]) == {place: 0}
        sink.abort()
        assert [m.value for m in drain(reader, {place: 4})] == [b"committed behind it"]
        reader.close()

    def test_a_newer_writer_of_an_id_fences_the_older_and_ends_its_transaction(
        self, broker: Broker, topic: str, sink: TransactionalSink
    ) -> None:
        sink.begin()
        sink.send(topic, b"k", b"zombie", timestamp=T0, partition=0)
        sink.flush()
        written(broker, f"{topic}-writer", topic, [b"successor"])
        with pytest.raises(HeadwaterError) as refused:
            sink.send(topic, b"k", b"late", timestamp=T0, partition=0)
            sink.flush()
            sink.commit()
        assert refused.value.code == "HW-R003"
        reader = broker.reader({TopicPartition(topic, 0): 0})
        found = drain(reader, {TopicPartition(topic, 0): 4})
        reader.close()
        assert [m.value for m in found] == [b"successor"]

    def test_partitions_of_keys_follow_murmur2(self, broker: Broker, topic: str, sink: TransactionalSink) -> None:
        keys = [f"schlüssel-{n * n}".encode() + bytes(n % 5) for n in range(60)]
        sink.begin()
        for key in keys:
            sink.send(topic, key, b"", timestamp=T0)
        ends = sink.flush()
        sink.commit()
        assert {place.partition for place in ends} == set(range(PARTITIONS))
        reader = broker.reader(dict.fromkeys(ends, 0))
        found = drain(reader, {place: end + 1 for place, end in ends.items()})
        reader.close()
        assert len(found) == len(keys)
        assert all(m.partition == partition_of(m.key or b"", PARTITIONS) for m in found)
        for place, end in ends.items():
            assert end == sum(1 for m in found if m.partition == place.partition)

    def test_a_groups_offsets_move_with_the_transaction_only(
        self, broker: Broker, topic: str, sink: TransactionalSink
    ) -> None:
        place = TopicPartition(topic, 0)
        written(broker, f"{topic}-input", topic, [b"a", b"b"])
        recorder = Recorder()
        source = broker.group(f"{topic}-group", [topic], recorder)
        recorder.source = source
        found = drain(source, {place: 3})
        assert [m.value for m in found] == [b"a", b"b"]
        assert recorder.owned == {TopicPartition(topic, n) for n in range(PARTITIONS)}
        assert source.committed([place]) == {}
        sink.begin()
        sink.send_offsets({place: 1}, source)
        sink.abort()
        assert source.committed([place]) == {}
        sink.begin()
        sink.send_offsets({place: 1}, source)
        sink.commit()
        assert source.committed([place]) == {place: 1}
        source.close()
        again = Recorder()
        successor = broker.group(f"{topic}-group", [topic], again)
        again.source = successor
        assert [m.value for m in drain(successor, {place: 3})] == [b"b"]
        successor.close()

    def test_a_groups_offsets_move_without_joining_it(
        self, broker: Broker, topic: str, sink: TransactionalSink
    ) -> None:
        """A writer that has its partitions from elsewhere; whoever joins goes on from what it has committed."""
        place, group = TopicPartition(topic, 0), f"{topic}-group"
        written(broker, f"{topic}-input", topic, [b"a", b"b"])
        outside = broker.group_offsets(group)
        assert group not in broker.groups()
        assert outside.committed([place]) == {}
        sink.begin()
        sink.send_offsets({place: 1}, outside)
        sink.abort()
        assert outside.committed([place]) == {}
        sink.begin()
        sink.send_offsets({place: 1}, outside)
        sink.commit()
        assert outside.committed([place, TopicPartition(topic, 1)]) == {place: 1}
        recorder = Recorder()
        member = broker.group(group, [topic], recorder)
        recorder.source = member
        assert [m.value for m in drain(member, {place: 3})] == [b"b"]
        assert group in broker.groups()
        member.close()
        outside.close()

    def test_members_share_partitions_and_take_over_those_of_one_that_leaves(self, broker: Broker, topic: str) -> None:
        recorders = [Recorder(), Recorder()]
        sources = []
        for recorder in recorders:
            source = broker.group(f"{topic}-group", [topic], recorder)
            recorder.source = source
            sources.append(source)
        everything = {TopicPartition(topic, n) for n in range(PARTITIONS)}
        for _ in range(POLLS_LIMIT):
            for source in sources:
                source.poll(10, 0.05)
            first, second = (recorder.owned for recorder in recorders)
            if first and second and first | second == everything:
                break
        assert first and second and first | second == everything and not first & second
        sources[0].close()
        for _ in range(POLLS_LIMIT):
            sources[1].poll(10, 0.05)
            if recorders[1].owned == everything:
                break
        assert recorders[1].owned == everything
        sources[1].close()

    def test_what_an_assignment_raises_comes_out_of_poll(self, broker: Broker, topic: str) -> None:
        class Refusing(Recorder):
            def gained(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
                raise CallerFault("not now", code="HW-R004")

        source = broker.group(f"{topic}-group", [topic], Refusing())
        with pytest.raises(CallerFault, match="not now"):
            for _ in range(POLLS_LIMIT):
                source.poll(10, 0.1)
        source.close()

    def test_a_paused_partition_is_silent_until_it_is_resumed(self, broker: Broker, topic: str) -> None:
        place = TopicPartition(topic, 0)
        recorder = Recorder()
        source = broker.group(f"{topic}-group", [topic], recorder)
        recorder.source = source
        drain(source, {TopicPartition(topic, n): 0 for n in range(PARTITIONS)})
        source.pause([place])
        written(broker, f"{topic}-input", topic, [b"a"])
        assert not [found for _ in range(3) for found in source.poll(10, 0.1)]
        source.resume([place])
        assert [m.value for m in drain(source, {place: 2})] == [b"a"]
        source.close()

    def test_a_partition_paused_while_it_is_given_loses_nothing(self, broker: Broker, topic: str) -> None:
        place = TopicPartition(topic, 0)

        class Pausing(Recorder):
            def gained(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
                assert self.source is not None
                self.source.pause([place])
                return super().gained(partitions)

        recorder = Pausing()
        written(broker, f"{topic}-input", topic, [b"a", b"b"])
        source = broker.group(f"{topic}-group", [topic], recorder)
        recorder.source = source
        others = {TopicPartition(topic, number): 0 for number in range(1, PARTITIONS)}
        assert [m.value for m in drain(source, others) if m.partition == 0] == []
        assert not [found for _ in range(3) for found in source.poll(10, 0.1) if found.partition == 0]
        source.resume([place])
        assert [m.value for m in drain(source, {place: 3})] == [b"a", b"b"]  # its end is told too
        source.close()

    def test_what_lies_before_an_offset_is_deleted(self, broker: Broker, topic: str) -> None:
        place = TopicPartition(topic, 1)
        written(broker, f"{topic}-deleted", topic, [b"a", b"b", b"c"], partition=1)
        end = 4  # and of the transaction
        reached(broker, place, end)
        broker.delete_before({place: 2})
        broker.delete_before({place: 1})
        broker.delete_before({})
        assert (broker.starts([place])[place], broker.ends([place])[place]) == (2, end)
        assert [message.value for message in drain(broker.reader({place: 2}), {place: end})] == [b"c"]
        written(broker, f"{topic}-deleted", topic, [b"d"], partition=1)
        assert broker.starts([place])[place] == 2

    def test_a_reader_stops_where_the_offset_is_not_in_the_log(self, broker: Broker, topic: str) -> None:
        reader = broker.reader({TopicPartition(topic, 0): 17})
        with pytest.raises(HeadwaterError) as refused:
            for _ in range(50):
                reader.poll(10, 0.1)
        assert refused.value.code == "HW-R005"
        reader.close()

    def test_a_sink_says_which_topic_is_missing(self, broker: Broker) -> None:
        with pytest.raises(HeadwaterError) as refused:
            broker.ends([TopicPartition("no.such.topic", 0)])
        assert refused.value.code == "HW-R004"

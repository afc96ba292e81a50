"""Frames: what is read of a request, and that addresses are rewritten in every version that clients speak."""

from __future__ import annotations

import struct

import pytest

from headwater.testing.kafka_proxy_frame import Frame, answer_frame, relocated, request_frame

THERE, HERE = ("broker-1.example.org", 9092), ("127.0.0.1", 40000)


def text(value: str | None, flexible: bool) -> bytes:
    if value is None:
        return b"\x00" if flexible else b"\xff\xff"
    raw = value.encode()
    return (bytes([len(raw) + 1]) if flexible else struct.pack(">h", len(raw))) + raw


def array(items: list[bytes], flexible: bool) -> bytes:
    return (bytes([len(items) + 1]) if flexible else struct.pack(">i", len(items))) + b"".join(items)


def metadata(version: int, address: tuple[str, int]) -> bytes:
    flexible = version >= 9
    tags = b"\x00" if flexible else b""
    broker = struct.pack(">i", 1) + text(address[0], flexible) + struct.pack(">i", address[1])
    broker += (text(None, flexible) if version >= 1 else b"") + tags
    throttle = struct.pack(">i", 0) if version >= 3 else b""
    return struct.pack(">i", 5) + tags + throttle + array([broker, broker], flexible) + b"the rest, as it is"


def coordinator(version: int, address: tuple[str, int]) -> bytes:
    flexible = version >= 3
    tags = b"\x00" if flexible else b""
    place = struct.pack(">i", 1) + text(address[0], flexible) + struct.pack(">i", address[1])
    head = struct.pack(">i", 5) + tags + (struct.pack(">i", 0) if version >= 1 else b"")
    if version >= 4:
        one = text("the key", True) + place + b"\x00\x00" + text("why", True) + tags
        return head + array([one], True) + tags
    return head + b"\x00\x00" + (text(None, flexible) if version >= 1 else b"") + place + tags


def cluster(version: int, address: tuple[str, int]) -> bytes:
    broker = struct.pack(">i", 1) + text(address[0], True) + struct.pack(">i", address[1]) + text("rack", True)
    broker += (b"\x00" if version >= 2 else b"") + b"\x00"
    head = struct.pack(">i", 5) + b"\x00" + bytes(6) + text(None, True) + (b"\x01" if version >= 1 else b"")
    return head + text("cluster", True) + struct.pack(">i", 1) + array([broker], True) + b"rest"


@pytest.mark.parametrize("version", range(14))
def test_metadata_names_the_proxy_in_every_version(version: int) -> None:
    answer = Frame("answer", "Metadata", version, 5, "c", metadata(version, THERE))
    assert relocated(answer, lambda host, port: HERE) == metadata(version, HERE)


@pytest.mark.parametrize("version", range(7))
def test_find_coordinator_names_the_proxy_in_every_version(version: int) -> None:
    answer = Frame("answer", "FindCoordinator", version, 5, "c", coordinator(version, THERE))
    assert relocated(answer, lambda host, port: HERE) == coordinator(version, HERE)


@pytest.mark.parametrize("version", range(3))
def test_describe_cluster_names_the_proxy_in_every_version(version: int) -> None:
    answer = Frame("answer", "DescribeCluster", version, 5, "c", cluster(version, THERE))
    assert relocated(answer, lambda host, port: HERE) == cluster(version, HERE)


def test_other_answers_stay_as_they_are() -> None:
    body = metadata(4, THERE)
    assert relocated(Frame("answer", "Fetch", 4, 5, "c", body), lambda host, port: HERE) is body


@pytest.mark.parametrize("version", [0, 1, 3, 5])
def test_the_end_of_a_transaction_is_read_in_old_and_flexible_versions(version: int) -> None:
    flexible = version >= 3
    head = struct.pack(">hhi", 26, version, 9) + text("client", False) + (b"\x00" if flexible else b"")
    frame = request_frame(head + text("shop", flexible) + bytes(10) + b"\x00" + (b"\x00" if flexible else b""))
    assert (frame.api, frame.transactional_id, frame.committed) == ("EndTxn", "shop", False)
    answer = answer_frame(frame, struct.pack(">i", 9) + (b"\x00" if flexible else b"") + struct.pack(">ih", 0, 47))
    assert (answer.error, answer.transactional_id, answer.side) == ("INVALID_PRODUCER_EPOCH", "shop", "answer")


@pytest.mark.parametrize("version", [3, 9])
def test_a_produce_names_its_transaction_and_topics(version: int) -> None:
    flexible = version >= 9
    tags = b"\x00" if flexible else b""
    records = (b"\x04" if flexible else struct.pack(">i", 3)) + b"abc"
    partition = struct.pack(">i", 0) + records + tags
    topics = array([text(name, flexible) + array([partition], flexible) + tags for name in ("a", "b")], flexible)
    head = struct.pack(">hhi", 0, version, 9) + text(None, False) + tags
    frame = request_frame(head + text("shop", flexible) + bytes(6) + topics + tags)
    assert (frame.api, frame.transactional_id, frame.topics) == ("Produce", "shop", ("a", "b"))


@pytest.mark.parametrize("version", [0, 3])
def test_partitions_added_to_a_transaction_name_their_topics(version: int) -> None:
    flexible = version >= 3
    tags = b"\x00" if flexible else b""
    topic = text("a", flexible) + array([struct.pack(">i", 0), struct.pack(">i", 2)], flexible) + tags
    head = struct.pack(">hhi", 24, version, 9) + text("c", False) + tags
    frame = request_frame(head + text("shop", flexible) + bytes(10) + array([topic, topic], flexible) + tags)
    assert (frame.transactional_id, frame.topics, frame.client_id) == ("shop", ("a", "a"), "c")

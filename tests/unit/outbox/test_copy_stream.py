"""Frames of a connection, however the network cuts them; what a server says in place of a stream."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.outbox.copy_stream import CopyStream, StreamError

FRAME = Struct(">ci")


def frame(tag: bytes, body: bytes = b"") -> bytes:
    return FRAME.pack(tag, len(body) + 4) + body


@pytest.fixture
def ends() -> Iterator[tuple[CopyStream, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = CopyStream(ours.fileno())
    yield stream, theirs
    for end in (stream, ours, theirs):
        end.close()


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 40), st.integers(1, 3))
def test_messages_come_whole_and_in_order_however_they_are_cut(messages: list[bytes], cut: int, limit: int) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = CopyStream(ours.fileno())
    sent = b"".join(frame(b"d", message) + frame(b"N", b"a notice") for message in messages)
    found: list[bytes] = []
    for start in range(0, len(sent), cut):
        theirs.sendall(sent[start : start + cut])
        read = stream.read(limit, 0)
        assert len(read) <= limit
        found += read
    while read := stream.read(limit, 0):
        found += read
    assert found == messages
    for end in (stream, ours, theirs):
        end.close()


def test_a_refused_stream_says_why_and_can_be_asked_for_again(ends: tuple[CopyStream, socket.socket]) -> None:
    stream, server = ends
    server.sendall(frame(b"E", b"SERROR\0C55006\0Mslot is active\0\0") + frame(b"Z", b"I"))
    with pytest.raises(StreamError, match="slot is active") as caught:
        stream.start("START_REPLICATION")
    assert caught.value.state == "55006"
    server.sendall(frame(b"S", b"a\0b\0") + frame(b"W", b"\0\0\0") + frame(b"d", b"first"))
    stream.start("START_REPLICATION")
    assert stream.read(10, 0) == [b"first"]
    stream.send(b"feedback")
    asked = frame(b"Q", b"START_REPLICATION\0")
    assert server.recv(1_000) == asked + asked + frame(b"d", b"feedback")


@pytest.mark.parametrize("end", [frame(b"E", b"C57P01\0Mgoing down\0\0"), frame(b"c"), b""])
def test_the_end_of_a_stream_is_an_error(ends: tuple[CopyStream, socket.socket], end: bytes) -> None:
    stream, server = ends
    server.sendall(end)
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(StreamError) as caught:
        for _ in range(3):
            stream.read(10, 1)
    assert caught.value.state == ("57P01" if b"57P01" in end else "")


@pytest.mark.parametrize("end", [frame(b"E", b"C22P05\0Mcannot decode\0\0"), frame(b"c"), b""])
def test_what_came_before_the_end_is_handed_over_once_and_then_the_end(
    ends: tuple[CopyStream, socket.socket], end: bytes
) -> None:
    stream, server = ends
    server.sendall(frame(b"d", b"first") + frame(b"d", b"second") + end)
    server.shutdown(socket.SHUT_WR)
    assert stream.read(10, 1) == [b"first", b"second"]
    for _ in range(2):
        with pytest.raises(StreamError):
            stream.read(10, 1)

"""The proxy between a plain socket and a tiny scripted broker: what each deed does to frames and connections.

The real broker is in `test_kafka_proxy.py`.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from headwater.testing.kafka_proxy import KafkaProxy
from headwater.testing.kafka_proxy_rules import (
    Answered,
    Deed,
    Drop,
    Duplicate,
    Elapsed,
    Frames,
    Freeze,
    Hold,
    Rule,
    RuleBook,
    Seen,
    Sever,
    Swap,
)

END_TXN, HEARTBEAT = 26, 12
SHORT = 0.15  # seconds in which nothing may come


class Peer:
    """A broker that answers each frame with its correlation and no error, and notes what it got."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                taken = self._server.accept()[0]
            except OSError:
                return
            self._open.append(taken)
            threading.Thread(target=self._answer, args=[taken], daemon=True).start()

    def _answer(self, taken: socket.socket) -> None:
        with taken:  # it may have been taken when all others were closed already
            while (frame := read(taken)) is not None:
                correlation = struct.unpack_from(">i", frame, 4)[0]
                self.got.append(correlation)
                write(taken, struct.pack(">iih", correlation, 0, 0))

    def close(self) -> None:
        for one in [self._server, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # else who waits in it goes on waiting
            one.close()


def read(plain: socket.socket) -> bytes | None:
    try:
        head = plain.recv(4, socket.MSG_WAITALL)
        return plain.recv(struct.unpack(">i", head)[0], socket.MSG_WAITALL) if len(head) == 4 else None
    except OSError:
        return None


def write(plain: socket.socket, body: bytes) -> None:
    plain.sendall(struct.pack(">i", len(body)) + body)


class Client:
    """A plain socket that speaks frames."""

    def __init__(self, proxy: KafkaProxy) -> None:
        host, _, port = proxy.address.partition(":")
        self.plain = socket.create_connection((host, int(port)), 5)

    def end(self, correlation: int, *, name: str = "shop", committed: bool = True) -> None:
        head = struct.pack(">hhih1s", END_TXN, 1, correlation, 1, b"c")
        write(self.plain, head + struct.pack(">h", len(name)) + name.encode() + bytes(10) + bytes([committed]))

    def beat(self, correlation: int) -> None:
        write(self.plain, struct.pack(">hhih1s", HEARTBEAT, 4, correlation, 1, b"c") + b"\x00")

    def hears(self, seconds: float = 5.0) -> int | None:
        """The correlation of the next answer; None where nothing comes or the connection is gone."""
        self.plain.settimeout(seconds)
        frame = read(self.plain)
        return None if frame is None else struct.unpack_from(">i", frame)[0]

    @property
    def reset(self) -> bool:
        self.plain.settimeout(5)
        try:
            return self.plain.recv(1) != b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.plain.close()


@contextmanager
def between(*rules: Rule, seed: int = 1) -> Iterator[tuple[Peer, KafkaProxy, Callable[[], Client]]]:
    with ExitStack() as held:
        peer = Peer()
        held.callback(peer.close)
        proxy = held.enter_context(KafkaProxy(peer.address, rules, seed=seed))

        def client() -> Client:
            made = Client(proxy)
            held.callback(made.close)
            return made

        yield peer, proxy, client


ENDS = Frames("EndTxn", transactional_id="shop")


def test_without_a_rule_everything_passes() -> None:
    with between() as (peer, proxy, client):
        one = client()
        one.end(1)
        one.beat(2)
        assert (one.hears(), one.hears(), peer.got) == (1, 2, [1, 2])
        assert [(entry.api, entry.side, entry.deed) for entry in proxy.log if entry.correlation == 1] == [
            ("EndTxn", "request", ""), ("EndTxn", "answer", "")
        ]  # fmt: skip


@pytest.mark.parametrize("cut", ["reset", "close"])
def test_a_held_request_outlives_its_client_and_strikes_later(cut: str) -> None:
    with between(Rule("stale", ENDS, Hold(Seen(ENDS, nth=2), cut=cut), nth=1)) as (peer, proxy, client):  # type: ignore[arg-type]
        first = client()
        first.end(1)
        assert first.reset == (cut == "reset")
        second = client()
        second.end(2)
        assert second.hears() == 2 and peer.got == [2]
        second.end(3)
        answer = proxy.wait("stale", "answered", 5)
        assert (answer.correlation, answer.error, answer.connection) == (1, "NONE", 1)
        assert second.hears() == 3 and sorted(peer.got) == [1, 2, 3]


def test_one_rule_waits_for_the_answer_to_what_another_struck() -> None:
    beats = Frames("Heartbeat")
    rules = [
        Rule("stale", ENDS, Hold(Seen(beats), cut="reset"), nth=1),
        Rule("then", beats, Hold(Answered("stale")), after="stale"),
    ]
    with between(*rules) as (peer, proxy, client):
        client().end(1)
        proxy.wait("stale")
        second = client()
        second.beat(2)
        assert second.hears() == 2 and peer.got == [1, 2]


def test_a_held_frame_holds_back_what_follows_on_its_connection() -> None:
    with between(Rule("late", ENDS, Hold(Elapsed(50, 60)))) as (peer, _, client):
        one = client()
        one.end(1)
        one.beat(2)
        assert (one.hears(), one.hears(), peer.got) == (1, 2, [1, 2])


@pytest.mark.parametrize(
    ("side", "reached"), [("request", []), ("answer", [1])], ids=["a request never arrives", "an answer is eaten"]
)
def test_dropped_frames_never_pass(side: str, reached: list[int]) -> None:
    ends = Frames("EndTxn", side, transactional_id="shop")  # type: ignore[arg-type]
    with between(Rule("eaten", ends, Drop())) as (peer, proxy, client):
        one = client()
        one.end(1)
        proxy.wait("eaten", seconds=30)
        assert one.hears(SHORT) is None and peer.got == reached


def test_a_doubled_request_reaches_the_broker_twice_and_is_answered_once() -> None:
    with between(Rule("twice", ENDS, Duplicate())) as (peer, _, client):
        one = client()
        one.end(1)
        one.beat(2)
        assert (one.hears(), one.hears(), peer.got) == (1, 2, [1, 1, 2])


def test_swapped_frames_change_their_order() -> None:
    with between(Rule("swapped", ENDS, Swap())) as (peer, _, client):
        one = client()
        one.end(1)
        one.beat(2)
        assert {one.hears(), one.hears()} == {1, 2} and peer.got == [2, 1]


def test_a_severed_connection_ends_on_both_sides() -> None:
    with between(Rule("severed", ENDS, Sever())) as (peer, _, client):
        one = client()
        one.end(1)
        assert one.reset and peer.got == []


def test_a_frozen_connection_stays_open_and_is_silent() -> None:
    with between(Rule("frozen", ENDS, Freeze())) as (peer, _, client):
        one = client()
        one.end(1)
        one.beat(2)
        assert one.hears(SHORT) is None and peer.got == []
        other = client()
        other.beat(3)
        assert other.hears() == 3


def test_a_broker_that_is_away_takes_no_connection_until_it_is_back() -> None:
    with between() as (_, proxy, client):
        one = client()
        one.beat(1)
        assert one.hears() == 1
        proxy.away()
        assert one.reset
        refused = client()
        with suppress(OSError):  # it may be gone already
            refused.beat(2)
        assert refused.hears() is None
        proxy.away(False)
        back = client()
        back.beat(3)
        assert back.hears() == 3


def test_a_rule_counts_only_its_frames_and_only_after_the_one_it_follows() -> None:
    rules = [
        Rule("other", Frames("EndTxn", transactional_id="desk"), Drop()),
        Rule("second", Frames("EndTxn", transactional_id="shop", committed=False), Drop(), nth=2, after="other"),
    ]
    with between(*rules) as (peer, proxy, client):
        one = client()
        for number in range(2):
            one.end(number, committed=False)
            assert one.hears() == number
        one.end(9, name="desk")
        one.end(2, committed=True)
        one.end(3, committed=False)
        one.end(4, committed=False)
        proxy.wait("second", seconds=30)
        assert [one.hears(), one.hears()] == [2, 3]
        assert peer.got == [0, 1, 2, 3]


def test_the_same_seed_draws_the_same_delays() -> None:
    def drawn(seed: int) -> list[float]:
        book = RuleBook(seed=seed)
        return [book.seconds(Elapsed(0, 5_000)) for _ in range(3)]

    assert drawn(7) == drawn(7) != drawn(8)


def test_what_never_comes_is_told_and_not_waited_for() -> None:
    with (
        between(Rule("never", Frames("Fetch"), Drop())) as (_, proxy, _client),
        pytest.raises(TimeoutError, match="'never'"),
    ):
        proxy.wait("never", seconds=0.05)


def test_rules_have_names_of_their_own() -> None:
    do: Deed = Drop()
    with pytest.raises(AssertionError, match="two rules"):
        RuleBook([Rule("one", ENDS, do), Rule("one", ENDS, do)], seed=1)

"""What every `Inbox` must do: exactly once rests on each of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import pytest

from headwater.ports.inbox import Inbox, Kept, Reached
from headwater.ports.record import TopicPartition

TOPIC = "orders.placed.v1"
PLACE, OTHER = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 3)


class Inboxes(Protocol):
    """A database under test. Effects are texts in the order in which they were written."""

    def inbox(self, consumer: str, topic: str) -> Inbox:
        """An inbox as one more process would make it."""

    def effect(self, effects: Any, text: str) -> None:
        """Write an effect through a transaction's `effects`."""

    def written(self) -> Sequence[str]:
        """The effects that are committed."""


class InboxSuite:
    """Subclass it, and give a fixture `inboxes`: a new database."""

    def test_effects_versions_and_progress_are_committed_together(self, inboxes: Inboxes) -> None:
        """Another process sees all three."""
        first = inboxes.inbox("board", TOPIC)
        with first.transaction() as transaction:
            inboxes.effect(transaction.effects, "one")
            transaction.keep({b"a": Kept(1, b"\x00value"), b"b": Kept(3, None)})
            transaction.reach({PLACE: Reached(7, "t1"), OTHER: Reached(0, "t1")})
        first.close()
        second = inboxes.inbox("board", TOPIC)
        assert inboxes.written() == ["one"]
        assert second.positions() == {PLACE: Reached(7, "t1"), OTHER: Reached(0, "t1")}
        with second.transaction() as transaction:
            assert transaction.known([b"a", b"b", b"c"]) == {b"a": Kept(1, b"\x00value"), b"b": Kept(3, None)}
        second.close()

    def test_an_error_takes_all_back_and_the_inbox_goes_on(self, inboxes: Inboxes) -> None:
        """None of the three stays."""
        inbox = inboxes.inbox("board", TOPIC)
        with pytest.raises(ZeroDivisionError), inbox.transaction() as transaction:
            inboxes.effect(transaction.effects, "never")
            transaction.keep({b"a": Kept(1, b"")})
            transaction.reach({PLACE: Reached(7, "t1")})
            raise ZeroDivisionError
        assert inboxes.written() == [] and inbox.positions() == {}
        with inbox.transaction() as transaction:
            assert transaction.known([b"a"]) == {}
            transaction.keep({b"a": Kept(2, b"newer")})
        with inbox.transaction() as transaction:
            transaction.keep({b"a": Kept(4, None)})
            assert transaction.known([b"a"]) == {b"a": Kept(4, None)}
        inbox.close()

    def test_consumers_and_topics_know_nothing_of_each_other(self, inboxes: Inboxes) -> None:
        """Each has versions, progress and a lease of its own."""
        one, two, three = (inboxes.inbox(*names) for names in (("a", TOPIC), ("b", TOPIC), ("a", "other.v1")))
        assert one.acquire() and two.acquire() and three.acquire()
        with one.transaction() as transaction:
            transaction.keep({b"a": Kept(1, b"")})
            transaction.reach({PLACE: Reached(1, "t1")})
        for other in (two, three):
            assert other.positions() == {}
            with other.transaction() as transaction:
                assert transaction.known([b"a"]) == {}
        for inbox in (one, two, three):
            inbox.close()

    def test_versions_are_forgotten_by_where_they_lie(self, inboxes: Inboxes) -> None:
        """Those before an offset of their partition, a bounded number at a time; of this consumer only."""
        inbox, other = inboxes.inbox("board", TOPIC), inboxes.inbox("other", TOPIC)
        versions = {f"{place}-{at}".encode(): Kept(1, b"v", (place, at)) for place in (0, 3) for at in range(4)}
        for one in (inbox, other):
            with one.transaction() as transaction:
                transaction.keep(versions | {b"somewhere": Kept(1, b"v")})
        with inbox.transaction() as transaction:
            assert transaction.forget({PLACE: 3, OTHER: 1}, 3) == 3
        with inbox.transaction() as transaction:
            assert transaction.forget({PLACE: 3, OTHER: 1}, 3) == 1
            assert transaction.forget({PLACE: 3, OTHER: 1}, 3) == 0
        with inbox.transaction() as transaction:
            left = {b"0-3", b"3-1", b"3-2", b"3-3", b"somewhere"}
            assert transaction.known([*versions, b"somewhere"]).keys() == left
        with other.transaction() as transaction:
            assert len(transaction.known([*versions])) == len(versions)
        for one in (inbox, other):
            one.close()

    def test_one_process_at_a_time_has_the_lease(self, inboxes: Inboxes) -> None:
        """It ends with who has it."""
        first, second = inboxes.inbox("board", TOPIC), inboxes.inbox("board", TOPIC)
        assert first.acquire() and first.acquire() and not second.acquire()
        first.close()
        assert second.acquire()
        second.close()

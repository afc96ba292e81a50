"""How many inputs one transaction takes: fewer after one that took longer than it may, more again after quick ones.

The broker aborts a transaction that is open for longer than its timeout, and fences its writer. The same inputs would
take as long again, so the next try takes half of them, down to one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headwater.errors import CallerFault, Fault, HeadwaterError
from headwater.naming import ProductName
from headwater.ports.record import TopicPartition

ALONE_LIMIT = 3  # tries with one input before the product ends: a machine that stood still makes one slow too
GROWS_BELOW = 4  # a transaction of less than a quarter of its timeout may be of twice as many inputs next time
TOO_SLOW = "HW-P180"
# What is said of a transaction that is open for too long, by us or by the broker that has aborted it, and of records
# that a broker could not take in time.
_SAID_OF_IT = frozenset({TOO_SLOW, "HW-R002", "HW-R003", "HW-R007", "HW-R012"})
_BROKERS_OWN = frozenset({"HW-R002", "HW-R012"})  # it, or the way to it, may be what is slow: no input is judged by it


class Batch:
    """The limit of one stage's transactions, kept over the lives of its worker. `timeout` in microseconds.

    >>> batch = Batch(10_000, 30_000_000)
    >>> batch.shrink(10_000); batch.limit
    5000
    >>> batch.took(1_000_000); batch.limit
    10000
    """

    def __init__(self, most: int, timeout: int) -> None:
        self.limit = most
        self.timeout = timeout
        self._most = most
        self._alone = 0

    def took(self, microseconds: int) -> None:
        """A transaction has committed after so long."""
        self._alone = 0
        if microseconds * GROWS_BELOW < self.timeout:
            self.limit = min(self._most, self.limit * 2)

    def shrink(self, inputs: int) -> None:
        """One of so many inputs took too long: the next takes half."""
        self.limit = max(1, min(self.limit, inputs) // 2)

    def judge(
        self,
        error: HeadwaterError,
        took: int,
        inputs: int,
        product: ProductName,
        places: Mapping[TopicPartition, tuple[int, int]],
    ) -> HeadwaterError | None:
        """What the error of a transaction of so many inputs means, where it took too long; None where it did not.

        `places` are the offsets that it would have passed: {partition: (first, next)}.
        """
        if took < self.timeout or error.code not in _SAID_OF_IT:
            return None
        single = self.limit == 1 or inputs <= 1
        self.shrink(inputs)
        if error.code not in _BROKERS_OWN:
            self._alone = self._alone + 1 if single else 0
        seconds = f"{took / 1_000_000:.0f} s, and may take {self.timeout // 1_000_000}"
        if self._alone < ALONE_LIMIT:
            why = "" if error.code == TOO_SLOW else f" ({error.code})"
            return Fault(
                f"{product}: a transaction of {inputs} inputs took {seconds}",
                code=TOO_SLOW,
                detail=f"it was aborted{why} and is tried again with {self.limit} at most; nothing is lost",
            )
        return CallerFault(
            f"{product}: even the smallest batch takes longer than a transaction may: {_named(places)} took {seconds}",
            code="HW-P181",
            detail=f"tried {ALONE_LIMIT} times by itself; nothing of it is published, and nothing before it is lost",
            hint="give it more time with headwater run --transaction-seconds (at most the broker's "
            "transaction.max.timeout.ms), or look at what the machine or the flow does with it",
        )


def _named(places: Mapping[TopicPartition, tuple[int, int]]) -> str:
    return ", ".join(_ordered(places)) or "a progress mark"


def _ordered(places: Mapping[TopicPartition, tuple[int, int]]) -> Iterable[str]:
    for place, (first, end) in sorted(places.items(), key=lambda entry: (entry[0].topic, entry[0].partition)):
        offsets = f"offset {first}" if end - first <= 1 else f"offsets {first} to {end - 1}"
        yield f"{place.topic}, partition {place.partition}, {offsets}"

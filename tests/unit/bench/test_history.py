"""The oracle of W2d, W3 and W4 gives what a recomputation by hand gives, and finds every kind of fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bench import history
from bench.amendments import CUSTOMERS_RECORDED_AT, AmendedLog, Customer, CustomerLog
from bench.history import TAKEN_BACK, History, Said
from bench.orders import RECORDED_FROM, Item, Order, OrderLog, tick_end

AMENDED = AmendedLog(OrderLog(events=3_000, customers=50, orders_per_tick=25))
ORACLE = History(history.sums(AMENDED.orders(), history.by_customer))
SECOND = 1_000_000


def order(event: str, amount: int, second: float, *, kind: str = "assert", revision: int = 1) -> Order:
    at = RECORDED_FROM + int(second * SECOND)
    return Order(event, "c1", RECORDED_FROM, amount, (Item("s", 1, amount),), at, kind, revision)


def right() -> list[Said]:
    """What a right system publishes."""
    return [
        Said(group, values, at, number)
        for group, known in ORACLE.versions.items()
        for number, (values, at) in enumerate(known, 1)
    ]


def test_a_correction_replaces_and_a_retraction_takes_out() -> None:
    orders = [
        order("a", 5, 0),
        order("b", 7, 1),
        order("a", 6, 2, kind="correct", revision=2),
        order("a", 6, 3, kind="retract", revision=3),
        order("b", 7, 4, kind="retract", revision=2),
    ]
    versions = [values for values, _ in History(history.sums(orders, history.by_customer)).versions["c1"]]
    assert versions == [(1, 5), (2, 12), (2, 13), (1, 7), TAKEN_BACK]


def test_what_changes_back_within_a_tick_is_no_version() -> None:
    orders = [
        order("a", 5, 0),
        order("b", 7, 1),
        order("b", 7, 1.05, kind="retract", revision=2),
    ]
    assert len(History(history.sums(orders, history.by_customer)).versions["c1"]) == 1


def test_what_comes_and_goes_within_a_tick_was_never_there() -> None:
    orders = [order("a", 5, 0), order("a", 5, 0.05, kind="retract", revision=2)]
    assert not History(history.sums(orders, history.by_customer)).versions


def test_a_corrected_customer_corrects_its_orders_and_no_others() -> None:
    since = RECORDED_FROM - SECOND
    customers = [
        Customer("c1", since, "gold", CUSTOMERS_RECORDED_AT, "assert", 1),
        Customer("c1", since, "none", RECORDED_FROM + SECOND, "correct", 2),
    ]
    orders = [order("a", 5, 0), order("b", 7, 2)]
    versions = History(history.enriched(orders, customers)).versions
    assert [values[-1] for values, _ in versions["a"]] == ["gold", "none"]
    assert [values[-1] for values, _ in versions["b"]] == ["none"]
    assert versions["a"][1][1] == tick_end(RECORDED_FROM + SECOND)


def test_late_orders_count_in_their_hour() -> None:
    log = OrderLog(events=4_000, customers=20, orders_per_tick=10, ticks_apart=3_000, late_per_mille=20)
    late = sum(one.recorded_at - one.occurred_at >= 600 * SECOND for one in log.orders())
    assert 40 < late < 120
    groups = History(history.sums(log.orders(), history.by_hour)).versions
    assert sum(int(str(known[-1][0][0])) for known in groups.values()) == 4_000


def test_right_output_is_verified() -> None:
    verdict = ORACLE.judge(right(), demand="exact")
    assert (verdict.fault, verdict.right_share) == ("", 1.0)
    assert verdict.outputs == ORACLE.count()


FAULTS: dict[str, Callable[[list[Said]], list[Said]]] = {
    "a wrong value": lambda said: [said[0]._replace(values=(1, 1)), *said[1:]],
    "more than there are": lambda said: [*said, said[-1]],
    "lack their last value": lambda said: said[:-1],
    "never written": lambda said: [said[0]._replace(group="nobody"), *said[1:]],
    "revisions": lambda said: [said[0]._replace(revision=2), *said[1:]],
    "recorded_at": lambda said: [said[0]._replace(recorded_at=1), *said[1:]],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_an_exact_system_is_found(fault: str) -> None:
    assert fault in ORACLE.judge(FAULTS[fault](right()), demand="exact").fault


def test_a_system_that_merges_needs_no_version_but_a_last_one_and_never_a_wrong_one() -> None:
    last = {said.group: said._replace(revision=0, recorded_at=0) for said in right()}
    assert ORACLE.judge(last.values(), demand="some").verified
    assert "lack" in ORACLE.judge(list(last.values())[1:], demand="some").fault
    every = [Said(group, values) for group, values, _ in history.sums(AMENDED.orders(), history.by_customer)]
    assert len(every) > ORACLE.count()
    assert ORACLE.judge(every, demand="some").verified
    wrong = [one._replace(values=(-1, -1)) for one in last.values()]
    assert "never right" in ORACLE.judge(wrong, demand="some").fault


def test_the_share_of_right_values_says_what_is_lost() -> None:
    last = list({said.group: said for said in right()}.values())
    half = [one if place % 2 else one._replace(values=(-1, -1)) for place, one in enumerate(last)]
    verdict = ORACLE.judge(half[: len(half) - 10], demand="share")
    assert verdict.verified
    assert verdict.right_share == pytest.approx(20 / 50)


def test_the_logs_can_be_read_again_and_are_in_recorded_order() -> None:
    assert list(AMENDED.orders()) == list(AMENDED.orders())
    stamps = [one.recorded_at for one in AMENDED.orders()]
    assert stamps == sorted(stamps)
    kinds = [one.kind for one in AMENDED.orders()]
    assert (kinds.count("assert"), 15 < kinds.count("correct") < 60) == (3_000, True)
    customers = list(CustomerLog(OrderLog(events=500, customers=200, orders_per_tick=50)).customers())
    assert [one.recorded_at for one in customers] == sorted(one.recorded_at for one in customers)
    assert sum(one.kind == "correct" for one in customers) == 2

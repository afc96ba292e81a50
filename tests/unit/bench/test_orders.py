"""The inputs are the same for every system, and share ticks as the workloads say."""

from __future__ import annotations

from collections import Counter

import pytest
from bench.orders import OrderLog, tick_end, tick_of
from bench.outbox_rows import OutboxLog


def test_two_readings_give_the_same_orders_and_another_seed_gives_others() -> None:
    log = OrderLog(events=300, customers=50, orders_per_tick=20)
    assert list(log.orders()) == list(log.orders())
    assert list(log.orders()) != list(OrderLog(events=300, customers=50, orders_per_tick=20, seed=2).orders())


def test_a_customer_orders_at_most_once_in_a_tick_where_orders_are_distinct() -> None:
    log = OrderLog(events=1_000, customers=50, orders_per_tick=40, distinct=True)
    shared = Counter((order.customer, tick_of(order.recorded_at)) for order in log.orders())
    assert max(shared.values()) == 1
    assert len({tick for _, tick in shared}) == log.ticks == 25


def test_dense_orders_share_customer_and_tick_about_as_often_as_asked() -> None:
    log = OrderLog(events=5_000, customers=100, orders_per_tick=500, distinct=False)
    outputs = len({(order.customer, tick_of(order.recorded_at)) for order in log.orders()})
    assert 4.5 < log.events / outputs < 5.5


def test_recorded_time_never_goes_back_and_the_mark_lies_after_all_of_it() -> None:
    log = OrderLog(events=250, customers=50, orders_per_tick=20)
    recorded = [order.recorded_at for order in log.orders()]
    assert recorded == sorted(recorded)
    assert tick_end(recorded[-1]) < log.through == tick_end(log.through)


def test_more_distinct_customers_than_there_are_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="distinct"):
        OrderLog(events=1, customers=3, orders_per_tick=4)


def test_outbox_rows_are_all_there_in_transactions_of_one_to_a_hundred() -> None:
    transactions = list(OutboxLog(rows=3_000, round=0).transactions())
    sizes = [len(transaction) for transaction in transactions]
    assert sum(sizes) == 3_000
    assert 1 <= min(sizes) < max(sizes) <= 100
    assert len({row.id for transaction in transactions for row in transaction}) == 3_000


def test_no_round_has_rows_of_another() -> None:
    first, second = (
        {row.id for transaction in OutboxLog(rows=500, round=round_).transactions() for row in transaction}
        for round_ in (0, 1)
    )
    assert not first & second

"""Our products on other runners: the same work as by itself, and what a runner does not take is said before it runs."""

from __future__ import annotations

from typing import Any

import pytest
from bench.kafka import Kafka
from bench.plan import NAMED, Selection
from bench.report import REFUSED
from bench.stack import NEXMARK, Stack
from bench.systems.headwater import HeadwaterRun
from bench.systems.headwater_elsewhere import HeadwaterOnFlink, elsewhere

from headwater.naming import ProductName


def systems(product: str) -> dict[str, Any]:
    stack = Stack(NEXMARK)
    ours = HeadwaterRun(stack, Kafka(stack.bootstrap), ProductName("nexmark", product), {}, None, through=7)  # type: ignore[arg-type]
    return {one.name: one for one in elsewhere([ours])}


def test_they_are_there_where_they_are_named() -> None:
    made = systems("euros")
    assert set(made) == set(NAMED) - {"quix", "faust", "flink", "flink-heap"} == {"headwater-faust", "headwater-flink"}
    assert not any(Selection(("W5-q1",)).takes(one) for one in made.values())
    for name, one in made.items():
        assert Selection(("W5-q1",), (name,)).takes(one)
        assert one.again == made["headwater-faust"].again
        command = list(one.command().arguments)
        assert command[command.index("run") + 1] == "nexmark.euros"
        assert command[command.index("--runner") + 1] == name.removeprefix("headwater-")
        assert not list(elsewhere([one])), "only of the runner by itself"


def test_a_query_that_flink_does_not_take_is_refused_before_anything_is_made() -> None:
    flink = systems("last_bids")["headwater-flink"]
    assert isinstance(flink, HeadwaterOnFlink)
    with pytest.raises(RuntimeError, match="the flink runner does not take latest") as refused:
        flink.prepare(0)
    assert str(refused.value).startswith(REFUSED)

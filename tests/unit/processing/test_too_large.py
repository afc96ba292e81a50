"""Integers that a flow computes beyond 64 bits: a record is refused for them, a fold ends in words; none is cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headwater.errors import CallerFault
from headwater.processing.expressions import col
from headwater.processing.flow import count, maximum, total
from headwater.processing.windows import whole
from headwater.testing.harness import Harness, product

SOURCE = product("shop.orders", shape="event", key=["id"], fields={"id": "string", "shop": "string", "n": "long"})
SHOPS = product("shop.sums", shape="fact", key=["shop"], fields={"shop": "string", "n": "long"})
EVENTS = product("shop.large", shape="event", key=["id"], fields={"id": "string", "n": "long"})
LATEST = product("shop.latest", shape="fact", key=["shop"], fields={"shop": "string", "n": "long"})
FITS, TOO_LARGE = (1 << 61) - 1, 1 << 61


def fourfold(stream: Any) -> Any:
    return stream.map(n=col("n") * 4)


FLOWS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "published": (lambda stream: fourfold(stream).select("id", "n"), EVENTS),
    "least and most": (lambda stream: fourfold(stream).aggregate(by=["shop"], window=whole(), n=maximum("n")), SHOPS),
    "summed": (lambda stream: fourfold(stream).aggregate(by=["shop"], window=whole(), n=total("n")), SHOPS),
    "latest": (lambda stream: fourfold(stream).latest(by=["shop"]).select("shop", "n"), LATEST),
}


def given(flow: Callable[[Any], Any], output: Any, *numbers: int) -> Harness:
    harness = Harness(flow, inputs=[SOURCE], output=output)
    for place, number in enumerate(numbers):
        harness.at(f"2026-01-05T10:00:0{place}Z").give(
            SOURCE, event_id=f"e{place}", id=f"e{place}", shop="s", n=number, occurred_at="2026-01-05T10:00:00Z"
        )
    return harness


@pytest.mark.parametrize("name", FLOWS)
def test_a_record_of_which_it_comes_to_more_is_refused_and_the_next_is_taken(name: str) -> None:
    harness = given(*FLOWS[name], TOO_LARGE, -TOO_LARGE - 1, FITS)
    assert [record["n"] for record in harness.records()] == [FITS * 4]
    codes = [letter.error.code for letter in harness.runner.quarantined]
    assert codes == ["HW-P085" if name == "published" else "HW-P083"] * 2


def test_what_is_computed_on_the_way_may_be_larger() -> None:
    harness = given(lambda stream: fourfold(stream).select("id", n=(col("n") // 8).coalesce(0)), EVENTS, TOO_LARGE)
    assert [record["n"] for record in harness.records()] == [TOO_LARGE // 2]
    counted = given(lambda stream: fourfold(stream).filter(col("n") > 0).aggregate(
        by=["shop"], window=whole(), n=count()), SHOPS, TOO_LARGE)  # fmt: skip
    assert [record["n"] for record in counted.records()] == [1]


def test_behind_a_fold_it_ends_the_product_in_words() -> None:
    def flow(stream: Any) -> Any:
        return fourfold(stream.aggregate(by=["shop"], window=whole(), n=total("n")))

    with pytest.raises(CallerFault) as ended:
        given(flow, SHOPS, FITS, FITS).records()
    assert ended.value.code == "HW-P089"
    assert [record["n"] for record in given(flow, SHOPS, FITS).records()] == [FITS * 4]

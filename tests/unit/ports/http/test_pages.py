"""Pages over HTTP, in this process: all together they are the answer, whatever is written while they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.unit.ports.http.serving import HTTP, Site
from tests.unit.ports.index.kept import MemoryStores
from tests.unit.ports.test_answers import KEYS, PARTITIONS, World, level, order

from headwater.ports.answers import TopicAnswers
from headwater.ports.http.pages import Pages
from headwater.ports.http.slices import Slices
from headwater.testing.oracles import events_as_of, fact_as_of
from headwater.testing.source_products import order_events, stock_facts
from headwater.testing.strategies import event_histories, fact_histories
from headwater.timeline.instant import Instant

Record = dict[str, Any]
PROFILE = settings(max_examples=25, derandomize=True, deadline=None)


def by_id(records: list[Record]) -> list[str]:
    return sorted(record["event_id"] for record in records)


HISTORY = event_histories({"n": st.integers(0, 9)}, key="k", length=30)


@pytest.mark.parametrize("indexed", [False, True])
@PROFILE
@given(history=HISTORY, limit=st.integers(1, 5), data=st.data())
def test_pages_are_one_answer_though_the_topic_grows_between_them(
    indexed: bool, history: list[Record], limit: int, data: st.DataObject
) -> None:
    pages_are_one_answer(history, limit, data, indexed=indexed)


def pages_are_one_answer(history: list[Record], limit: int, data: st.DataObject, *, indexed: bool) -> None:
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    written = [order(record) for record in history]
    known = data.draw(st.integers(0, len(written)))
    world.write(*written[:known])
    site = Site(world, forgetful=data.draw(st.booleans()), stores=MemoryStores() if indexed else None)
    recorded = data.draw(st.none() | st.integers(0, 60))
    path = f"as-of?limit={limit}" + (f"&recorded={Instant(recorded).iso()}" if recorded is not None else "")
    found, left = [], written[known:]
    page = site.get(path)
    while True:
        found += page["records"]
        assert len(page["records"]) <= limit
        if "next" not in page:
            break
        if left:
            world.write(left.pop(0))
        page = site.follow(page["next"])
    expected = events_as_of(written[:known], 1 << 50 if recorded is None else recorded)
    assert by_id(found) == by_id(expected)


@pytest.mark.parametrize("indexed", [False, True])
@PROFILE
@given(
    history=HISTORY,
    limit=st.integers(1, 5),
    known=st.integers(0, 30),
    data=st.data(),
)
def test_a_snapshot_in_pages_and_the_feed_behind_it_hold_each_record_once(
    indexed: bool, history: list[Record], limit: int, known: int, data: st.DataObject
) -> None:
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    written = [order(record) for record in history]
    first, late = written[:known], written[known:]
    if first and late:  # a mark may not lie within one recorded moment
        late = [record for record in late if record["recorded_at"] > first[-1]["recorded_at"]]
    world.write(*first, marked=first[-1]["recorded_at"] if first else None)
    site = Site(world, forgetful=data.draw(st.booleans()), stores=MemoryStores() if indexed else None)
    found, page = [], site.get(f"snapshot?limit={limit}")
    tail = page["tail"]
    while True:
        found += page["records"]
        assert page["tail"].split("after=")[1] == tail.split("after=")[1]
        if "next" not in page:
            break
        page = site.follow(page["next"])
    assert by_id(found) == by_id(events_as_of(first, 1 << 50))
    world.write(*late)
    followed: list[Record] = []
    while piece := (answer := site.follow(tail))["records"]:
        followed += piece
        tail = answer["next"].replace("wait=20", "wait=0")
        if data.draw(st.booleans()):
            site.forget()
    assert sorted((one["event_id"], one["revision"]) for one in followed) == sorted(
        (one["event_id"], one["revision"]) for one in late
    )


@PROFILE
@given(fact_histories({"count": st.integers(0, 9)}, key="p", keys=KEYS), st.integers(0, 100), st.integers(0, 60))
def test_facts_of_one_key_are_as_the_whole_history_has_them(history: list[Record], valid: int, recorded: int) -> None:
    world = World(stock_facts(partitions=PARTITIONS, ports=HTTP))
    written = [level(record) for record in history]
    world.write(*written)
    site = Site(world)
    for place in KEYS:
        query = f"key.place={place}&key.article=x&valid={Instant(valid).iso()}&recorded={Instant(recorded).iso()}"
        found = site.get(f"as-of?{query}")["records"]
        fact = fact_as_of(written, {"place": place}, valid, recorded)
        assert [one["count"] for one in found] == ([] if fact is None else [fact["count"]])
        rows = site.get(f"history?key.place={place}&key.article=x")["records"]
        assert len(rows) == sum(record["place"] == place for record in written)


def test_the_page_of_a_history_does_not_repeat_records_that_are_equal() -> None:
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    same = order(
        {"k": "ada", "n": 1, "event_id": "e", "occurred_at": 1, "recorded_at": 2, "kind": "assert", "revision": 1}
    )
    world.write(same, same, same)  # as a runner that delivers at least once may
    site = Site(world)
    page, count = site.get("history?limit=1"), 0
    while True:
        count += len(page["records"])
        if "next" not in page:
            break
        page = site.follow(page["next"])
    assert count == 3


@pytest.mark.parametrize("broken", ["cut", "other topic", "other kind", "old", "other key"])
def test_a_cursor_that_was_not_given_for_this_is_refused(broken: str) -> None:
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    world.write(*[order({"k": "ada", "n": n, "event_id": f"e{n}", "occurred_at": 1, "recorded_at": 2, "kind": "assert",
                         "revision": 1}) for n in range(3)])  # fmt: skip
    site = Site(world)
    cursor = site.get("as-of?limit=1")["next"].split("cursor=")[1]
    path = f"as-of?cursor={cursor}"
    if broken == "cut":
        path = path[:-3]
    elif broken == "other topic":
        path = f"as-of?cursor={site.cursors.write('page', 'another.topic.v1', [None] * 7)}"
    elif broken == "other kind":
        path = f"history?cursor={cursor}"
    elif broken == "old":
        world.clock.sleep(3_600_000_000 + 1_000_000)
    else:
        site = Site(world, key=b"another")
    answer = site.http.get(f"{site.base}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (400, "HW-R032")


def test_a_client_that_follows_costs_one_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    site, opened, reader = Site(world), [], world.broker.reader
    monkeypatch.setattr(world.broker, "reader", lambda places: opened.append(places) or reader(places))
    with TestClient(site.app):
        answer = site.get("feed?after=start")
        for _ in range(5):
            answer = site.follow(answer["next"].replace("wait=20", "wait=0"))
    assert len(opened) == 1


def unpinned(patch: pytest.MonkeyPatch) -> None:
    """Pages that are cut from whatever there is by then."""
    answer = Pages._answer

    def of_now(self: Pages, served: Any, asked: Any, known: Any) -> Any:
        return answer(self, served, replace(asked, question=replace(asked.question, ends=None)), known)

    patch.setattr(Pages, "_answer", of_now)


def ignorant(patch: pytest.MonkeyPatch) -> None:
    """A port that ignores the recorded moment."""
    as_of = TopicAnswers.as_of
    patch.setattr(TopicAnswers, "as_of", lambda self, question: as_of(self, replace(question, recorded_at=None)))


def unpinned_slices(patch: pytest.MonkeyPatch) -> None:
    """The same of pages that are cut from an index."""
    read = Slices._read

    def of_now(self: Slices, served: Any, text: str, *, history: bool) -> Any:
        asked = read(self, served, text, history=history)
        return replace(asked, question=replace(asked.question, ends=None))

    patch.setattr(Slices, "_read", of_now)


@pytest.mark.parametrize(("saboteur", "indexed"), [(unpinned, False), (ignorant, False), (unpinned_slices, True)])
def test_a_saboteur_is_found_out(
    saboteur: Callable[[pytest.MonkeyPatch], None], indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    @settings(max_examples=100, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
    @given(st.lists(st.sampled_from(KEYS), min_size=4, max_size=12), st.integers(1, 5), st.data())
    def hunt(keys: list[str], limit: int, data: st.DataObject) -> None:
        history = [
            {"k": key, "n": 1, "event_id": f"e{number:02d}", "occurred_at": 1, "recorded_at": number, "kind": "assert",
             "revision": 1}
            for number, key in enumerate(keys)
        ]  # fmt: skip
        pages_are_one_answer(history, limit, data, indexed=indexed)

    saboteur(monkeypatch)
    with pytest.raises(AssertionError):
        hunt()

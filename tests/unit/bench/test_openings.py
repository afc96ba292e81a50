"""The generator of persons and auctions, and the oracles of queries 3 and 8, against what the queries say in words."""

from __future__ import annotations

import pytest
from bench import sellers
from bench.filling import encode
from bench.history import History
from bench.openings import Opening, OpeningLog, Person
from bench.sellers import PRODUCTS, QUERIES, WINDOW
from bench.stack import NEXMARK
from bench.systems.avro_reader import AvroReader
from fastavro.schema import load_schema
from fastavro.utils import generate_many

LOG = OpeningLog(events=8_000)


def test_a_log_is_the_same_each_time_and_in_recorded_order() -> None:
    every = list(LOG.all())
    assert every == list(LOG.all())
    assert len(every) == 8_000
    assert [one.recorded_at for one in every] == sorted(one.recorded_at for one in every)
    assert every[-1].recorded_at <= LOG.through
    assert len({one.event_id for one in every}) == 8_000


def test_a_person_signs_up_before_their_auctions_in_both_times() -> None:
    known: dict[str, Person] = {}
    for one in LOG.all():
        if isinstance(one, Person):
            known[one.person] = one
        else:
            assert known[one.seller].occurred_at < one.occurred_at <= one.recorded_at


def test_most_auctions_are_of_hot_sellers() -> None:
    numbers = [int(one.seller[1:]) for one in LOG.openings()]
    assert 0.7 < sum(number % 100 == 0 for number in numbers) / len(numbers) < 0.8


def test_local_sellers_are_those_of_the_category_and_the_states() -> None:
    persons = {one.person: one for one in LOG.persons()}
    wanted = {
        one.event_id for one in LOG.openings() if one.category == 10 and persons[one.seller].state in ("OR", "ID", "CA")
    }
    assert {event for event, _, _ in sellers.local_sellers(LOG)} == wanted
    assert 0 < len(wanted) < 1_200


def test_new_sellers_signed_up_and_sold_in_one_window() -> None:
    def window(one: Person | Opening) -> int:
        return one.occurred_at // WINDOW * WINDOW

    signed = {(one.person, window(one)): one.full_name for one in LOG.persons()}
    opened: dict[tuple[str, int], int] = {}
    for one in LOG.openings():
        opened[one.seller, window(one)] = opened.get((one.seller, window(one)), 0) + 1
    wanted = {
        f"{who}@{start}": (signed[who, start], opened[who, start]) for who, start in signed.keys() & opened.keys()
    }
    found = {group: known[-1][0] for group, known in History(sellers.new_sellers(LOG)).versions.items()}
    assert found == wanted
    assert sum(opened.values()) > sum(count for _, count in wanted.values()) > 0  # some sold in a later window


@pytest.mark.parametrize("name", QUERIES)
def test_what_a_query_is_read_back_with_fits_its_schema(name: str) -> None:
    (file,) = (NEXMARK / "schemas" / "avro" / "nexmark" / PRODUCTS[name]).glob("*.avsc")
    schema = load_schema(str(file))
    (record,) = generate_many(schema, 1)
    reader = AvroReader(encode(schema, record))
    group, values = QUERIES[name].read(reader)
    reader.long(), reader.long(), reader.long()
    assert reader.ended
    assert group.split("@")[0] in (record.get("event_id"), record.get("person"))
    assert len(values) > 1


@pytest.mark.parametrize("name", QUERIES)
def test_every_record_of_an_input_fits_its_schema(name: str) -> None:
    for feed in QUERIES[name].feeds(OpeningLog(events=40)):
        schema = load_schema(str(feed.schema))
        assert all(len(encode(schema, value)) > 40 for _, _, value in feed.records)

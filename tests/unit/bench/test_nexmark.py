"""Nexmark's generator and the oracles of its queries, against what the queries say in words."""

from __future__ import annotations

import pytest
from bench import queries
from bench.filling import encode
from bench.history import TAKEN_BACK, History
from bench.last_bids import OPEN, LastBids, Said
from bench.nexmark import BIDS_PER_TICK, NexmarkLog
from bench.orders import tick_end
from bench.plan import WORKLOADS, mesh_of
from bench.queries import DAY, QUERIES
from bench.stack import MESH, NEXMARK
from bench.systems.avro_reader import AvroReader
from fastavro.schema import load_schema
from fastavro.utils import generate_many

PLAIN = NexmarkLog(bids=3_000)
LATE = NexmarkLog(bids=3_000, late_per_mille=20, amended=True)


@pytest.mark.parametrize("log", [PLAIN, LATE])
def test_a_log_is_the_same_each_time_and_in_recorded_order(log: NexmarkLog) -> None:
    bids = list(log.all_bids())
    assert bids == list(log.all_bids())
    assert [bid.recorded_at for bid in bids] == sorted(bid.recorded_at for bid in bids)
    assert bids[-1].recorded_at <= log.through
    assert all(bid.occurred_at <= bid.recorded_at for bid in bids if bid.kind == "assert")


def test_some_bids_are_late_corrected_and_taken_back() -> None:
    bids = list(LATE.all_bids())
    late = sum(bid.recorded_at - bid.occurred_at >= 600_000_000 for bid in bids if bid.kind == "assert")
    kinds = [bid.kind for bid in bids]
    assert 30 < late < 100
    assert 3 < kinds.count("correct") < 40
    assert 0 < kinds.count("retract") < 15
    assert {bid.kind for bid in PLAIN.all_bids()} == {"assert"}


def test_every_auction_is_there_before_the_first_bid_on_it() -> None:
    opened = {one.auction: one.recorded_at for one in PLAIN.auctions()}
    stamps = list(opened.values())
    assert stamps == sorted(stamps)
    assert all(tick_end(opened[bid.auction]) <= tick_end(bid.recorded_at) for bid in PLAIN.all_bids())


def test_the_last_statistics_of_a_day_are_those_of_its_bids() -> None:
    last = {bid.event_id: bid for bid in LATE.all_bids()}
    prices: dict[str, list[int]] = {}
    for bid in last.values():
        if bid.kind != "retract":
            prices.setdefault(f"{bid.auction}@{bid.occurred_at // DAY * DAY}", []).append(bid.price)
    versions = History(queries.auction_days(LATE)).versions
    standing = {day: known[-1][0] for day, known in versions.items() if known[-1][0] != TAKEN_BACK}
    assert set(standing) == set(prices)
    for day, some in prices.items():
        assert standing[day][0] == len(some)
        assert standing[day][4:] == (min(some), max(some), sum(some))
        assert sum(int(str(count)) for count in standing[day][1:4]) == len(some)


def test_queries_select_what_they_say() -> None:
    every = list(PLAIN.all_bids())
    assert len(list(queries.euros(PLAIN))) == len(every)
    wanted = {bid.event_id for bid in every if int(bid.auction[1:]) % 123 == 0}
    assert {event for event, _, _ in queries.selected(PLAIN)} == wanted
    category = {one.auction: one.category for one in PLAIN.auctions()}
    assert {event for event, _, _ in queries.expanded(PLAIN)} == {
        bid.event_id for bid in every if category[bid.auction] == 10
    }
    assert len({bid.recorded_at // 100_000 for bid in every}) == 3_000 // BIDS_PER_TICK


@pytest.mark.parametrize("name", QUERIES)
def test_what_a_query_is_read_back_with_fits_its_schema(name: str) -> None:
    product, _, read = QUERIES[name]
    (file,) = (NEXMARK / "schemas" / "avro" / "nexmark" / product).glob("*.avsc")
    schema = load_schema(str(file))
    (record,) = generate_many(schema, 1)
    reader = AvroReader(encode(schema, record))
    group, values = read(reader)
    reader.long(), reader.long(), reader.long()
    assert reader.ended
    assert group.split("@")[0] in (record.get("event_id"), record.get("auction"))
    assert len(values) > 1


def test_each_workload_has_a_mesh() -> None:
    assert {mesh_of(name) for name in WORKLOADS} == {MESH, NEXMARK}


def test_the_last_bids_are_judged_as_a_state_over_valid_time() -> None:
    pairs = LastBids(NexmarkLog(bids=500))
    said = [Said(pair, *piece, 1) for pair, pieces in pairs.pieces.items() for piece in pieces]
    assert pairs.judge(said).verified
    assert "not as their bids say" in pairs.judge(said[1:]).fault
    assert "not as their bids say" in pairs.judge([said[0]._replace(price=1), *said[1:]]).fault
    assert "not as their bids say" in pairs.judge([*said, said[0]._replace(price=None, revision=2)]).fault
    assert "revisions" in pairs.judge([*said, said[0]]).fault


def test_what_is_said_of_an_interval_overrides_what_was_said_of_it_before() -> None:
    pairs = LastBids(NexmarkLog(bids=1))
    ((pair, (piece,)),) = pairs.pieces.items()
    later = Said(pair, piece.start + 10, OPEN, 7, 1)
    assert not pairs.judge([Said(pair, *piece, 1), later]).verified
    assert pairs.judge([Said(pair, *piece, 1), later, later._replace(price=piece.price, revision=2)]).verified

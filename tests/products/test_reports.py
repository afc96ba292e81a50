"""The list of reports: facts of the data set, and what goes wrong with a report on purpose."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import islice

import pytest
from examples import recomputation
from examples.services import accidents, data
from examples.services.reports import (
    AIRCRAFT,
    ARRIVALS,
    DEPARTURES,
    SEED_DEFAULT,
    WEATHER,
    Cancellation,
    Replay,
    Report,
)

ROWS = 3_000


@pytest.fixture(scope="module")
def first_flights() -> Replay:
    return Replay(ROWS)


@pytest.fixture(scope="module")
def replay(first_flights) -> list[Report | Cancellation]:
    return list(first_flights)


def test_first_flights_are_taken_in_order_of_report_cancelled_ones_among_them(replay):
    flights = {report.identity for report in replay if isinstance(report, Report) and report.product == DEPARTURES}
    cancelled = [report for report in replay if isinstance(report, Cancellation)]
    assert len(flights) + len(cancelled) == ROWS
    assert flights.isdisjoint(report.flight.flight_id for report in cancelled)


def test_reports_come_in_order_of_report(replay):
    moments = [report.reported_at for report in replay]
    assert moments == sorted(moments)


def test_other_sources_reach_the_same_moment_at_every_airport(replay, first_flights):
    moment = first_flights.moment
    last = {}
    for report in replay:
        if isinstance(report, Report) and report.product == WEATHER:
            last[report.record["origin"]] = max(last.get(report.record["origin"], 0), report.record["valid_from"])
    assert sorted(last) == ["EWR", "JFK", "LGA"]
    assert all(0 <= moment - hour < 3 * data.HOUR for hour in last.values())


def test_revisions_of_one_thing_grow_from_one_and_keep_its_event_id(replay):
    revisions, ids = {}, {}
    for report in replay:
        if isinstance(report, Report):
            key = (report.product, report.identity)
            revisions.setdefault(key, []).append((report.revision, report.kind))
            ids.setdefault(key, set()).add(report.event_id)
    for history in revisions.values():
        assert [revision for revision, _ in history] == list(range(1, len(history) + 1))
        assert history[0][1] == "assert" and all(kind != "assert" for _, kind in history[1:])
        assert [kind for _, kind in history[:-1]].count("retract") == 0
    assert all(len(known) == 1 for known in ids.values())
    events = [ids[key] for key in ids if key[0] in (DEPARTURES, ARRIVALS)]
    assert len({frozenset(known) for known in events}) == len(events)


def test_a_correction_says_what_the_data_set_says(replay):
    """The first report of what is corrected later is wrong; the last word is the truth."""
    first, last = {}, {}
    for report in replay:
        if isinstance(report, Report) and report.product == DEPARTURES:
            first.setdefault(report.identity, report)
            last[report.identity] = report
    truth = {recomputation.flight_id(flight): flight for flight in recomputation.all_flights()}
    for identity, report in last.items():
        assert report.record["delay_minutes"] == int(truth[identity]["dep_delay"])
        assert report.record["occurred_at"] == _microseconds(recomputation.departed_at(truth[identity]))
    corrected = [identity for identity, report in last.items() if report.kind == "correct"]
    assert corrected
    assert all(first[identity].record != last[identity].record for identity in corrected)


def test_the_same_seed_gives_the_same_reports_and_another_seed_other_ones(replay):
    assert list(Replay(ROWS, seed=SEED_DEFAULT)) == replay
    assert list(Replay(ROWS, seed=SEED_DEFAULT + 1)) != replay


def test_shares_of_late_corrected_and_withdrawn_are_those_promised():
    lots = [accidents.accident(SEED_DEFAULT, DEPARTURES, f"flight {number}") for number in range(50_000)]
    assert sum(lot.late > 0 for lot in lots) / 50_000 == pytest.approx(0.02, rel=0.1)
    assert sum(lot.corrected_after is not None for lot in lots) / 50_000 == pytest.approx(0.01, rel=0.1)
    assert sum(lot.withdrawn_after is not None for lot in lots) / 50_000 == pytest.approx(0.001, rel=0.3)
    assert all(2 * data.HOUR <= lot.late < 120 * data.HOUR for lot in lots if lot.late)


@pytest.mark.slow
def test_the_whole_data_set_has_the_numbers_it_is_known_for():
    replay = Replay()
    counts = Counter({product: replay.counts[product] - replay.corrections[product] for product in replay.counts})
    assert counts == {DEPARTURES: 328_521, ARRIVALS: 327_346, WEATHER: 26_115, AIRCRAFT: 3_322}
    assert len(replay) - sum(replay.counts.values()) == 8_255


@pytest.mark.slow
def test_time_from_gate_to_gate_agrees_with_the_plain_recomputation():
    for line, row in islice(zip(data.flight_lines(), recomputation.all_flights(), strict=True), 0, None, 50):
        flight = data.parse_flight(line)
        if flight.arrived_at is not None:
            assert flight.elapsed == recomputation.gate_to_gate(row)


def _microseconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp()) * 1_000_000

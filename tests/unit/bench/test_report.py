"""Figures are medians of the rounds that count; a fault in any round takes all figures away."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bench import chaos
from bench.chaos import PROGRAMS, judged, parts
from bench.plan import SIZES, chosen
from bench.report import REFUSED, Round, Series, entry, save, table, unmeasured

ROUND = Round(
    seconds=11.0,
    seconds_running=8.0,
    events_running=800_000,
    cpu_seconds=10.0,
    cpu_seconds_running=8.0,
    rss_bytes=200_000_000,
    broker_cpu_seconds=2.2,
    outputs=1_000_000,
)


def series(system: str, *rounds: Round, discarded: int = 0) -> Series:
    return Series("W2a", system, "1.0", 1_000_000, list(rounds), discarded=discarded)


def test_the_first_round_is_thrown_away_and_the_median_of_the_others_stands() -> None:
    slow, fast = replace(ROUND, seconds_running=80.0), replace(ROUND, seconds_running=4.0)
    found = entry(series("headwater", slow, ROUND, fast, ROUND, discarded=1))
    assert found["events_per_second"] == 100_000
    assert found["spread"]["events_per_second"] == [100_000, 200_000]
    assert found["cpu_seconds_per_million"] == 10.0
    assert found["rss_mb"] == 200
    assert found["broker_cpu_share"] == 0.2
    assert found["verified"] is True
    assert len(found["rounds"]) == 4


def test_a_system_with_a_wrong_output_has_no_time() -> None:
    found = entry(series("headwater", ROUND, replace(ROUND, fault="a wrong sum")))
    assert (found["verified"], found["events_per_second"], found["fault"]) == (False, None, "a wrong sum")


def test_every_entry_has_the_published_keys(tmp_path: Path) -> None:
    good, bad = entry(series("headwater", ROUND)), entry(series("kafka-streams", replace(ROUND, fault="no")))
    published = ["workload", "system", "version", "events_per_second", "cpu_seconds_per_million", "rss_mb", "verified"]
    assert [key for one in (good, bad, unmeasured("W5-q3", "no")) for key in published if key not in one] == []
    save(tmp_path / "deep" / "results.json", [good, bad])
    assert json.loads((tmp_path / "deep" / "results.json").read_text()) == [good, bad]


def test_the_table_shows_ratios_of_the_first_system_to_each() -> None:
    peer = replace(ROUND, seconds_running=32.0, cpu_seconds=50.0)
    lines = table([entry(series("headwater", ROUND)), entry(series("kafka-streams", peer))]).splitlines()
    assert "4.00 x" in lines[3]
    assert "5.00 x" in lines[3]


def test_a_workload_that_fails_as_a_whole_has_its_line() -> None:
    lines = table([entry(series("headwater", ROUND)), unmeasured("W5-q3", "the input cannot be written")]).splitlines()
    assert lines[2].startswith("W2a") and lines[2].endswith("yes")
    assert lines[3].startswith("W5-q3") and lines[3].endswith("NO: the input cannot be written")


def test_what_a_runner_does_not_take_is_no_failure() -> None:
    kept, refused = (entry(series("ours", replace(ROUND, fault=fault))) for fault in ("", f"{REFUSED}a join [HW-P240]"))
    assert table([kept, refused]).splitlines()[3].rpartition("-  ")[2].strip() == "refused: a join [HW-P240]"


def test_w2_means_both_of_its_modes_and_full_throws_the_first_round_away() -> None:
    assert chosen("W2") == ("W2a", "W2b")
    assert SIZES["full"].rounds - SIZES["full"].discarded >= 4
    assert SIZES["full"].events >= 5_000_000


def test_the_chaos_programs_are_named_by_their_ids() -> None:
    assert all(place.startswith("tests.chaos.") for place in PROGRAMS.values())


def test_a_run_that_breaks_off_counts_nothing_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*, trials: int, seed: int) -> dict[str, object]:
        raise TimeoutError(f"no broker for {trials} trials of {seed}")

    monkeypatch.setattr(chaos, "program", lambda place: breaks)
    found = judged("P1", 50, 7)
    assert (found["trials"], found["passed"], found["broke_off"]) == (
        0, False, "TimeoutError: no broker for 50 trials of 7",
    )  # fmt: skip
    assert chaos.table([found]).splitlines()[1].split() == ["P1", "0", "0", "0", "0", "0", "7", "NO"]


def test_the_parts_of_a_long_run_have_all_its_trials_and_a_seed_each() -> None:
    for trials, each in ((300, 50), (7, 3), (5, 0), (1, 10)):
        made = parts(trials, each, 1)
        assert sum(part for part, _ in made) == trials
        assert [seed for _, seed in made] == list(range(1, len(made) + 1))

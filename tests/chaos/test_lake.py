"""L1 to L7, short: writers of the lake that are killed, frozen, deafened and overtaken, and an index that is killed."""

from __future__ import annotations

import pytest
from tests.chaos import l1, l2, l3, l4, l5, l6, l7
from tests.chaos.verdict import told

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130521


def test_a_killed_writer_leaves_each_record_once() -> None:
    result = l1.run(trials=4, seed=SEED)
    assert result["passed"] and result["kills"] >= 3, told(result)


def test_a_frozen_writer_is_refused() -> None:
    result = l2.run(trials=1, seed=SEED)
    assert result["passed"], told(result)


def test_a_topic_made_anew_or_cut_is_refused() -> None:
    result = l3.run(trials=2, seed=SEED)
    assert result["passed"], told(result)


def test_maintenance_beside_a_writer_changes_nothing() -> None:
    result = l4.run(trials=2, seed=SEED)
    assert result["passed"], told(result)


def test_a_killed_index_has_what_its_position_says() -> None:
    result = l6.run(trials=8, seed=SEED)
    assert result["passed"] and result["kills"] >= 4, told(result)


def test_an_index_that_writes_its_position_first_is_found_out() -> None:
    result = l6.run(trials=4, seed=SEED, saboteur="hasty")
    assert "lost" in result["against"], told(result)


def test_lost_answers_change_nothing() -> None:
    result = l5.run(trials=2, seed=SEED)
    assert result["passed"], told(result)


def test_what_is_personal_is_nowhere() -> None:
    result = l7.run(trials=1, seed=SEED)
    assert result["passed"], told(result)
    assert l7.run(trials=1, seed=SEED, saboteur="open")["against"] == ["nothing_personal"]


def test_retries_of_the_library_are_found_out() -> None:
    assert "duplicates" in l2.run(trials=1, seed=SEED, saboteur="unfenced")["against"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "saboteur", "trials", "against"),
    [
        (l1, "careless", 8, "duplicates"),
        (l3, "lying", 2, "loud"),
        (l4, "topmost", 2, "duplicates"),
        (l5, "repeating", 4, "duplicates"),
    ],
)
def test_saboteurs_are_found_out(program: object, saboteur: str, trials: int, against: str) -> None:
    result = program.run(trials=trials, seed=SEED, saboteur=saboteur)  # type: ignore[attr-defined]
    assert against in result["against"], told(result)

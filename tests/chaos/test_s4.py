"""S4, short: no name leads to a file outside; a server that hands out files, and an import that takes names, do."""

from __future__ import annotations

import pytest
from tests.chaos import s4
from tests.chaos.verdict import told

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20130523


def test_no_name_opens_a_file_outside() -> None:
    result = s4.run(trials=2, seed=SEED)
    assert result["passed"] and result["opened"] > 1_000, told(result)


@pytest.mark.parametrize("saboteur", ["files", pytest.param("names", marks=pytest.mark.long)])
def test_a_road_that_takes_names_for_paths_is_found_out(saboteur: str) -> None:
    result = s4.run(trials=1, seed=SEED, saboteur=saboteur)
    assert result["escapes"] > 5 and not result["passed"], told(result)

"""What a person sees of a runner at work: a doubt once, quarantined records ever more seldom."""

from __future__ import annotations

from headwater.cli.run import _Reporter


def test_a_doubt_is_said_once_until_the_stage_commits_again() -> None:
    said: list[str] = []
    reporter = _Reporter(said.append)
    doubt: dict[str, object] = {"product": "a.b", "stage": "fold", "code": "HW-R001"}
    for _ in range(3):
        reporter("stage.rebuilt", doubt)
    reporter("stage.committed", {"product": "a.b", "stage": "fold", "records": 1, "seconds": 0.1})
    reporter("stage.rebuilt", doubt)
    assert len(said) == 2
    assert "a.b fold" in said[0] and "[HW-R001]" in said[0]


def test_a_thousand_quarantined_records_are_ten_lines() -> None:
    said: list[str] = []
    reporter = _Reporter(said.append)
    for _ in range(1_000):
        reporter("stage.quarantined", {"product": "a.b", "stage": "fold", "code": "HW-S020"})
    assert len(said) == 10
    assert said[0] == "a.b fold: 1 record in quarantine [HW-S020]"

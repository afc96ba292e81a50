"""Every code has its explanation and its page, and no explanation is of a code that nobody raises."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from headwater.errors import Finding
from headwater.explanations.catalogue import FILES, Explanation, explanations

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "headwater"
CODE = re.compile(r"HW-[A-Z]\d{3}")


def _raised() -> dict[str, str]:
    """Each code in the source with a file that says it; docstrings only speak of codes, and do not count."""
    found: dict[str, str] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        if "testing" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                for code in CODE.findall(node.value):
                    found.setdefault(code, path.relative_to(ROOT).as_posix())
    return found


def test_every_code_that_is_raised_is_explained() -> None:
    missing = [
        f"{code} (in {place}) has no explanation. fix: add [{code}] with says, why and mend to "
        f"src/headwater/explanations/{FILES.get(code[3], '<a file for its letter>.toml, and the letter to FILES')}, "
        "then make docs"
        for code, place in sorted(_raised().items())
        if code not in explanations()
    ]
    assert not missing, "\n" + "\n".join(missing)


def test_no_explanation_is_of_a_code_that_nobody_raises() -> None:
    stale = sorted(set(explanations()) - set(_raised()))
    assert not stale, f"nobody raises {', '.join(stale)}. fix: remove them from src/headwater/explanations/"


def test_every_code_has_its_page_and_no_page_is_left_over() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "reference" / "findings").glob("*.md")}
    assert pages == set(explanations()), "fix: make docs"


@pytest.mark.parametrize("entry", explanations().values(), ids=lambda entry: entry.code)
def test_explanations_are_sentences_in_the_file_of_their_letter(entry: Explanation) -> None:
    assert f"[{entry.code}]" in (SOURCE / "explanations" / FILES[entry.code[3]]).read_text(encoding="utf-8")
    assert entry.says and not entry.says.endswith(".")
    for sentences in (entry.why, entry.mend):
        assert sentences.endswith(".") and len(sentences) > 7


def test_the_codes_that_people_meet_most_have_examples() -> None:
    assert sum(1 for entry in explanations().values() if entry.example) >= 25


def test_a_finding_leads_to_its_page() -> None:
    finding = Finding("HW-S102", "error", "a.avsc", 1, 1, "", "message")
    assert finding.as_json()["docs"] == explanations()["HW-S102"].page
    assert (ROOT / explanations()["HW-S102"].page).is_file()

"""The quick reader of plain files reads nothing that the full one would read otherwise, or find fault with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.contracts.plain_yaml import read_plain
from headwater.contracts.strict_yaml import _trapped, read_fully
from headwater.testing.small_mesh import BOARD_TEXT, DEPARTURES, FILES, HOURLY

ROOT = Path(__file__).resolve().parents[3]
PRODUCTS = sorted([*ROOT.glob("connectors/*/*/product.yaml"), *ROOT.glob("streams/*/*/product.yaml")])
TEXTS = [FILES[DEPARTURES], FILES[HOURLY], FILES["mesh.yaml"], BOARD_TEXT, *(path.read_text() for path in PRODUCTS)]
PIECES = [
    "a: b\n", "b:\n", "  c: d\n", "- e\n", "  - f\n", "- g: h\n", "  i: [j, k]\n", "l: {m: n, o: p}\n", 'q: "r s"\n',
    "# c\n", "t: u # v\n", "w: x: y\n", "z: no\n", "a: 1_0\n", "b: [1, 2,]\n", "c: {d}\n", "e: {f: }\n", "- - g\n",
    "-\n", "h: 'i'\n", "j: &k l\n", "m: *n\n", "o: |\n", "p: >-\n", "    q\n", "r: s\\t\n", 't: "u\\\\n"\n',
    "v: -1\n", "w: 9.9%\n", "x:y\n", "? z\n", "a: [b, [c, {d: e}]]\n", "f: a#b\n", "g: a, b]\n", "h: [a b , c]\n",
    "\n", "  \n", "\t\n", "é: a\n", "---\n", "...\n", "i:  j  \n", "k: ~\n", "l: null\n", "m: {n: o}: p\n",
    'q: "r": s\n', "t: [\n", "u]\n", "- v: w\n  x: y\n",
]  # fmt: skip


def agrees(text: str) -> bool:
    """Whether the quick reader read it; where it did, the full one must say the same."""
    plain = read_plain(text, _trapped)
    if plain is None:
        return False
    full, findings = read_fully(text, file="f")
    assert not findings, (text, findings)
    assert plain == full, text
    return True


@pytest.mark.parametrize("text", TEXTS)
def test_the_contracts_of_this_repository_are_plain(text: str) -> None:
    assert agrees(text) or not text.isascii() or "#" in text or ": >" in text or ": ${" in text or ":9092" in text


@settings(max_examples=1500, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=7))
def test_lines_put_together_are_read_alike_or_left_to_the_full_reader(pieces: list[str]) -> None:
    agrees("".join(pieces))


@settings(max_examples=1500, derandomize=True, deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_a_contract_with_a_letter_changed_is_read_alike_or_left_to_the_full_reader(
    text: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(
        st.sampled_from(["", " ", "\n", ":", "-", "#", '"', "'", "{", "}", "[", "]", ",", "&", "*", "|", "  ", ": "])
    )
    agrees(text[:at] + put + text[at + data.draw(st.integers(0, 2)) :])

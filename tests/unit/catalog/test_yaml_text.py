"""What is written as YAML is read back the same, by readers of either YAML."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from headwater.catalog.standards.foreign import read_document
from headwater.catalog.standards.yaml_text import yaml_text, yaml_texts

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(
        ["no", "1e3", "0x1f", "12:30:00", "2013-01-05", "null", "~", "- a", "a: b", "#", "=", "<<", "1_0"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)
documents = st.dictionaries(texts, values, max_size=4)


@given(documents)
@example({"a": [[1, [2]], {"b": {}}, []], "": {"": ""}, "x": [{"y": [{"z": 1}]}]})
def test_text_is_read_back_as_it_was(document: dict[str, Any]) -> None:
    text = yaml_text(document)
    assert YAML(typ="safe", pure=True).load(StringIO(text)) == (document or None)


@given(documents)
def test_our_own_reader_reads_it_the_same(document: dict[str, Any]) -> None:
    if document:
        assert read_document(yaml_text(document).encode(), file="x").value == json.loads(json.dumps(document))


@given(documents)
def test_older_readers_read_it_the_same(document: dict[str, Any]) -> None:
    yaml = pytest.importorskip("yaml")
    text = yaml_text(document)
    assert yaml.safe_load(text) == (document or None)


def test_several_documents_stand_in_one_file() -> None:
    assert yaml_texts([{"a": 1}, {"b": []}]) == "a: 1\n---\nb: []\n"

"""What state cannot hold is refused at its step; what is let through comes back as it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import InvalidFiles
from headwater.processing.field_types import from_avro, written_out
from headwater.processing.field_uses import fields_read
from headwater.processing.flow import Stream, count, source
from headwater.processing.graph import Graph
from headwater.processing.kept_types import can_be_kept
from headwater.processing.packing import RowForm, pack, unpack
from headwater.processing.windows import whole
from headwater.testing.harness import product

FIXED = {"type": "fixed", "name": "Hash", "size": 2}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
DAY = {"type": "int", "logicalType": "date"}
LEAVES: list[tuple[Any, Any]] = [
    ("long", 7), ("double", 0.5), ("string", "ä"), ("boolean", True), ("bytes", b"\xff\x00"), (FIXED, b"ab"),
    (DECIMAL, Decimal("1.50")), (DAY, date(2020, 2, 29)), ({"type": "enum", "name": "E", "symbols": ["A"]}, "A"),
    ({"type": "long", "logicalType": "timestamp-millis"}, 1000),
]  # fmt: skip
Sampled = tuple[Any, list[Any]]
"""A type, and values of it that show all of its parts."""


def _record(members: list[Sampled]) -> Sampled:
    fields = [{"name": f"f{at}", "type": avro} for at, (avro, _) in enumerate(members)]
    longest = max(len(values) for _, values in members)
    rows = [{f"f{at}": values[n % len(values)] for at, (_, values) in enumerate(members)} for n in range(longest)]
    return {"type": "record", "name": "R", "fields": fields}, rows


TYPES = st.recursive(
    st.sampled_from(LEAVES).map(lambda leaf: (leaf[0], [leaf[1]])),
    lambda inner: st.one_of(
        inner.map(lambda one: ({"type": "array", "items": one[0]}, [[], one[1]])),
        inner.map(lambda one: ({"type": "map", "values": one[0]}, [{"k": value} for value in one[1]])),
        inner.map(lambda one: (["null", one[0]], [None, *one[1]])),
        st.lists(inner, min_size=2, max_size=3).map(
            lambda ones: (["null", *(avro for avro, _ in ones)], [value for _, values in ones for value in values])
        ),
        st.lists(inner, min_size=1, max_size=3).map(_record),
    ),
    max_leaves=5,
)


@given(TYPES)
def test_a_type_can_be_kept_where_all_its_values_come_back(sampled: Sampled) -> None:
    avro, values = sampled
    type_ = from_avro(avro)
    assert can_be_kept(type_) == all(_comes_back(type_, value) for value in values)


def _comes_back(type_: Any, value: Any) -> bool:
    form = RowForm([type_])
    try:
        return form.read(unpack(pack(form.write((value,))))) == (value,)
    except TypeError:
        return False


@pytest.mark.parametrize(("amount", "kept"), [("long", True), (DECIMAL, False)])
def test_a_record_within_itself_is_kept_where_all_of_it_stands_as_it_is(amount: Any, kept: bool) -> None:
    members = [{"name": "amount", "type": amount}, {"name": "next", "type": ["null", "Node"]}]
    assert can_be_kept(from_avro({"type": "record", "name": "Node", "fields": members})) is kept


def test_a_type_that_is_used_again_is_what_it_was_first() -> None:
    pair = {"type": "record", "name": "Pair", "fields": [{"name": "a", "type": FIXED}, {"name": "b", "type": "Hash"}]}
    one, two = written_out({"fields": [{"name": "x", "type": pair}, {"name": "y", "type": ["null", "Pair"]}]}).values()
    assert two == ["null", one] and one["fields"][1]["type"] == FIXED


@pytest.mark.timeout(5)
def test_types_that_double_with_each_level_end_somewhere() -> None:
    fields, inner = [], "long"
    for level in range(40):
        record = {"type": "record", "name": f"R{level}", "fields": [{"name": n, "type": inner} for n in "ab"]}
        fields.append({"name": f"f{level}", "type": record})
        inner = f"R{level}"
    assert not can_be_kept(from_avro(written_out({"fields": fields})["f39"]))


PARTS = product(
    "shop.parts",
    shape="event",
    key=["number"],
    fields={"number": "string", "maker": "string", "hash": FIXED, "papers": {"type": "map", "values": "bytes"}},
)
PAPERS = product("shop.papers", shape="fact", key=["maker"], fields={"maker": "string", "hash": FIXED})
COUNTED = product("shop.counted", shape="fact", key=["maker"], fields={"maker": "string", "n": "long"})
PASSED = product("shop.passed", shape="event", key=["number"], fields={"number": "string", "hash": FIXED})


@pytest.mark.parametrize(
    ("flow", "output", "fields"),
    [
        (lambda a, b: a.aggregate(by=["maker"], window=whole(), n=count("hash")), COUNTED, ["hash"]),
        (lambda a, b: a.aggregate(by=["maker"], window=whole(), n=count("papers")), COUNTED, ["papers"]),
        (lambda a, b: a.aggregate(by=["maker"], window=whole(), n=count()), COUNTED, []),
        (lambda a, b: a.join_as_of(b, on={"maker": "maker"}, take={"paper": "hash"}), PASSED, ["hash", "paper"]),
        (lambda a, b: a.select("number", "hash"), PASSED, []),
    ],
)
def test_what_a_step_would_keep_and_cannot_is_refused_at_its_line(
    flow: Callable[..., Stream], output: Any, fields: list[str]
) -> None:
    graph = Graph(flow(source(0), source(1)).node, (PARTS, PAPERS), output)
    if not fields:
        assert fields_read(graph, tick=100)
        return
    with pytest.raises(InvalidFiles) as refused:
        fields_read(graph, tick=100)
    assert sorted(finding.message.split("'")[1] for finding in refused.value.findings) == fields
    assert all(finding.fix for finding in refused.value.findings)
    assert {(finding.code, finding.line) for finding in refused.value.findings} == {
        ("HW-P165", graph.root.line)  # type: ignore[union-attr]
    }

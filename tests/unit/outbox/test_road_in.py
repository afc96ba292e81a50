"""The comparison of two lanes sees each kind of difference: what a saboteur changes, it names."""

from __future__ import annotations

import pytest

from headwater.testing.conformance.road_in import differences

PLACE = ("records", 1)
FIRST = (b"key", b"value", 7, [("id", b"1")])
SECOND = (b"key", b"other", 8, [("id", b"2")])


def test_equal_contents_have_no_difference() -> None:
    assert differences({PLACE: [FIRST, SECOND]}, {PLACE: [FIRST, SECOND]}) == []


@pytest.mark.parametrize(
    "other",
    [
        [SECOND, FIRST],  # another order
        [FIRST],  # lost
        [FIRST, SECOND, SECOND],  # doubled
        [FIRST, (b"another", *SECOND[1:])],
        [FIRST, (SECOND[0], b"wrong", *SECOND[2:])],
        [FIRST, (*SECOND[:2], 9, SECOND[3])],  # another time
        [FIRST, (*SECOND[:3], [])],  # without its header
    ],
)
def test_each_difference_is_named(other: list[tuple]) -> None:
    assert differences({PLACE: [FIRST, SECOND]}, {PLACE: other})


def test_another_partition_is_a_difference() -> None:
    assert len(differences({PLACE: [FIRST]}, {("records", 2): [FIRST]})) == 2

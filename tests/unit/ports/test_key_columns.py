"""Partitions of many keys at once against each key's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.outbox import partitions
from headwater.outbox.partitions import Partitions
from headwater.ports.key_columns import partitions_of
from headwater.ports.keys import partition_of


@given(st.lists(st.binary(max_size=90), max_size=30), st.integers(1, 1_000))
def test_many_keys_have_the_partitions_that_each_has(keys: list[bytes], count: int) -> None:
    assert partitions_of(keys, count) == [partition_of(key, count) for key in keys]


@given(st.lists(st.binary(max_size=2), max_size=60))
def test_remembered_or_not_a_key_has_its_partition(keys: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "REMEMBERED", 10)
        known = Partitions(7)
        for key in keys:
            assert known[key] == known[key] == partition_of(key, 7)
            assert len(known) <= 10

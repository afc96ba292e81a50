"""Two contracts to typed changes, and the version that is due for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headwater.contracts.diff import DUE, differences, due, enough, raised
from headwater.contracts.load import read_product
from headwater.contracts.product import Version
from headwater.contracts.releases import Release, Releases, parse_releases, promises_of
from headwater.errors import InvalidFiles
from headwater.testing.small_mesh import DEPARTURES, FILES

FULL = (
    FILES[DEPARTURES]
    + """    ports: [topic, current]
    service_levels: {latency_p99: 5s, completeness: 99%}
    quality: [{name: late, rule: "delay_minutes >= 0", severity: error}]
    access: {classification: internal}
    accept_late: 30d
    corrections: none
"""
)


def promises(text: str) -> dict[str, Any]:
    return promises_of(read_product(text.encode(), file="product.yaml", folder="f").require())


@pytest.mark.parametrize(
    ("old", "new", "effect"),
    [
        ("ports: [topic, current]", "ports: [topic]", "breaking"),
        ("ports: [topic, current]", "ports: [topic, current, lake]", "metadata"),
        ("latency_p99: 5s", "latency_p99: 9s", "data-affecting"),
        ("latency_p99: 5s", "latency_p99: 900ms", "metadata"),
        ("completeness: 99%", "completeness: 98%", "data-affecting"),
        ("completeness: 99%", "completeness: 99.9%", "metadata"),
        (", completeness: 99%", "", "data-affecting"),
        ("delay_minutes >= 0", "delay_minutes >= -1", "data-affecting"),
        ("classification: internal", "classification: restricted", "breaking"),
        ("classification: internal", "classification: public", "metadata"),
        ("accept_late: 30d", "accept_late: 1d", "data-affecting"),
        ("corrections: none", "corrections: all", "breaking"),
        ("key: [flight_id]", "key: [origin]", "breaking"),
        ("key: [flight_id]", "key: [flight_id]\n    compatibility: FULL_TRANSITIVE", "metadata"),
        ("key: [flight_id]", "key: [flight_id]\n    compatibility: BACKWARD", "breaking"),
        ("key: [flight_id]", "key: [flight_id]\n    compatibility: FORWARD_TRANSITIVE", "breaking"),
        ("key: [flight_id]", "key: [flight_id]\n    on_invalid: park-key", "data-affecting"),
        ("public.outbox", "public.events", "data-affecting"),
        ("departure-control", "departures-team", "metadata"),
        ("schema: Departure", "schema: Departed", "breaking"),
    ],
)
def test_what_a_change_of_the_contract_does_to_readers(old: str, new: str, effect: str) -> None:
    assert old in FULL
    (change,) = differences(promises(FULL), promises(FULL.replace(old, new)))
    assert (change.effect, bool(change.why), bool(change.text())) == (effect, True, True)
    assert DUE[change.effect] == {"breaking": "major", "data-affecting": "minor", "metadata": "patch"}[effect]


def test_what_stands_in_no_earlier_release_is_no_change() -> None:
    before = promises(FULL)
    del before["outputs"][0]["accept_late"]  # a key that a later Headwater knows
    assert differences(before, promises(FULL)) == []


def test_the_due_part_and_the_raise_that_covers_it() -> None:
    assert due(["patch", "none"]) == "patch"
    assert raised(Version(1, 2, 3), Version(2, 0, 0)) == "major"
    assert raised(Version(1, 2, 3), Version(1, 2, 2)) == "none"
    assert enough("minor", "major") and not enough("minor", "patch")


def test_releases_are_added_once_and_read_back() -> None:
    text = json.dumps(promises(FULL))
    first = Release(Version(1, 0, 0), "a.b.C", 1, text)
    changed = Release(Version(1, 0, 0), "a.b.C", 2, text)
    second = Release(Version(1, 1, 0), "a.b.C", 2, text)
    releases = Releases(()).added(first)
    assert releases.added(changed) == releases  # a version that is released stays
    releases = releases.added(second)
    assert parse_releases(releases.render()) == releases
    assert (releases.before(second), releases.before(changed)) == (first, second)
    swapped = "".join(reversed(releases.render().splitlines(keepends=True)))
    for text in (releases.render().replace('"30d"', '"31d"', 1), swapped, "{}\n", "not JSON\n"):
        with pytest.raises(InvalidFiles) as caught:
            parse_releases(text)
        assert caught.value.findings[0].code == "HW-C080"

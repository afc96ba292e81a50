"""What may stand in `tests.yaml`, what is filled in, and what is refused, at its line; other orders of arrival."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headwater.contracts.load import read_examples
from headwater.errors import Finding
from headwater.mesh.load import load_mesh
from headwater.plan.check import check
from headwater.processing.example_records import Given, given_records
from headwater.processing.examples import ProductExamples, sides_of
from headwater.processing.flow_file import load_flow
from headwater.processing.orders import reordered
from headwater.testing.harness import product
from headwater.testing.small_mesh import write, write_small_mesh
from headwater.timeline.instant import Instant

EXAMPLES = "streams/airports/hourly/tests.yaml"
TICK = 100_000
AT = "2013-01-05T14:05:00Z"


def text(given: str, rest: str = "    expect: [{rows: []}]\n") -> str:
    return f"examples:\n  - name: one\n    given:\n      flights.departures:\n        - {given}\n{rest}"


def given_of(folder: Path, records: str) -> list[Given]:
    mesh = load_mesh(write_small_mesh(folder))
    file = read_examples(text(records).encode(), file="tests.yaml")
    (example,) = file.require()
    sides = sides_of(mesh, load_flow(mesh, mesh.product("airports.hourly").name), tick=TICK)
    return given_records(file, example, sides, tick=TICK)


def test_what_is_left_out_is_filled_in(tmp_path: Path) -> None:
    flight = f'{{flight_id: UA1, origin: JFK, occurred_at: "{AT}"}}'
    first, second = given_of(tmp_path, f"{flight}\n        - {flight}")
    moment = int(Instant.parse(AT))
    filled = {"event_id": "UA1", "delay_minutes": None}
    assert first.record == {
        "flight_id": "UA1", "origin": "JFK", "occurred_at": moment, **filled,
        "recorded_at": moment, "kind": "assert", "revision": 1,
    }  # fmt: skip
    assert {name: second.record[name] for name in ("recorded_at", "kind", "revision")} == {
        "recorded_at": moment + TICK, "kind": "correct", "revision": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "rest", "code", "line"),
    [
        (f'{{flight: UA1, origin: JFK, occurred_at: "{AT}"}}', "    expect: [{rows: []}]\n", "HW-P143", 5),
        (f'{{flight_id: UA1, occurred_at: "{AT}"}}', "    expect: [{rows: []}]\n", "HW-P145", 5),
        ('{flight_id: UA1, origin: JFK, occurred_at: "noon"}', "    expect: [{rows: []}]\n", "HW-P144", 5),
        (f'{{flight_id: UA1, origin: JFK, occurred_at: "{AT}"}}', "", "HW-P141", 2),
        (f'{{flight_id: UA1, origin: JFK, occurred_at: "{AT}"}}', "    records:\n      - {origim: X}\n", "HW-P143", 7),
        (
            f'{{flight_id: A, origin: X, occurred_at: "{AT}"}}\n'
            f'        - {{flight_id: B, origin: X, occurred_at: "{AT}", recorded_at: "{AT}"}}',
            "    expect: [{rows: []}]\n",
            "",
            0,
        ),
        (
            f'{{flight_id: A, origin: X, occurred_at: "{AT}"}}\n'
            f'        - {{flight_id: B, origin: X, occurred_at: "{AT}", recorded_at: "2013-01-05T14:00:00Z"}}',
            "    expect: [{rows: []}]\n",
            "HW-P146",
            6,
        ),
        (
            f'{{flight_id: UA1, origin: JFK, occurred_at: "{AT}"}}\n      flights.arrivals: [{{a: 1}}]',
            "    expect: [{rows: []}]\n",
            "HW-P142",
            6,
        ),
        (f'{{flight_id: A, origin: X, occurred_at: "{AT}"}}', "    expect: [{valid: noon, rows: []}]\n", "HW-T001", 6),
    ],
)  # fmt: skip
def test_check_finds_what_is_wrong_with_examples(tmp_path: Path, given: str, rest: str, code: str, line: int) -> None:
    write(write_small_mesh(tmp_path), EXAMPLES, text(given, rest))
    found = [one for one in check(tmp_path).findings if one.file == EXAMPLES]
    assert [(one.code, one.line) for one in found] == ([(code, line)] if code else [])


def test_check_finds_examples_where_there_is_no_flow(tmp_path: Path) -> None:
    place = "connectors/flights/departures/tests.yaml"
    write(write_small_mesh(tmp_path), place, text(f'{{flight_id: UA1, origin: JFK, occurred_at: "{AT}"}}'))
    (found,) = [one for one in check(tmp_path).findings if one.file == place]
    assert isinstance(found, Finding) and found.code == "HW-P147"


def judged(folder: Path, given: str, rest: str) -> list[tuple[str, Any, Any]]:
    write(write_small_mesh(folder), EXAMPLES, text(given, rest))
    mesh = load_mesh(folder)
    examples = ProductExamples(mesh, mesh.product("airports.hourly"))
    (example,) = examples.file.require()
    failures = examples.judge(example, orders=3, seed=1).failures
    return [(one.place.code, one.expected, one.found) for one in failures]


def test_all_that_is_published_may_be_expected_and_what_is_set_aside(tmp_path: Path) -> None:
    given = f'{{flight_id: UA1, origin: JFK, occurred_at: "{AT}", revision: 0}}'
    assert judged(tmp_path, given, "    records: []\n    quarantined: 1\n") == []
    assert judged(tmp_path, given, "    records: []\n") == [("HW-P151", ({"quarantined": 0},), ({"quarantined": 1},))]
    given = given.replace(", revision: 0", "")
    whole = '    records: [{origin: JFK, departures: 1, kind: assert, recorded_at: "2013-01-05T14:05:00.099999Z"}]\n'
    assert judged(tmp_path, given, whole) == []
    rows = judged(tmp_path, given, whole.replace("kind: assert", "kind: correct"))
    assert [(code, expected[0]["kind"], found[0]["kind"]) for code, expected, found in rows] == [
        ("HW-P149", "correct", "assert")
    ]


EVENTS = product("a.events", shape="event", key=["k"], fields={"k": "string", "n": "long"})
FACTS = product("a.facts", shape="fact", key=["k"], fields={"k": "string", "n": "long"})


def some() -> list[Given]:
    event = {"recorded_at": 0, "kind": "assert", "revision": 1}
    made = [
        Given(EVENTS, {"event_id": f"e{n}", "k": "k", "n": n, "occurred_at": n, **event}, f"e{n}") for n in range(6)
    ]
    fact = {"valid_from": 0, "valid_to": None, "recorded_at": 0, "kind": "assert"}
    return made + [Given(FACTS, {"k": "k", "n": n, "revision": n + 1, **fact}, f"f{n}") for n in range(4)]


def test_an_order_keeps_every_record_and_the_order_of_a_key_of_facts() -> None:
    notes: Counter[str] = Counter()
    orders = set()
    for seed in range(50):
        arrived = reordered(some(), seed, tick=TICK)
        assert arrived == reordered(some(), seed, tick=TICK)
        moments = [one.record["recorded_at"] for one in arrived]
        assert moments == sorted(moments)
        plain = [one for one in arrived if not one.note]
        assert {(one.path, one.record["n"]) for one in plain} == {(one.path, one.record["n"]) for one in some()}
        assert [one.path for one in plain if one.port is FACTS] == ["f0", "f1", "f2", "f3"]
        notes.update(one.note for one in arrived)
        orders.add(tuple(one.path for one in plain))
        newest: dict[Any, Given] = {}
        for one in arrived:
            if one.identity not in newest or one.record["revision"] > newest[one.identity].record["revision"]:
                newest[one.identity] = one
        assert not [one for one in newest.values() if one.note == "mistaken"]
    assert notes["again"] > 50 and notes["mistaken"] > 50 and len(orders) > 40


def test_a_product_that_is_never_corrected_is_never_repeated_nor_mistaken() -> None:
    from dataclasses import replace

    port = replace(EVENTS, corrections=False)
    given = [Given(port, one.record, one.path) for one in some() if one.port is EVENTS]
    for seed in range(20):
        assert sorted(one.path for one in reordered(given, seed, tick=TICK)) == [one.path for one in given]

"""The lake's writer over a broker and a table in memory: each record once, settled by marks, loud where in doubt."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ports.test_answers import PARTITIONS, TICK, World, order

from headwater.errors import CallerFault
from headwater.hooks import FailpointReached, Hooks, arm
from headwater.mesh.products import ResolvedProduct
from headwater.ports.lake.progress import Progress
from headwater.ports.lake.rows import LakeRows
from headwater.ports.lake.table_memory import MemoryLake
from headwater.ports.lake.writer import Around, LakeOptions, LakeWriter
from headwater.ports.record import TopicDescription, TopicPartition
from headwater.testing.source_products import order_events, source_product
from headwater.testing.strategies import event_histories

ONCE = LakeOptions(until_end=True)
POINTS = ("lake.before_files", "lake.before_commit", "lake.after_commit")
Record = dict[str, Any]


class Lake:
    """A world with a lake beside it."""

    def __init__(self, product: ResolvedProduct | None = None) -> None:
        self.world = World(product or order_events(partitions=PARTITIONS, ports=("topic", "lake")))
        self.around = Around(
            self.world.broker, self.world.registry, tick=TICK, clock=self.world.clock, hooks=Hooks([self.heard])
        )
        names = LakeRows(self.world.product, self.around.access).schema.names
        self.lake = MemoryLake("orders.placed_v1", names)
        self.happened: list[tuple[str, dict[str, object]]] = []

    def heard(self, happening: str, fields: dict[str, object]) -> None:
        self.happened.append((happening, fields))

    def fill(self, options: LakeOptions = ONCE, *, failpoint: str = "") -> None:
        around = replace(self.around, failpoint=arm(failpoint))
        LakeWriter(self.world.product, self.lake.table(), around, options).run(lambda: False)

    def places(self) -> list[tuple[object, object]]:
        return sorted((row["headwater_partition"], row["headwater_offset"]) for row in self.lake.rows())

    def events(self) -> list[object]:
        return sorted(str(row["event_id"]) + str(row["revision"]) for row in self.lake.rows())

    @property
    def progress(self) -> Progress:
        found = self.lake.look().progress
        assert found is not None
        return found


def event(number: int, recorded_at: int | None = None) -> Record:
    return order({"k": f"c{number % 5}", "n": number, "event_id": str(number), "occurred_at": number, "kind": "assert",
                  "recorded_at": number if recorded_at is None else recorded_at, "revision": 1})  # fmt: skip


@settings(max_examples=30, derandomize=True, deadline=None)
@given(event_histories({"n": st.integers(0, 9)}, key="k"), st.lists(st.sampled_from(POINTS), max_size=4), st.data())
def test_each_record_is_there_once_wherever_the_writer_dies(
    history: list[Record], deaths: list[str], data: st.DataObject
) -> None:
    lake = Lake()
    written = [order(record) for record in history]
    cut = data.draw(st.integers(0, len(written)))
    for part in (written[:cut], written[cut:]):
        lake.world.write(*part, marked=part[-1]["recorded_at"] if part else None)
        for death in deaths:
            try:
                lake.fill(failpoint=f"{death}:1:raise")
            except FailpointReached:
                continue
        lake.fill()
    assert len(lake.places()) == len(set(lake.places())) == len(written)
    assert lake.events() == sorted(one["event_id"] + str(one["revision"]) for one in written)
    assert len(lake.lake.named()) == len(set(lake.lake.named()))


def test_what_a_snapshot_says_of_itself() -> None:
    lake = Lake()
    lake.world.write(event(1), event(2), marked=49)
    lake.fill()
    progress = lake.progress
    assert progress.identity == lake.world.broker.identity(progress.topic) and progress.epoch == 1
    assert sum(progress.offsets.values()) == len({row["headwater_partition"] for row in lake.lake.rows()}) + 2
    assert progress.settled_to == 49
    lake.world.write(marked=99)  # nothing came, and more is settled
    lake.fill()
    assert lake.progress.settled_to == 99 and lake.progress.epoch == 2 and len(lake.places()) == 2
    before = lake.progress
    lake.fill()
    assert lake.progress == before  # nothing new is no commit


def test_small_bounds_make_many_commits_of_the_same_rows() -> None:
    lake = Lake()
    lake.world.write(*map(event, range(200)))
    lake.fill(replace(ONCE, held_bytes=1))
    assert len(lake.places()) == 200
    lake.world.write(*map(event, range(200, 220)))
    lake.fill(replace(ONCE, commit_seconds=0.0))
    assert len(lake.places()) == 220
    assert sum(int(str(fields["records"])) for name, fields in lake.happened if name == "lake.committed") == 220


def test_a_topic_made_anew_stops_the_writer() -> None:
    lake = Lake()
    lake.world.write(event(1), event(2))
    lake.fill()
    topic = lake.world.product.output.topic
    lake.world.broker.delete_topic(topic)
    lake.world.broker.create_topic(TopicDescription(topic, PARTITIONS, {}))
    refused(lake, "HW-I002")


def test_offsets_that_the_topic_does_not_have_stop_the_writer() -> None:
    lake = Lake()
    lake.world.write(event(1))
    lake.fill()
    ahead = replace(lake.progress, offsets={0: 1_000, 1: 0, 2: 0}, commit="x")
    lake.lake.append(lake.lake.look().head, (), ahead.properties())
    refused(lake, "HW-I003")


def test_records_that_retention_removed_stop_the_writer() -> None:
    lake = Lake()
    lake.world.write(event(1))
    lake.fill()
    lake.world.write(*map(event, range(2, 30)))
    place = TopicPartition(lake.world.product.output.topic, 0)
    lake.world.broker.truncate(place, lake.world.broker.ends([place])[place])
    refused(lake, "HW-I004")


def test_a_table_that_others_filled_is_not_begun_anew() -> None:
    lake = Lake()
    lake.lake.append("", (), {})
    lake.world.write(event(1))
    refused(lake, "HW-I010")


def test_a_value_that_cannot_be_decoded_stops_the_writer_behind_what_can() -> None:
    lake = Lake()
    lake.world.write(*map(event, range(9)), garbage=True)
    lake.world.write(*map(event, range(9, 12)))
    refused(lake, "HW-I011")
    committed = len(lake.places())
    assert 0 < committed < 12
    refused(lake, "HW-I011")
    assert len(lake.places()) >= committed
    lake.fill(replace(ONCE, unreadable="skip"))
    assert len(lake.places()) == 12 and lake.progress.unreadable == 1
    lake.world.write(event(12))
    lake.fill(replace(ONCE, unreadable="skip"))
    assert lake.progress.unreadable == 1


def test_a_catalogue_that_is_away_is_waited_for() -> None:
    lake = Lake()
    lake.world.write(event(1))
    away = [True, True, False]
    lake.lake.away = lambda: away.pop(0) if away else False
    lake.fill()
    assert len(lake.places()) == 1
    assert [fields["code"] for name, fields in lake.happened if name == "lake.waiting"] == ["HW-I012"] * 2


def test_what_is_personal_stays_out() -> None:
    fields: list[dict[str, object]] = [
        {"name": "customer", "type": "string"},
        {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "email", "type": "string", "confluent:tags": ["PII"]},
    ]
    lake = Lake(source_product("orders.made", fields, key=("customer",), partitions=PARTITIONS))
    plain = {name: value for name, value in event(1).items() if name not in ("number", "note")}
    lake.world.write({**plain, "email": "ada@example.org"})
    lake.fill()
    assert "ada@example.org" not in json.dumps(lake.lake.rows(), default=str)
    assert "email" not in LakeRows(lake.world.product, lake.around.access).schema.names
    keyed = source_product("orders.of", fields, key=("email",))
    with pytest.raises(CallerFault) as caught:
        LakeRows(keyed, lake.around.access)
    assert caught.value.code == "HW-I006"


def test_a_table_behind_its_contract_is_not_filled() -> None:
    lake = Lake()
    lake.lake.columns = ("event_id",)
    refused(lake, "HW-I014")


def refused(lake: Lake, code: str) -> None:
    with pytest.raises(CallerFault) as caught:
        lake.fill()
    assert caught.value.code == code

"""Both roads from broker to broker: the same topics, byte for byte, whatever the cuts, marks, damage and restarts."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headwater import naming
from headwater.hooks import Hooks
from headwater.mesh.load import load_mesh
from headwater.naming import ProductName
from headwater.plan.desired import desired
from headwater.ports.keys import partition_of
from headwater.ports.memory import MemoryBroker
from headwater.ports.progress import encode_mark, mark_key
from headwater.ports.record import TRACEPARENT, Header, Message, TopicDescription, TopicPartition
from headwater.processing import column_intake
from headwater.processing.flow_file import load_plan
from headwater.processing.reset import reset
from headwater.processing.stage_worker import StageWorker
from headwater.processing.surroundings import Surroundings
from headwater.schemas.codec import RowCodec, frame
from headwater.testing.broker_mesh import registered
from headwater.timeline.clock import ManualClock

MESH = Path(__file__).parents[3] / "bench" / "meshes" / "orders"
ORDERS, TOTALS = ProductName("shop", "orders"), ProductName("shop", "totals")
START = 1_700_000_000_000_000


class Life:
    """The mesh of the benchmarks on a broker in memory, its derived product run by a worker."""

    def __init__(self, folder: Path, product: ProductName = TOTALS, mesh: Path = MESH) -> None:
        self.mesh = load_mesh(mesh)
        self.broker = MemoryBroker(ManualClock())
        self.registry = registered(self.mesh)
        self.product = product
        self.plan = load_plan(self.mesh, product)
        for topic in desired(self.mesh, {product: self.plan}).topics:
            self.broker.create_topic(TopicDescription(topic.name, topic.partitions, dict(topic.settings)))
        self.columnar = self.folded = 0
        hooks = Hooks([self._heard])
        self._around = Surroundings(self.broker, self.registry, self.mesh, folder, clock=ManualClock(), hooks=hooks)
        self._sink = self.broker.sink("feed")
        self._sink.open()
        self._ends: dict[TopicPartition, int] = {}

    def _heard(self, happening: str, fields: dict[str, object]) -> None:
        if happening == "stage.committed":
            self.columnar += int(str(fields["columnar"]))
            self.folded += int(str(fields["folded"]))

    def feed(
        self,
        values: list[tuple[bytes, bytes | None, int]],
        through: int,
        product: ProductName = ORDERS,
        headers: tuple[Header, ...] = (),
    ) -> None:
        """One transaction of these, and marks."""
        topic = naming.topic(product, 1)
        self._sink.begin()
        for key, value, recorded_at in values:
            place = partition_of(key, 4)
            self._sink.send(topic, key, value, timestamp=recorded_at // 1_000, partition=place, headers=headers)
        self._ends.update(self._sink.flush())
        for number in range(4):
            mark = encode_mark(through, self._ends.get(TopicPartition(topic, number), 0))
            progress = naming.progress_topic(product, 1)
            self._sink.send(progress, mark_key(number), mark, timestamp=through // 1_000, partition=number)
        self._sink.commit()

    def work(self, polls: int) -> None:
        """A worker from its start to its end."""
        left = [polls]

        def enough() -> bool:
            left[0] -= 1
            return left[0] < 0

        StageWorker(self.plan, self.plan.stages[0], self._around).run(enough)

    def written(self) -> dict[str, list[Message]]:
        """All that there is in the topics of the derived product."""
        found: dict[str, list[Message]] = {}
        names = [name for name in self.broker.topics() if name.startswith(f"{self.product}.")]
        for name in sorted(names):
            places = [TopicPartition(name, number) for number in range(self.broker.describe([name])[name].partitions)]
            reader = self.broker.reader(dict.fromkeys(places, 0))
            items = [item for _ in range(20) for item in reader.poll(5_000, 0)]
            found[name] = sorted(item for item in items if isinstance(item, Message))
        return found


def order(number: int, recorded_at: int, chance: random.Random) -> dict[str, Any]:
    items = [{"sku": "s", "quantity": 1, "price_cents": 5}] * chance.randrange(3)
    return {
        "event_id": f"e{number}", "customer": f"c{chance.randrange(12)}ä", "occurred_at": recorded_at, "items": items,
        "amount_cents": chance.randrange(-5, 99), "recorded_at": recorded_at, "kind": "assert", "revision": 1,
    }  # fmt: skip


def history(seed: int, schema: Any, schema_id: int) -> list[tuple[list[tuple[bytes, bytes | None, int]], int]]:
    """Transactions: now and then one holds bytes that are no order, or an order that corrects another."""
    chance, encode = random.Random(seed), RowCodec(schema).encode
    made, recorded_at, number = [], START, 0
    for _ in range(25):
        values: list[tuple[bytes, bytes | None, int]] = []
        for _ in range(chance.randrange(1, 120)):
            recorded_at += chance.choice([0, 0, 1_000, 30_000])
            number += 1
            record = order(number, recorded_at, chance)
            if not chance.randrange(400):
                record |= {"kind": "correct", "revision": 2}
            body: bytes | None = frame(schema_id, encode(record))
            if not chance.randrange(400):
                body = chance.choice([None, b"", b"\1junk", body + b"\0" if body else None, frame(99, b"x")])
            values.append((record["customer"].encode(), body, recorded_at))
        made.append((values, recorded_at - 1))
        recorded_at += chance.choice([1, 50_000, 250_000])
    return made


def live(life: Life, seed: int) -> dict[str, list[Message]]:
    """Feed and work in turns, each start a new worker; the last mark closes every tick."""
    output = life.mesh.product(ORDERS).output
    registration = life.registry.find(output.subject, output.schema)
    assert registration is not None
    chance = random.Random(seed + 1)
    batches = history(seed, output.schema, registration.id)
    while batches:
        size = chance.randrange(1, 6)
        for values, through in batches[:size]:
            life.feed(values, through)
        batches = batches[size:]
        life.work(chance.randrange(2, 8))
    life.feed([], through + 60_000_000)
    life.work(20)
    return life.written()


@pytest.mark.parametrize("seed", range(4))
def test_topics_are_the_same_by_both_roads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int) -> None:
    monkeypatch.setattr(column_intake, "LEAST_ROWS", 4)
    by_columns = Life(tmp_path / "columns")
    found = live(by_columns, seed)
    monkeypatch.setattr(column_intake, "LEAST_ROWS", 1 << 60)
    by_rows = Life(tmp_path / "rows")
    expected = live(by_rows, seed)
    assert set(found) == set(expected)
    for name, messages in expected.items():
        assert found[name] == messages, name
    assert len(expected[naming.topic(TOTALS, 1)]) > 100
    assert by_columns.folded == by_rows.folded > 1_000
    assert by_columns.columnar > 200  # a batch with one damaged record goes row by row as a whole
    assert by_rows.columnar == 0


def test_made_anew_by_columns_or_rows_it_says_nothing_twice(tmp_path: Path) -> None:
    life = Life(tmp_path / "state")
    before = live(life, 3)
    reset(life.plan, life.broker, clock=ManualClock())
    life.work(60)
    after = life.written()
    topic = naming.topic(TOTALS, 1)
    assert life.columnar and before[topic] and after[topic] == before[topic]
    # A record may come to the quarantine again, under the same id; none is lost.
    quarantine = naming.quarantine_topic(TOTALS, 1)
    assert before[quarantine]
    assert {(one.value, one.headers) for one in after[quarantine]} == {
        (one.value, one.headers) for one in before[quarantine]
    }
    more = [(b"c1", None, START + 900_000_000)]
    life.feed(more, START + 960_000_000)
    life.work(20)
    assert life.written()[topic] == before[topic]


CUSTOMERS, ENRICHED = ProductName("shop", "customers"), ProductName("shop", "enriched")


def dimension(seed: int, schema: Any, schema_id: int) -> list[tuple[list[tuple[bytes, bytes | None, int]], int]]:
    """Transactions of customers: said, said again for other intervals, corrected and taken back, now and then junk."""
    chance, encode = random.Random(seed), RowCodec(schema).encode
    made, recorded_at, revisions = [], START, dict[Any, int]()
    for _ in range(20):
        values: list[tuple[bytes, bytes | None, int]] = []
        for _ in range(chance.randrange(1, 40)):
            recorded_at += chance.choice([0, 1_000, 30_000])
            name, start = f"c{chance.randrange(12)}ä", START - chance.randrange(4) * 1_000_000
            revision = revisions[name, start] = revisions.get((name, start), 0) + 1
            record = {"customer": name, "valid_from": start, "valid_to": None, "segment": chance.choice(["x", "y"])}
            kind = "assert" if revision == 1 else chance.choice(["correct", "correct", "retract"])
            record |= {"recorded_at": recorded_at, "kind": kind, "revision": revision}
            body = frame(schema_id, encode(record)) if chance.randrange(200) else b"\1junk"
            values.append((name.encode(), body, recorded_at))
        made.append((values, recorded_at - 1))
        recorded_at += chance.choice([1, 50_000, 250_000])
    return made


def live_joined(life: Life, seed: int) -> dict[str, list[Message]]:
    """Orders and customers."""
    return live_in_turns(life, seed, ((ORDERS, history), (CUSTOMERS, dimension)))


def live_in_turns(life: Life, seed: int, histories: Sequence[tuple[ProductName, Any]]) -> dict[str, list[Message]]:
    """Feed both sides in turns and work between."""
    chance = random.Random(seed + 1)
    sides = []
    for name, history_of in histories:
        output = life.mesh.product(name).output
        registration = life.registry.find(output.subject, output.schema)
        assert registration is not None
        sides.append((name, history_of(seed, output.schema, registration.id)))
    while any(batches for _, batches in sides):
        for name, batches in sides:
            for values, through in batches[: chance.randrange(3)]:
                life.feed(values, through, name)
                batches.pop(0)
        life.work(chance.randrange(2, 8))
    for name, _ in sides:
        life.feed([], START + 600_000_000, name)
    life.work(20)
    return life.written()


@pytest.mark.parametrize("seed", range(2))
def test_topics_of_a_join_are_the_same_by_both_roads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    found = []
    for least in (4, 1 << 60):
        monkeypatch.setattr(column_intake, "LEAST_ROWS", least)
        life = Life(tmp_path / str(least), ENRICHED)
        found.append(live_joined(life, seed))
        assert life.columnar > 400 if least == 4 else not life.columnar
    assert set(found[0]) == set(found[1])
    for name, messages in found[1].items():
        # The changelog's order within a commit is no part of what it says.
        assert sorted(map(_said, found[0][name])) == sorted(map(_said, messages)), name
        if not name.endswith("changelog"):
            assert found[0][name] == messages, name


def _said(message: Message) -> tuple[int, bytes, bytes]:
    return message.partition, message.key or b"", message.value or b""


NEXMARK = Path(__file__).parents[3] / "bench" / "meshes" / "nexmark"
BIDS, SELECTED = ProductName("nexmark", "bids"), ProductName("nexmark", "selected")


def bids(seed: int, schema: Any, schema_id: int) -> list[tuple[list[tuple[bytes, bytes | None, int]], int]]:
    """Transactions of bids, of which the flow selects every 123rd auction; now and then bytes that are none."""
    chance, encode = random.Random(seed), RowCodec(schema).encode
    made, recorded_at, number = [], START, 0
    for _ in range(25):
        values: list[tuple[bytes, bytes | None, int]] = []
        for _ in range(chance.randrange(1, 120)):
            recorded_at += chance.choice([0, 0, 1_000, 30_000])
            number += 1
            auction = chance.choice([123, 246, 7])
            record = {"event_id": f"e{number}", "auction": f"a{auction}", "auction_number": auction, "bidder": "ä"}
            record |= {"price": chance.randrange(99), "channel": "c", "url": "u", "occurred_at": recorded_at}
            record |= {"recorded_at": recorded_at, "kind": "assert", "revision": 1}
            body = frame(schema_id, encode(record)) if chance.randrange(400) else b"\1junk"
            values.append((f"a{auction}".encode(), body, recorded_at))
        made.append((values, recorded_at - 1))
    return made


def live_selected(life: Life, seed: int) -> dict[str, list[Message]]:
    """Feed and work in turns; some transactions are traced."""
    output = life.mesh.product(BIDS).output
    registration = life.registry.find(output.subject, output.schema)
    assert registration is not None
    chance = random.Random(seed + 1)
    for values, through in bids(seed, output.schema, registration.id):
        trace = b"00-%032d-%016d-01" % (through, through)
        life.feed(values, through, BIDS, () if chance.randrange(4) else (("x", b"y"), (TRACEPARENT, trace)))
        if chance.randrange(2):
            life.work(chance.randrange(2, 5))
    life.work(20)
    return life.written()


def test_topics_of_a_product_that_only_filters_are_the_same_by_both_roads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = []
    for least in (4, 1 << 60):
        monkeypatch.setattr(column_intake, "LEAST_ROWS", least)
        life = Life(tmp_path / str(least), SELECTED, NEXMARK)
        found.append(live_selected(life, 3))
        assert life.columnar > 400 if least == 4 else not life.columnar
    assert any(name == TRACEPARENT for message in found[1][naming.topic(SELECTED, 1)] for name, _ in message.headers)
    assert found[0] == found[1]


AMENDED, AMENDED_TOTALS = ProductName("shop", "amended"), ProductName("shop", "amended_totals")


def amendments(seed: int, schema: Any, schema_id: int) -> list[tuple[list[tuple[bytes, bytes | None, int]], int]]:
    """Transactions of orders, of which one in twenty is corrected, repeated or taken back by a later one."""
    chance, encode = random.Random(seed), RowCodec(schema).encode
    made, recorded_at, said = [], START, list[dict[str, Any]]()
    for _ in range(20):
        values: list[tuple[bytes, bytes | None, int]] = []
        for _ in range(chance.randrange(1, 90)):
            recorded_at += chance.choice([0, 0, 1_000, 30_000])
            if said and not chance.randrange(20):
                kind = chance.choice(["correct", "correct", "retract", "assert"])
                record = said[chance.randrange(len(said))]
                revision = record["revision"] + (kind != "assert")
                record |= {"kind": kind, "revision": revision, "recorded_at": recorded_at, "amount_cents": 7}
            else:
                record = order(len(said), recorded_at, chance)
                said.append(record)
            values.append((record["customer"].encode(), frame(schema_id, encode(record)), recorded_at))
        made.append((values, recorded_at - 1))
        recorded_at += chance.choice([1, 50_000, 250_000])
    return made


def test_topics_of_a_fold_of_corrected_orders_are_the_same_by_both_roads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = []
    for least in (4, 1 << 60):
        monkeypatch.setattr(column_intake, "LEAST_ROWS", least)
        life, chance = Life(tmp_path / str(least), AMENDED_TOTALS), random.Random(5)
        output = life.mesh.product(AMENDED).output
        registration = life.registry.find(output.subject, output.schema)
        assert registration is not None
        for values, through in amendments(5, output.schema, registration.id):
            life.feed(values, through, AMENDED)
            if chance.randrange(2):
                life.work(chance.randrange(2, 6))
        life.feed([], START + 600_000_000, AMENDED)
        life.work(20)
        found.append(life.written())
        assert life.columnar > 400 if least == 4 else not life.columnar
    assert set(found[0]) == set(found[1])
    for name, messages in found[1].items():
        assert sorted(map(_said, found[0][name])) == sorted(map(_said, messages)), name
        if not name.endswith("changelog"):
            assert found[0][name] == messages, name


def pairs_mesh(folder: Path) -> Path:
    """The same mesh, whose enriched orders are paired with those that may be corrected."""
    shutil.copytree(MESH, folder)
    stream = folder / "streams" / "shop" / "enriched"
    contract = (stream / "product.yaml").read_text()
    contract = contract.replace("shop.customers", "shop.amended").replace("[customer, segment]", "[customer]")
    (stream / "product.yaml").write_text(contract)
    (stream / "flow.py").write_text(
        "def flow(orders, amended):\n"
        "    rows = orders.select('customer', 'amount_cents')\n"
        "    take = {'segment': 'customer'}\n"
        "    return rows.join_within(amended, within='20ms', on={'customer': 'customer'}, take=take)\n"
    )
    return folder


def test_topics_of_pairs_are_the_same_by_both_roads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mesh, found = pairs_mesh(tmp_path / "mesh"), []
    for least in (4, 1 << 60):
        monkeypatch.setattr(column_intake, "LEAST_ROWS", least)
        life = Life(tmp_path / str(least), ENRICHED, mesh)
        found.append(live_in_turns(life, 3, ((ORDERS, history), (AMENDED, amendments))))
        assert life.columnar > 1_000 if least == 4 else not life.columnar
    assert len(found[1][naming.topic(ENRICHED, 1)]) > 200
    for name, messages in found[1].items():
        assert sorted(map(_said, found[0][name])) == sorted(map(_said, messages)), name
        if not name.endswith("changelog"):
            assert found[0][name] == messages, name

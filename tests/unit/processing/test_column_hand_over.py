"""A plan of two stages from broker to broker by either road and by both in turns: the same records, byte for byte."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from bench.nexmark import Bid, NexmarkLog
from tests.unit.processing.test_column_road import Life

from headwater import naming
from headwater.naming import ProductName
from headwater.ports.record import Message
from headwater.processing import column_intake
from headwater.processing.operators.rekey import MANY_CHANGES, MANY_ROWS
from headwater.processing.stage_worker import StageWorker
from headwater.schemas.codec import RowCodec, frame

MESH = Path(__file__).parents[3] / "bench" / "meshes" / "nexmark"
BIDS, LAST_BIDS = ProductName("nexmark", "bids"), ProductName("nexmark", "last_bids")
DAYS = ProductName("nexmark", "auction_days")
FOLDED_AGAIN = """from headwater import col, count, total, tumbling


def flow(bids):
    hours = bids.aggregate(
        by=["auction", "bidder"], window=tumbling("1h"), name="hours", bids=count(), price=total("price")
    )
    kept = hours.filter(col("bids") % 3 != 0).map(price=col("price") + 1)
    days = kept.aggregate(
        by=["auction"], window=tumbling("1d"), name="days", bids=total("bids"), low_bids=count(), price=total("price")
    )
    return days.map(middle_bids=col("bids") - col("low_bids"), high_bids=0, least=col("price"), most=col("price") * 2)
"""
NEVER = 1 << 60


def bids(apart: int) -> list[Bid]:
    """Few bidders on few auctions, so that most pairs bid again, some of them in the same tick and some late; each is
    recorded so many microseconds later than it was, more than the one before it.
    """
    chance, made = random.Random(9), list[Bid]()
    for number, one in enumerate(NexmarkLog(1_500).all_bids()):
        bid = one._replace(recorded_at=one.recorded_at + number * apart)
        late = chance.randrange(90) * 1_000_000 if not chance.randrange(20) else 0
        bidder, auction = f"p{chance.randrange(30)}é", f"a{chance.randrange(4)}"
        made.append(bid._replace(bidder=bidder, auction=auction, occurred_at=bid.recorded_at - late, price=late or 1))
    return made


def live(life: Life, least: list[int], monkeypatch: pytest.MonkeyPatch, *, apart: int = 0) -> dict[str, list[Message]]:
    """Feed and work in turns, each start a new worker, by the next of these roads."""
    output = life.mesh.product(BIDS).output
    registration = life.registry.find(output.subject, output.schema)
    assert registration is not None
    encode, chance = RowCodec(output.schema).encode, random.Random(3)
    left, turn = bids(apart), 0
    end = left[-1].recorded_at + 60_000_000
    while left:
        size = chance.randrange(1, 300)
        some, left = left[:size], left[size:]
        values: list[Any] = [
            (bid.auction.encode(), frame(registration.id, encode(bid._asdict())), bid.recorded_at) for bid in some
        ]
        life.feed(values, some[-1].recorded_at - 1, BIDS)
        for stage in life.plan.stages:
            monkeypatch.setattr(column_intake, "LEAST_ROWS", least[turn % len(least)])
            _work(life, stage, chance.randrange(2, 8))
            turn += 1
    life.feed([], end, BIDS)
    for stage in life.plan.stages:
        _work(life, stage, 30)
    return life.written()


def _work(life: Life, stage: Any, polls: int) -> None:
    left = [polls]

    def enough() -> bool:
        left[0] -= 1
        return left[0] < 0

    StageWorker(life.plan, stage, life._around).run(enough)


def test_the_product_is_the_same_by_either_road_and_by_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found, many = [], []
    topic = naming.topic(LAST_BIDS, 1)
    for name, least in (("rows", [NEVER]), ("columns", [4]), ("both", [4, NEVER, NEVER])):
        life = Life(tmp_path / name, LAST_BIDS, MESH)
        written = live(life, least, monkeypatch)
        found.append([(one.partition, one.key, one.value, one.timestamp) for one in written[topic]])
        rekeyed = [one.value or b"" for name in written if name.endswith(".rekey") for one in written[name]]
        many.append([value.startswith(MANY_ROWS) for value in rekeyed if value])
        assert bool(life.columnar) == (name != "rows")
    assert found[0] == found[1] == found[2] and len(found[0]) > 1_000
    assert not any(many[0]) and sum(many[1]) > 20
    assert any(many[2]) and not all(many[2])  # rows and blocks lie in one topic


def test_so_it_is_of_hours_that_are_folded_again_by_day(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Most of what the hours hand over are changes, and maps and filters stand behind both folds."""
    mesh = tmp_path / "mesh"
    shutil.copytree(MESH, mesh)
    place = mesh / "streams" / DAYS.domain / DAYS.product
    (place / "flow.py").write_text(FOLDED_AGAIN)
    contract = (place / "product.yaml").read_text()
    (place / "product.yaml").write_text(contract.replace("reads: [auction, ", "reads: [auction, bidder, "))
    found, many = [], []
    for name, least in (("rows", [NEVER]), ("columns", [4]), ("both", [4, 4, NEVER, 4])):
        life = Life(tmp_path / name, DAYS, mesh)
        assert len(life.plan.stages) == 3
        written = live(life, least, monkeypatch, apart=30_000)
        found.append([(one.partition, one.key, one.value, one.timestamp) for one in written[naming.topic(DAYS, 1)]])
        rekeyed = [one.value or b"" for topic in written if topic.endswith(".rekey") for one in written[topic]]
        many.append(sum(value.startswith(MANY_CHANGES) for value in rekeyed))
    assert found[0] == found[1] == found[2] and len(found[0]) > 100
    assert not many[0] and many[1] > 10 and many[2] > 3

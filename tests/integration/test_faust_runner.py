"""The faust runner on a real Kafka: killed at each step, moved there and back, standing still, beside a user's agents.

Those that are marked `long` run in `make conformance RUNNER=faust`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaTopicPartition

from headwater import naming
from headwater.local.ports import free_base
from headwater.ports.kafka import KafkaBroker
from headwater.processing.column_rekey import read_moved
from headwater.processing.operators.rekey import MANY, read
from headwater.processing.packing import RowForm
from headwater.processing.runners.faust_watch import STALLED_EXIT
from headwater.processing.steps import StageOutput
from headwater.schemas.registry_http import HttpRegistry
from headwater.testing.broker_mesh import BrokerMesh, random_batches, wait_until

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

STEPS = ("stage.after_outputs", "stage.before_commit", "stage.after_commit", "stage.after_store")
SEED = 20130107
WATCHED = ("--stall-seconds", "20")


class Product:
    """The small mesh's product, run by `headwater run` in a process."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.nonce = f"f{uuid.uuid4().hex[:8]}"
        self.folder = folder
        broker = KafkaBroker({"bootstrap.servers": stack.kafka})
        self.small = BrokerMesh.made(broker, folder / "mesh", self.nonce, busy=True)
        registry = HttpRegistry(stack.registry_url)
        for product in self.small.mesh.in_order():
            for output in product.outputs:
                registry.register(output.subject, output.schema)
        self.small.registry = registry
        self.environment = {**stack.environment(), "HEADWATER_MESH": str(folder / "mesh")}
        self.log = folder / "run.log"
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, runner: str, *options: str, failpoint: str = "") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "headwater", "run", f"airports{self.nonce}.hourly", "--runner", runner]
        environment = {**self.environment, **({"HEADWATER_FAILPOINT": failpoint} if failpoint else {})}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*command, *options], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._started.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        assert process.wait(60) == 0, self.said()

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4_000:]

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)

    def wait_for(self, batch: Any, *, last: bool = False) -> None:
        """Until all that is given up to this batch is published."""
        until = batch[-1]["recorded_at"] + (1 if last else -200_000)

        def settled() -> bool:
            assert self._started[-1].poll() is None
            return self.small.settled() >= until

        try:
            wait_until(settled, seconds=90)
        except AssertionError:
            raise AssertionError(self.said()) from None

    def uncommitted(self, topic: str) -> list[tuple[int, bytes, bytes]]:
        """Every record of a topic, those of aborted transactions too."""
        settings = {
            "bootstrap.servers": self.small.broker._bootstrap,  # type: ignore[attr-defined]
            "group.id": "unused",
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",  # what has been handed over is removed from rekey topics
        }
        consumer = Consumer(settings)
        count = self.small.broker.describe([topic])[topic].partitions
        consumer.assign([KafkaTopicPartition(topic, number, 0) for number in range(count)])
        found, ended = [], set()
        while len(ended) < count:
            message = consumer.poll(10)
            assert message is not None
            if message.error():
                ended.add(message.partition())
            else:
                found.append((message.partition(), message.key(), message.value()))
        consumer.close()
        return found


@pytest.fixture
def product(stack: Stack, tmp_path: Path) -> Iterator[Product]:
    made = Product(stack, tmp_path)
    yield made
    made.close()


def told(output: StageOutput, entries: Sequence[tuple[int, bytes, bytes]]) -> list[tuple[Any, ...]]:
    """What entries say: to the byte, and in a rekey topic row by row, since how many a message holds depends on how
    many were there when it was written.
    """
    if output.kind != "exchange":
        return list(entries)
    form, rows = RowForm(output.logic.types), list[tuple[Any, ...]]()
    for partition, key, value in entries:
        if value.startswith(MANY):
            lane, many = read_moved(output.logic.types, value)
            for part in many.parts():
                rows += [(partition, own, lane, part.tick, before, after) for own, before, after in part.changes()]
        else:
            one = read(form, key, value, ())
            rows.append((partition, key, one.lane, one.tick, one.before, one.after))
    return rows


@pytest.mark.slow
def test_killed_between_produce_and_commit_it_repeats_itself_to_the_byte(product: Product) -> None:
    """Whoever reads uncommitted sees the repeats; whoever reads what is committed sees each record once."""
    batches = random_batches(SEED, batches=40, size=8)
    for number, step in enumerate(STEPS):
        process = product.start("faust", "--no-supervise", failpoint=f"{step}:3:kill")
        for batch in batches[number * 8 : number * 8 + 8]:
            product.small.feed([batch], last=False)
        assert process.wait(60) == -signal.SIGKILL, product.said()
    process = product.start("faust", "--no-supervise")
    product.small.feed(batches[32:])
    product.wait_for(batches[-1], last=True)
    product.stop(process)
    for output in ("", "busy"):
        assert product.small.decoded(output) == product.small.expected(batches, output)
    ended, small = 0, product.small
    for stage in small.plan.stages:
        for output in stage.outputs:
            seen, written = product.uncommitted(output.topic), small.written(output.topic)
            ended += len(seen) - len(written)
            again = told(output, [entry for entry in seen if entry[2] is not None])  # marks may differ
            once = told(
                output, [(one.partition, one.key or b"", one.value) for one in written if one.value is not None]
            )
            assert set(again) == set(once), "an aborted record is not the committed one"
    progress = naming.progress_topic(small.product.name, small.product.major)
    ended += len(product.uncommitted(progress)) - len(small.written(progress))
    assert ended, "nothing was repeated: no kill came between produce and commit"


@pytest.mark.slow
@pytest.mark.long
def test_workers_share_the_partitions_and_take_over_those_of_one_that_dies(product: Product) -> None:
    """Each with a disk of its own: what comes over is restored from the changelog. They are watched, as users run them:
    Faust itself may stop handing over at a rebalance (HW-P214), and a watched one begins again."""
    batches = random_batches(SEED + 4, batches=40, size=8)
    workers = [product.start("faust", *WATCHED, "--slot", str(slot)) for slot in (0, 1)]
    product.small.feed(batches[:10], last=False)
    product.wait_for(batches[9])
    os.killpg(workers[0].pid, signal.SIGKILL)
    product.small.feed(batches[10:20], last=False)
    product.wait_for(batches[19])
    workers.append(product.start("faust", *WATCHED, "--slot", "2"))
    for batch in batches[20:30]:
        product.small.feed([batch], last=False)
    product.wait_for(batches[29])
    os.killpg(workers[1].pid, signal.SIGKILL)
    product.small.feed(batches[30:])
    product.wait_for(batches[-1], last=True)
    assert product.small.decoded() == product.small.expected(batches)


@pytest.mark.slow
@pytest.mark.long
def test_a_live_product_moves_to_faust_and_back(product: Product) -> None:
    batches = random_batches(SEED + 1, batches=30, size=8)
    for number, runner in enumerate(("kafka", "faust", "kafka")):
        process = product.start(runner)
        product.small.feed(batches[number * 10 : number * 10 + 10], last=number == 2)
        product.wait_for(batches[number * 10 + 9], last=number == 2)
        product.stop(process)
    assert product.small.decoded() == product.small.expected(batches)


EXAMPLE = Path(__file__).parents[2] / "examples" / "faust_app.py"
HANGING = """

import asyncio
import time


@app.agent(app.topic("{topic}", value_type=bytes, value_serializer="raw"))
async def saboteur(stream):
    async for event in stream.events():
        {hang}
"""


def ejected(product: Product, file: Path) -> str:
    """The application of the product, as the command writes it."""
    name = f"airports{product.nonce}.hourly"
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "runner", "faust", "eject", name, "--to", str(file)],
        env=product.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return file.read_text()


@pytest.mark.slow
@pytest.mark.long
def test_agents_timers_and_views_of_ones_own_run_beside_the_product(product: Product) -> None:
    """Those of the example, beside the small mesh's product, which has the same stages."""
    file = product.folder / "faust_app.py"
    written = ejected(product, file)
    own = EXAMPLE.read_text().partition("# Agents, timers and web views of our own")[2].partition("\n")[2]
    topic = product.small.product.output.topic
    own = own.replace("airports.hourly_punctuality.v1", topic).replace("interval=60.0", "interval=0.5")
    file.write_text(
        "from collections import Counter\nfrom typing import Any\n" + written[written.index("import faust") :] + own
    )
    batches = random_batches(SEED + 2, batches=10, size=8)
    port = free_base(24_090)
    process = product.start("faust", "--no-supervise", "--app", str(file), "--web-port", str(port))
    product.small.feed(batches)
    product.wait_for(batches[-1], last=True)
    expected: dict[str, int] = {}
    for log in product.small.expected(batches).values():
        for key, _ in log:
            expected[key.decode()] = expected.get(key.decode(), 0) + 1

    def shown() -> bool:  # the output's messages come after the product has settled
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/changes/", timeout=30) as answer:
            return json.loads(answer.read()) == expected

    wait_until(shown, seconds=30)
    wait_until(lambda: "changes by airport" in product.said(), seconds=10)
    product.stop(process)
    assert product.small.decoded() == product.small.expected(batches)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("what", "hang"), [("agent", "await asyncio.Event().wait()"), ("loop", "time.sleep(3600)")])
def test_a_saboteur_that_never_returns_is_an_alarm_and_a_restart(product: Product, what: str, hang: str) -> None:
    """An agent that holds its message, and one that holds the whole loop. What the product publishes is complete all
    the same, a life of the worker after the other.
    """
    file = product.folder / "faust_app.py"
    text = ejected(product, file)
    file.write_text(text + HANGING.format(topic=product.small.product.output.topic, hang=hang))
    batches = random_batches(SEED + 3, batches=12, size=8)
    product.small.feed(batches[:6], last=False)
    said = f"the {what} stands still"
    options = ("--app", str(file), "--stall-seconds", "15")
    alone = product.start("faust", "--no-supervise", *options)
    assert alone.wait(120) == STALLED_EXIT, product.said()
    assert "HW-P216" in product.said()
    process = product.start("faust", *options)
    product.small.feed(batches[6:])
    # Of more than one life. A machine that is starved of CPU may raise others of the alarms beside it.
    wait_until(lambda: product.said().count("HW-P216") >= 3 and said in product.said(), seconds=240)
    assert process.poll() is None, product.said()
    process.terminate()
    process.wait(60)
    file.write_text(text)
    process = product.start("faust", "--no-supervise", "--app", str(file))
    product.wait_for(batches[-1], last=True)
    assert product.small.decoded() == product.small.expected(batches)

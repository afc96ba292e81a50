"""The reference mesh on Flink: its folds beside themselves under other names, equal to the plain recomputation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from examples import verify
from examples.services.reports import SEED_DEFAULT
from tests.integration.test_reference_mesh import ROOT, ROWS, Mesh

from headwater.contracts.environment import Environment
from headwater.local.flink_run import FlinkRun
from headwater.local.launch import start_stack
from headwater.mesh.load import load_mesh
from headwater.mesh.products import Mesh as Files
from headwater.plan.desired import desired
from headwater.ports.kafka import KafkaBroker
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import Message, TopicDescription
from headwater.processing.flow_file import load_plan
from headwater.schemas.codec import unframe
from headwater.schemas.registry_http import HttpRegistry

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

NAMES = ("airports.hourly_punctuality", "routes.daily_performance")


@pytest.fixture(scope="module")
def running(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    mesh = Mesh(stack, tmp_path_factory.mktemp("reference-mesh"))
    try:
        mesh.worker("relay")
        mesh.worker("run")
        yield mesh
    finally:
        mesh.close()


def twin_of(name: str) -> str:
    return f"{name}_on_flink"


def with_twins(stack: Stack, broker: KafkaBroker, folder: Path) -> Files:
    """The reference mesh with each product under another name beside it, its topics made, its schema registered."""
    for part in ("connectors", "streams", "schemas"):
        shutil.copytree(ROOT / part, folder / part)
    shutil.copy(ROOT / "mesh.yaml", folder)
    for domain, product in (name.split(".") for name in NAMES):
        for home in (folder / "streams" / domain, folder / "schemas" / "avro" / domain):
            twin = home / twin_of(product)
            shutil.copytree(home / product, twin, ignore=shutil.ignore_patterns("*.lock", "tests.yaml"))
            for file in twin.iterdir():
                file.write_text(file.read_text().replace(product, twin_of(product)))
    mesh = load_mesh(folder)
    for twin in (mesh.product(twin_of(name)) for name in NAMES):
        for topic in desired(mesh, {twin.name: load_plan(mesh, twin.name)}).topics:
            broker.create_topic(TopicDescription(topic.name, topic.partitions, dict(topic.settings)))
        HttpRegistry(stack.registry_url).register(twin.output.subject, twin.output.schema)
    return mesh


def log(broker: KafkaBroker, topic: str) -> list[tuple[int, bytes | None, bytes, int]]:
    """Partition, key, Avro body and timestamp of all records; the schema's id is another."""
    found = read_to_end(broker, dict.fromkeys(places_of(broker, topic), 0))
    messages = [one for one in found if isinstance(one, Message)]
    messages.sort(key=lambda one: (one.partition, one.offset))
    return [(one.partition, one.key, unframe(one.value)[1], one.timestamp) for one in messages]


@pytest.mark.slow
@pytest.mark.long
def test_flink_says_of_the_flights_what_the_recomputation_says(running: Mesh, stack: Stack, tmp_path: Path) -> None:
    running.replay(ROWS)
    running.follow()
    mesh = with_twins(stack, running.broker, tmp_path)
    start_stack(stack.local, extra=("flink",))
    environment = Environment("test", {"bootstrap.servers": stack.kafka}, stack.registry_url)
    for name in NAMES:
        twin = mesh.product(twin_of(name))
        run = FlinkRun(mesh, str(twin.name), environment, running.broker, HttpRegistry(stack.registry_url))
        reach = run.reach()
        assert reach is not None
        done = run.run(reach, tmp_path, gateway=stack.local.flink_url)
        made = log(running.broker, twin.output.topic)
        assert done is not None and done.records == len(made) > 400
        assert made == log(running.broker, mesh.product(name).output.topic)
        found, expected = verify.COMPARISONS[name](verify.newest(running.broker, twin), ROWS, SEED_DEFAULT)
        assert len(expected) > 100
        assert verify.differing(found, expected) == []

"""The stack in containers is the stack of `headwater up`: parsed and compared, for no container engine runs here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from headwater.cli.main import build
from headwater.local import connect, kafka
from headwater.local.java import select
from headwater.local.stack import LocalStack
from headwater.observability.metrics import METRICS
from headwater.settings import PORT_BASE_DEFAULT, LocalPorts

INFRA = Path(__file__).parents[3] / "infra"


def read(name: str) -> Any:
    return YAML(typ="safe").load((INFRA / name).read_text())


SERVICES = read("docker-compose.yml")["services"]
OURS = ("registry", "apply", "relay", "runner")
FLINK = ("flink", "flink-jobmanager", "flink-taskmanager")  # with --profile flink
SAME_PROPERTIES = (
    "auto.create.topics.enable",
    "log.retention.ms",
    "min.insync.replicas",
    "num.partitions",
    "offsets.topic.num.partitions",
    "transaction.max.timeout.ms",
    "transaction.state.log.num.partitions",
)


def test_every_part_is_there() -> None:
    assert set(SERVICES) == {"kafka", "postgres", "connect", *OURS, "prometheus", "grafana", *FLINK}


def test_every_port_is_open_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_ports_are_those_of_the_local_stack() -> None:
    ports = LocalPorts(PORT_BASE_DEFAULT)
    expected = {"kafka": ports.kafka, "registry": ports.registry, "postgres": ports.postgres, "connect": ports.connect}
    expected["flink"] = ports.flink
    for service, port in expected.items():
        assert SERVICES[service]["ports"][0].split(":")[1] == str(port)


def test_versions_are_those_of_the_lock() -> None:
    locked = {jar.identity: jar.coordinate.rpartition(":")[2] for jar in select("kafka", "debezium")}
    assert SERVICES["kafka"]["image"].endswith(":" + locked["org.apache.kafka:kafka_2.13"])
    debezium = SERVICES["connect"]["image"].rpartition(":")[2]
    assert locked["io.debezium:debezium-connector-postgres"].startswith(debezium + ".")


def test_flink_is_the_release_of_the_jars_that_are_made_for_it() -> None:
    locked = [
        jar.path_in(Path("jars")).name for jar in select("flink") if jar.coordinate.startswith("org.apache.flink:")
    ]
    gateway = next(jar.coordinate.rpartition(":")[2] for jar in select("flink-gateway"))
    for name in FLINK:
        assert SERVICES[name]["image"] == f"flink:{gateway}-java17"
        assert SERVICES[name]["profiles"] == ["flink"]
        mounted = {volume.split(":")[0].removeprefix("./flink/") for volume in SERVICES[name]["volumes"]}
        assert mounted == {"headwater-flink.jar", *locked}


def test_no_image_is_left_to_chance() -> None:
    images = [service["image"] for service in SERVICES.values()]
    assert all(":" in image and not image.endswith(":latest") for image in images)


@pytest.mark.parametrize("name", SAME_PROPERTIES)
def test_kafka_is_configured_as_the_local_one(name: str) -> None:
    local = kafka.properties(LocalStack(Path("/data"), LocalPorts(PORT_BASE_DEFAULT)))
    expected = dict(line.split("=", 1) for line in local.splitlines())[name]
    assert SERVICES["kafka"]["environment"]["KAFKA_" + name.upper().replace(".", "_")] == expected


def test_connect_is_configured_as_the_local_one() -> None:
    """The image takes what it knows by name under that name, and everything else behind CONNECT_."""
    said = SERVICES["connect"]["environment"]
    of_the_image = ("group.id", "key.converter", "value.converter", "plugin.discovery")
    for name, value in connect.WORKER.items():
        variable = name.upper().replace(".", "_")
        found = said.get(variable, said.get(f"CONNECT_{variable}"))
        assert found == value or (found is None and name in of_the_image), name


@pytest.mark.parametrize("service", OURS)
def test_our_containers_run_commands_that_exist(service: str) -> None:
    words = SERVICES[service]["command"]
    command = typer.main.get_command(build()).commands[words[0]]
    known = {name for option in command.params for name in option.opts}
    assert [word for word in words[1:] if word.startswith("--") and word not in known] == []


def test_everything_that_is_needed_is_awaited() -> None:
    for service in SERVICES.values():
        for needed in service.get("depends_on", []):
            assert needed in SERVICES
    for writer in ("relay", "runner"):
        assert SERVICES[writer]["depends_on"]["apply"]["condition"] == "service_completed_successfully"


def test_every_mounted_file_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            made = source.startswith("./flink/")  # by headwater runner flink jars
            assert made or not source.startswith(".") or (INFRA / source).exists()


def test_prometheus_and_grafana_know_each_other() -> None:
    assert read("prometheus.yml")["scrape_configs"]
    assert read("grafana/datasources.yml")["datasources"][0]["url"] == "http://prometheus:9090"


def test_the_dashboard_shows_what_is_told_and_is_where_grafana_looks() -> None:
    board = json.loads((INFRA / "grafana" / "products.json").read_text())
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    used = {word for expr in shown for word in re.findall(r"headwater_[a-z_]+", expr)}
    told = {metric.name for metric in METRICS}
    assert {word.removesuffix("_sum").removesuffix("_count") for word in used} <= told
    assert {word for word in used if "flink" in word} and {word for word in used if "stage" in word}
    places = {panel["datasource"]["uid"] for panel in board["panels"]}
    assert places == {read("grafana/datasources.yml")["datasources"][0]["uid"]}
    (provider,) = read("grafana/dashboards.yml")["providers"]
    mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"] if ":" in volume]
    assert f"{provider['options']['path']}/products.json" in mounted

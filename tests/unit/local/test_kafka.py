"""The broker's configuration and command line."""

from __future__ import annotations

from pathlib import Path

from headwater.local import kafka
from headwater.local.java import Java
from headwater.local.launch import READY_SECONDS
from headwater.local.stack import LocalStack
from headwater.settings import LocalPorts

STACK = LocalStack(Path("/data"), LocalPorts(20000))


def properties() -> dict[str, str]:
    return dict(line.split("=", 1) for line in kafka.properties(STACK).splitlines())


def test_the_broker_listens_on_loopback_only_and_on_the_stacks_ports() -> None:
    assert properties()["listeners"] == "PLAINTEXT://127.0.0.1:20002,CONTROLLER://127.0.0.1:20003"
    assert properties()["controller.quorum.voters"] == "1@127.0.0.1:20003"


def test_nothing_but_apply_makes_topics() -> None:
    assert properties()["auto.create.topics.enable"] == "false"


def test_a_busy_broker_stays_in_its_cluster_and_a_killed_one_is_let_back_in_while_up_waits() -> None:
    session = int(properties()["broker.session.timeout.ms"])
    assert session >= 9_000  # Kafka's default: two starved cores outlast two seconds
    assert session < READY_SECONDS * 1_000 / 2


def test_no_record_is_lost_to_retention_unless_its_topic_says_so() -> None:
    assert properties()["log.retention.ms"] == "-1"


def test_an_older_java_is_spared_the_flag_that_it_refuses() -> None:
    flag = "--sun-misc-unsafe-memory-access=allow"
    assert flag in kafka.arguments(Java(Path("/java"), 25, "test"), [Path("/a.jar")], STACK)
    assert flag not in kafka.arguments(Java(Path("/java"), 17, "test"), [Path("/a.jar")], STACK)


def test_a_cluster_id_never_looks_like_an_option() -> None:
    made = [kafka._cluster_id(bytes([first] * 16)) for first in range(256)]
    assert all(len(identity) == 22 and not identity.startswith("-") for identity in made)

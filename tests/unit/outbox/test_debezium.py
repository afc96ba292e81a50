"""The generated connectors: what they must say, what may not be overridden, and that no secret stands in them."""

from __future__ import annotations

import json

import pytest

from headwater import naming
from headwater.outbox.debezium import CaptureSource, capture_connector, override_fault, router_connector
from headwater.outbox.debezium_connect import _reason, differences, new_enough

PLACE = CaptureSource(
    "operations.public.outbox", "public.outbox", "db.example.org", "5432", "relay", "operations",
    "${env:DATABASE_PASSWORD}", {"max.batch.size": "512"},
)  # fmt: skip
SLOT = naming.capture_slot("operations", "public.outbox")
BOTH = (capture_connector(PLACE, SLOT), router_connector(PLACE, naming.router_slot("operations", "public.outbox")))
DEMANDED = {
    "exactly.once.support": "required",
    "offset.mismatch.strategy": "trust_offset",
    "slot.drop.on.stop": "false",
    "publication.autocreate.mode": "disabled",
    "snapshot.mode": "no_data",
    "tombstones.on.delete": "false",
    "lsn.flush.mode": "connector",
    "heartbeat.interval.ms": "10000",
    "plugin.name": "pgoutput",
}


@pytest.mark.parametrize("name", DEMANDED)
def test_both_connectors_say_what_keeps_rows(name: str) -> None:
    assert [config[name] for config in BOTH] == [DEMANDED[name]] * 2


def test_each_connector_has_a_slot_and_a_publication_of_its_own() -> None:
    slots = {config["slot.name"] for config in BOTH} | {naming.slot("operations", "public.outbox")}
    assert len(slots) == 3
    assert all(config["publication.name"] == config["slot.name"] for config in BOTH)


def test_the_secret_is_a_placeholder() -> None:
    assert all(config["database.password"] == "${env:DATABASE_PASSWORD}" for config in BOTH)


def test_an_idle_outbox_moves_its_slot() -> None:
    assert all("pg_logical_emit_message" in config["heartbeat.action.query"] for config in BOTH)


def test_sizes_may_be_overridden() -> None:
    assert all(config["max.batch.size"] == "512" for config in BOTH)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exactly.once.support", "requested"),
        ("offset.mismatch.strategy", "no_validation"),
        ("offset.mismatch.strategy", "trust_slot"),
        ("slot.drop.on.stop", "true"),
        ("publication.autocreate.mode", "all_tables"),
        ("snapshot.mode", "initial"),
        ("event.processing.failure.handling.mode", "warn"),
        ("errors.tolerance", "all"),
        ("lsn.flush.mode", "connector_and_driver"),
        ("producer.override.acks", "1"),
        ("producer.override.enable.idempotence", "false"),
        ("heartbeat.interval.ms", "0"),
        ("skipped.operations", "c"),
        ("provide.transaction.metadata", "false"),
        ("binary.handling.mode", "hex"),
        ("transforms", "mine"),
        ("table.include.list", "public.other"),
        ("slot.name", "another"),
        ("database.password", "in-clear"),
    ],
)
def test_what_loses_or_doubles_rows_is_refused(name: str, value: str) -> None:
    assert override_fault(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("poll.interval.ms", "100"), ("heartbeat.interval.ms", "5000"), ("slot.failover", "true"),
     ("errors.tolerance", "none"), ("database.sslmode", "verify-full"), ("producer.override.linger.ms", "5")],
)  # fmt: skip
def test_what_changes_only_how_fast_is_not(name: str, value: str) -> None:
    assert override_fault(name, value) == ""


@pytest.mark.parametrize(("version", "enough"), [("3.7.0.Final", True), ("4.0.0.Beta1", True), ("3.7.0.Alpha2", False)])
def test_a_debezium_that_loses_rows_is_told_from_one_that_does_not(version: str, enough: bool) -> None:
    assert new_enough(version) is enough


def test_a_difference_shows_no_secret() -> None:
    lines = differences({"database.password": "old-secret"}, {"database.password": "new-secret", "a": "1"})
    assert lines == ["+ a: 1", "~ database.password: *** -> ***"]


def test_the_reason_of_a_failed_task_holds_no_values() -> None:
    trace = (
        'org.apache.kafka.connect.errors.ConnectException: cannot convert \'Jane Doe\' in {"name": "Jane Doe"}\n'
        '\tat io.debezium.Some.method(Some.java:1)\nCaused by: java.lang.RuntimeException: "Jane Doe" is none\n'
    )
    assert "Jane" not in _reason(trace)
    assert "Some.java" not in _reason(trace) and "RuntimeException" in _reason(trace)


def test_the_configuration_is_plain_json() -> None:
    assert all(json.loads(json.dumps(config)) == config for config in BOTH)

"""Quarantine on the real stack, with the command line as a person types it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.integration.test_relay import Road, eventually, flight

from headwater.ports.kafka import KafkaBroker
from headwater.testing.small_mesh import DEPARTURES, edit

if TYPE_CHECKING:
    from tests.integration.conftest import Stack


class ParkingRoad(Road):
    """A source whose product parks keys."""

    def apply(self) -> None:
        contract = DEPARTURES.replace("/flights/", f"/{self.domain}/")
        edit(self.folder, contract, "key: [flight_id]", "key: [flight_id]\n    on_invalid: park-key")
        super().apply()

    def insert(self, *rows: dict[str, Any]) -> list[str]:
        """Rows in plain SQL, as a service without Headwater writes them, in one transaction; their ids."""
        name, ids = f"{self.domain}.departures", [str(uuid.uuid4()) for _ in rows]
        statement = "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload) VALUES (%s, %s, %s, %s, %s)"
        with psycopg.connect(self.dsn) as connection:
            for row_id, row in zip(ids, rows, strict=True):
                values = [row_id, name, row["flight_id"], f"{name}.Departure", json.dumps(row)]
                connection.execute(statement, values)
        return ids

    def quarantine(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        done = self.cli("quarantine", *arguments, "--output", "json")
        assert done.returncode == code, done.stderr + done.stdout
        return [json.loads(line) for line in done.stdout.splitlines()] if code == 0 else [{"said": done.stderr}]

    def states(self) -> dict[str, str]:
        return {entry["id"]: entry["state"].split(" ")[0] for entry in self.quarantine("list", "--all")}

    def reconcile(self, *, code: int = 0) -> list[dict[str, Any]]:
        done = self.cli("relay", "reconcile", "--output", "json")
        assert done.returncode == code, done.stderr + done.stdout
        return [json.loads(line) for line in done.stdout.splitlines()]

    def delays(self) -> list[int]:
        return [record["delay_minutes"] for record in self.records()]


@pytest.fixture
def road(stack: Stack, tmp_path: Path) -> Iterator[ParkingRoad]:
    made = ParkingRoad(stack, tmp_path)
    yield made
    made.close()


def test_a_key_is_parked_shown_repaired_and_goes_on_in_order(road: ParkingRoad) -> None:
    first = road.relay()
    bad, second, *_ = road.insert(
        flight(1, occurred_at="long ago", delay_minutes=1), flight(1, delay_minutes=2), flight(1, delay_minutes=3)
    )
    road.insert(flight(2, delay_minutes=9))
    eventually(lambda: road.delays() == [9])
    listed = road.quarantine("list", f"{road.domain}.departures")
    assert [entry["state"] for entry in listed] == ["open (parks its key)", "parked", "parked"]
    assert listed[0]["id"] == bad and listed[0]["code"] == "HW-S040" and "key" not in listed[0]
    assert "long ago" not in json.dumps(listed) and "F1" not in json.dumps(listed)

    (shown,) = road.quarantine("show", bad)
    assert shown["field"] == "occurred_at" and "occurred_at" in shown["reason"] and "long ago" not in json.dumps(shown)
    assert "long ago" in road.quarantine("show", bad, "--values")[0]["payload"]

    assert "HW-S040" in road.quarantine("repair", bad, "--set", "occurred_at=later", code=1)[0]["said"]
    assert "HW-O103" in road.quarantine("repair", second, "--set", "occurred_at=1357000000000000", code=2)[0]["said"]
    road.stop(first)  # a stopped relay finds its parked keys again
    road.relay()
    mended = ("--set", "occurred_at=1357000000000000", "--reason", "a typing error", "--by", "ann")
    road.quarantine("repair", bad, *mended)
    eventually(lambda: road.delays() == [9, 1, 2, 3] or sorted(road.delays()) == [1, 2, 3, 9])
    of_key = [record for record in road.records() if record["flight_id"] == "F1"]
    assert [record["delay_minutes"] for record in of_key] == [1, 2, 3]
    assert of_key[0]["event_id"] == bad, "the event keeps its identity"
    assert road.quarantine("list") == []
    eventually(lambda: road.quarantine("list", "--all")[0].get("by") == "ann")
    assert set(road.states().values()) == {"repaired", "released"}
    assert "HW-O103" in road.quarantine("repair", bad, *mended, code=2)[0]["said"]


def test_discard_and_release_let_a_key_go_on_and_reconcile_accounts_for_each_row(road: ParkingRoad) -> None:
    road.relay()
    bad, _, worse, _ = road.insert(
        flight(1, occurred_at="?"), flight(1, delay_minutes=2), flight(1, occurred_at="?"), flight(1, delay_minutes=4)
    )
    eventually(lambda: len(road.quarantine("list")) == 4)
    road.quarantine("discard", bad, "--reason", "a test flight")
    eventually(lambda: road.delays() == [2])
    assert road.states()[worse] == "open"
    road.quarantine("release", f"{road.domain}.departures", "--key", "F1")
    eventually(lambda: road.delays() == [2, 4])
    assert [entry["state"] for entry in road.quarantine("list")] == ["open"]
    road.quarantine("release", worse)  # it fits as little as before
    road.insert(flight(1, delay_minutes=5))
    eventually(lambda: road.delays() == [2, 4, 5])
    assert road.states()[worse] == "open"
    road.quarantine("discard", worse, "--reason", "another")
    eventually(lambda: road.quarantine("list") == [])


def test_reconcile_names_a_loss_and_a_repeat_and_knows_what_only_waits(road: ParkingRoad) -> None:
    relay = road.relay()
    name = f"{road.domain}.departures"
    good, bad, held = road.insert(flight(1), flight(2, occurred_at="?"), flight(2))
    eventually(lambda: len(road.quarantine("list")) == 2)
    (found,) = road.reconcile()
    assert (found["rows"], found["published"], found["open"], found["parked"]) == (3, 1, 1, 1)
    assert found["equal"] and found["digest"] == found["found_digest"]
    road.quarantine("discard", bad, "--reason", "a test")
    eventually(lambda: road.states().get(held) == "released")
    (found,) = road.reconcile()
    assert (found["published"], found["discarded"], found["commands"], found["rows"]) == (2, 1, 1, 4)

    road.stop(relay)
    waits = road.insert(flight(3), flight(4))
    (found,) = road.reconcile()
    assert found["equal"] and found["waiting"] == 2 and found["rows"] == 6
    road.relay()
    eventually(lambda: len(road.flights()) == 4)

    broker = KafkaBroker({"bootstrap.servers": road.stack.kafka})
    sink = broker.sink(road.stack.fresh_name("by_hand"))
    sink.open()
    sink.begin()
    sink.send(f"{name}.v1", b"F1", b"", timestamp=int(time.time() * 1_000), headers=[("id", good.encode())])
    sink.commit()
    sink.close()
    with psycopg.connect(road.dsn) as connection:
        connection.execute("DELETE FROM outbox WHERE id = %s", [waits[0]])
    stop_again = road.processes[-1]
    road.stop(stop_again)
    (lost,) = road.insert(flight(9))
    with psycopg.connect(road.dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", [road.slot])
    (found,) = road.reconcile(code=1)
    told = {one["id"]: one for one in found["named"]}
    assert set(told) == {good, waits[0], lost}
    assert told[good]["what"] == "2 times" and len(told[good]["where"]) == 2
    assert told[waits[0]]["what"] == "not in the table"
    assert told[lost]["what"] == "in the table, and nowhere else"

"""The stack as values: what follows from a folder and a block of ports."""

from __future__ import annotations

from pathlib import Path

from headwater.local.stack import PARTS, LocalStack, cache_folder
from headwater.settings import LocalPorts

STACK = LocalStack(Path("/data"), LocalPorts(20000))


def test_every_part_has_an_address_and_ports_of_its_own() -> None:
    ports = [port for part in PARTS for _, port in STACK.ports_of(part)]
    assert len(set(ports)) == len(ports)
    assert all(20000 < port < 20010 for port in ports)
    assert all(STACK.address_of(part) for part in PARTS)


def test_an_address_that_is_shown_never_holds_the_password() -> None:
    assert STACK.address_of("postgres") == "postgresql://postgres:***@127.0.0.1:20004/postgres"
    assert "secret" in STACK.postgres_address("operations", password="secret")


def test_the_cache_is_shared_by_all_checkouts_unless_it_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("HEADWATER_CACHE", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "headwater"
    monkeypatch.setenv("HEADWATER_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_what_belongs_to_no_part_has_no_address_and_no_port() -> None:
    assert STACK.address_of("relay") == ""
    assert STACK.ports_of("relay") == ()

"""Connect's worker: what its configuration promises, and that a secret stands in no file but its own."""

from __future__ import annotations

from pathlib import Path

from headwater.local import connect
from headwater.local.java import select
from headwater.local.stack import LocalStack
from headwater.settings import LocalPorts

STACK = LocalStack(Path("/data"), LocalPorts(20000))


def properties(stack: LocalStack = STACK) -> dict[str, str]:
    return dict(line.split("=", 1) for line in connect.properties(stack).splitlines())


def test_the_worker_listens_on_loopback_only() -> None:
    assert properties()["listeners"] == "http://127.0.0.1:20005"


def test_exactly_once_is_on_and_connect_makes_no_topics() -> None:
    assert properties()["exactly.once.source.support"] == "enabled"
    assert properties()["topic.creation.enable"] == "false"


def test_connectors_may_read_their_secrets_and_no_other_file() -> None:
    allowed = {value for name, value in properties().items() if name.endswith("param.allowed.paths")}
    assert allowed == {"/data/connect/secrets"}


def test_debezium_is_new_enough_to_lose_nothing() -> None:
    locked = {jar.identity: jar.coordinate.rpartition(":")[2] for jar in select("debezium")}
    version = locked["io.debezium:debezium-connector-postgres"]
    assert version.endswith(".Final") and tuple(map(int, version.split(".")[:2])) >= (3, 7)


def test_the_password_lies_in_the_folder_of_secrets_alone(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path, LocalPorts(20000))
    stack.password_file.write_text("not-to-be-seen\n")
    connect.prepare(stack, [tmp_path / "a.jar"])
    holding = [
        path
        for path in (tmp_path / "connect").rglob("*")
        if path.is_file() and "not-to-be-seen" in path.read_text(errors="replace")
    ]
    assert holding == [connect.secrets_folder(stack) / connect.PASSWORD_NAME]
    assert holding[0].read_text() == "not-to-be-seen" and holding[0].stat().st_mode & 0o077 == 0
    assert (tmp_path / "connect" / "plugins" / "debezium-postgres" / "a.jar").is_symlink()

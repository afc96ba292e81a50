"""Tables of the lake in catalogues that machines share: in PostgreSQL, and behind Iceberg's own REST server.

The suite of tables asks them what it asks those in a folder; two writers in processes of their own fill one table, and
the server is started anew in between. The REST server is a jar of 212 MB: its tests are marked long.
"""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.conformance.iceberg_lakes import IcebergLakes, Settings

from headwater.errors import Unreachable
from headwater.local.flink import compile_java
from headwater.local.java import find_java, jars
from headwater.local.ports import free_base
from headwater.testing.conformance.lake_table import Lakes, LakeTableSuite, put

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

SERVES_WITHIN = 60.0


def in_postgres(stack: Stack, folder: Path) -> Settings:
    address = stack.postgres_dsn(stack.fresh_database()).replace("postgresql://", "postgresql+psycopg://", 1)
    return {"type": "sql", "uri": address, "warehouse": f"file://{folder}"}


@pytest.mark.slow
class TestInPostgres(LakeTableSuite):
    @pytest.fixture
    def lakes(self, stack: Stack, tmp_path: Path) -> Iterator[Lakes]:
        with closing(IcebergLakes(in_postgres(stack, tmp_path), tmp_path)) as shared:
            yield shared


@pytest.mark.slow
def test_a_catalogue_whose_connections_are_cut_does_not_answer_once_and_is_asked_anew(
    stack: Stack, tmp_path: Path
) -> None:
    """As when PostgreSQL is started anew: a writer waits, and goes on from what the table says."""
    settings = in_postgres(stack, tmp_path)
    with closing(IcebergLakes(settings, tmp_path)) as shared:
        table = shared.table()
        seen = put(table, table.look(), 0, 3)
        with psycopg.connect(settings["uri"].replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with pytest.raises(Unreachable) as caught:
            table.look()
        assert caught.value.code == "HW-I012" and caught.value.retriable
        assert table.look().progress == seen.progress
        seen = put(table, table.look(), 3, 5)
        assert sorted(shared.offsets()) == [0, 1, 2, 3, 4]
        assert shared.table().look().progress == seen.progress


@contextmanager
def rest_server(folder: Path, port: int) -> Iterator[Settings]:
    """Iceberg's REST catalogue on loopback over the SQLite of a folder; what was in it is in it again."""
    libraries, classes = jars("iceberg-rest"), folder / "classes"
    if not classes.exists():
        compile_java(classes, libraries, Path(__file__).parent / "rest_catalogue")
    path = ":".join(map(str, [classes, *libraries]))
    arguments = [str(port), str(folder / "catalogue.db"), str(folder / "tables")]
    command = [str(find_java().executable), "-Xmx256m", "-cp", path, "org.apache.iceberg.rest.LoopbackCatalogue"]
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen([*command, *arguments], stdout=log, stderr=log)
    try:
        until = time.monotonic() + SERVES_WITHIN
        while not answers(f"http://127.0.0.1:{port}/v1/config"):
            assert server.poll() is None and time.monotonic() < until, (folder / "server.log").read_text()[-2_000:]
            time.sleep(0.1)
        yield {"type": "rest", "uri": f"http://127.0.0.1:{port}"}
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.long
class TestBehindRest(LakeTableSuite):
    @pytest.fixture
    def lakes(self, tmp_path: Path) -> Iterator[Lakes]:
        with rest_server(tmp_path, free_base(23_190)) as settings, closing(IcebergLakes(settings, tmp_path)) as shared:
            yield shared


@pytest.mark.slow
@pytest.mark.long
def test_a_rest_server_that_is_away_is_no_answer_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    port = free_base(23_190)
    with ExitStack() as held:
        with rest_server(tmp_path, port) as settings:
            shared = held.enter_context(closing(IcebergLakes(settings, tmp_path)))
            table = shared.table()
            seen = put(table, table.look(), 0, 3)
        with pytest.raises(Unreachable) as caught:
            table.look()
        assert caught.value.code == "HW-I012" and caught.value.retriable
        with rest_server(tmp_path, port):
            put(table, seen, 3, 5)
            assert sorted(shared.offsets()) == [0, 1, 2, 3, 4]

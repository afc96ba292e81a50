"""A hundred questions of the reference mesh, asked of every way out while flights are replayed: one answer, that of a
plain fold. It goes on where the tests of the mesh have left the stack; alone, it replays the flights first.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from examples.services.reports import SEED_DEFAULT
from tests.integration.reference_ports import Forgetful, Http, Plain, Raw, Sdk, Sql
from tests.integration.test_reference_mesh import ROOT, ROWS_KILLED, SECONDS_LIMIT, Mesh, in_order, serving

import headwater
from headwater.local.ports import free_base
from headwater.testing.conformance.answers import Asked, Told, a_hundred, expected

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

WAYS_OUT = ("airports.hourly_punctuality", "planning.delay_features")
ROWS_MORE, RATE_ASKED = 400, 10  # flights, and reports a second: they last for longer than the questions


@pytest.fixture(scope="module")
def running(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    mesh = Mesh(stack, tmp_path_factory.mktemp("reference-mesh"))
    try:
        mesh.worker("relay")
        mesh.worker("run")
        mesh.replay(ROWS_KILLED)
        mesh.follow()
        yield mesh
    finally:
        mesh.close()


def fill(running: Mesh) -> None:
    command = [sys.executable, "-m", "headwater", "lake", "run", "--until-end"]
    subprocess.run(command, env=running.environment, cwd=ROOT, capture_output=True, timeout=120, check=True)


class Ways:
    """Every way out of a product, with a server and a writer of the lake beside it."""

    def __init__(self, running: Mesh, name: str, kafka: str) -> None:
        product, port = running.mesh.product(name), free_base(23_090)
        self.running, self.plain = running, Plain(kafka, ROOT, product)
        self.current = "current" in product.output.output.ports
        self.server = serving(running, port)
        running.start("lake", "-m", "headwater", "lake", "run", name, "--commit-seconds", "1")
        self.http = Http(f"http://127.0.0.1:{port}", product)
        raw = Raw(running.lake, product, self.plain.instants)
        self.ports = [Sdk(name), Sql(product, "topic"), self.http, Sdk(name, "lake"), Sql(product, "lake"), raw]

    def answers(self, questions: list[Asked]) -> dict[str, Any]:
        return {f"{type(one).__name__} {at}": one.answers(questions) for at, one in enumerate(self.ports)}

    def wrong(self, told: Told, asked: list[Asked], found: Iterable[Iterable[Any]]) -> list[Asked]:
        """The questions whose answers are not those of the plain fold."""
        right = [in_order(self.plain.as_json(row) for row in expected(told, one)) for one in asked]
        return [one for one, rows, all_ in zip(asked, found, right, strict=True) if in_order(rows) != all_]

    def at_rest(self, told: Told) -> None:
        """Nothing is written any more: all that is there is in the lake, and in the server's index."""
        process, until = self.running.processes["lake"], time.monotonic() + SECONDS_LIMIT
        process.terminate()
        assert process.wait(20) == 0, self.running.log("lake")
        command = [sys.executable, "-m", "headwater", "lake", "run", "--until-end"]
        subprocess.run(command, env=self.running.environment, cwd=ROOT, capture_output=True, timeout=120, check=True)
        while len(self.http.answers([Asked(None, None, None, history=True)])[0]) < len(told.records):
            assert time.monotonic() < until
            time.sleep(0.2)

    def close(self) -> None:
        self.server.terminate()
        assert self.server.wait(20) is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", [WAYS_OUT[0], pytest.param(WAYS_OUT[1], marks=pytest.mark.long)])
def test_a_hundred_questions_have_one_answer_by_every_way_out_while_flights_are_replayed(
    stack: Stack, running: Mesh, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Topic, lake, SQL over both, HTTP of another process, the lake's files by hand, and `current`."""
    for variable, value in running.environment.items():
        monkeypatch.setenv(variable, value)
    ways, rows = Ways(running, name, stack.kafka), ROWS_KILLED + ROWS_MORE * (1 + WAYS_OUT.index(name))
    try:
        with headwater.open(name) as opened:
            settled_to = opened.as_of().settled_to
        questions = a_hundred(ways.plain.told(), SEED_DEFAULT, until=int(settled_to))
        reported, until = int(str(running.progress()["done"])), time.monotonic() + SECONDS_LIMIT
        running.replay(rows, RATE_ASKED)
        while int(str(running.progress()["done"])) <= reported:
            assert time.monotonic() < until
            time.sleep(0.1)
        during = ways.answers(questions)
        assert running.processes["services"].poll() is None, "reports came in all the while"
        running.processes["services"].terminate()
        running.replay(rows)
        running.follow()
        told = ways.plain.told()
        assert {port: ways.wrong(told, questions, found) for port, found in during.items()} == {
            port: [] for port in during
        }
        assert ways.wrong(told, questions, Forgetful(name).answers(questions)), "a port that forgets is found out"

        ways.at_rest(told)
        later = a_hundred(told, SEED_DEFAULT + 1)[:20]  # of what is known now, too
        assert any(one.recorded is None for one in later)
        after = ways.answers(later)
        assert {port: ways.wrong(told, later, found) for port, found in after.items()} == {port: [] for port in after}
        if ways.current:
            assert ways.wrong(told, [Asked(None, None, None)], [map(ways.plain.as_json, ways.plain.current())]) == []
    finally:
        ways.close()

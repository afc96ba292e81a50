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
from tests.integration.test_reference_mesh import ROOT, ROWS, ROWS_KILLED, SECONDS_LIMIT, Mesh, in_order, serving

import headwater
from headwater.local.ports import free_base
from headwater.testing.asked_again import asked_again
from headwater.testing.conformance.answers import Asked, Told, a_hundred, expected
from headwater.timeline.clock import SystemClock
from headwater.timeline.instant import Instant

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

WAYS_OUT = ("airports.hourly_punctuality", "planning.delay_features")
ROWS_MORE, RATE_ASKED = 20_000, 20  # flights, and reports a second: they last for longer than the questions


@pytest.fixture(scope="module")
def running(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    mesh = Mesh(stack, tmp_path_factory.mktemp("reference-mesh"))
    try:
        mesh.worker("relay")
        mesh.worker("run")
        mesh.replay(ROWS)  # after the tests of the mesh there is nothing left of these
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
        self.running, self.plain, self.name = running, Plain(kafka, ROOT, product), name
        self.current = "current" in product.output.output.ports
        self.server = serving(running, port)
        running.start("lake", "-m", "headwater", "lake", "run", name, "--commit-seconds", "1")
        self.http = Http(f"http://127.0.0.1:{port}", product)
        raw = Raw(running.lake, product, self.plain.instants)
        self.ports = [Sdk(name), Sql(product, "topic"), self.http, Sdk(name, "lake"), Sql(product, "lake"), raw]

    def answers(self, questions: list[Asked], every: int = 1) -> dict[str, tuple[list[Asked], Any]]:
        """What each port was asked and said; of the lake's own roads, which cost the most, each `every`th question."""
        asked = [questions[:: every if at in (3, 4) else 1] for at, _ in enumerate(self.ports)]
        return {
            f"{type(one).__name__} {at}": (some, one.answers(some))
            for at, (one, some) in enumerate(zip(self.ports, asked, strict=True))
        }

    def all_right(self, told: Told, answers: dict[str, tuple[list[Asked], Any]]) -> None:
        assert {port: self.wrong(told, *one) for port, one in answers.items()} == {port: [] for port in answers}

    def wrong(self, told: Told, asked: list[Asked], found: Iterable[Iterable[Any]]) -> list[Asked]:
        """The questions whose answers are not those of the plain fold."""
        right = [in_order(self.plain.as_json(row) for row in expected(told, one)) for one in asked]
        return [one for one, rows, all_ in zip(asked, found, right, strict=True) if in_order(rows) != all_]

    def at_rest(self) -> Told:
        """Nothing is written any more: all that was is published, and in the lake, and in the server's index."""
        stopped_at, until = Instant(SystemClock().now()), time.monotonic() + SECONDS_LIMIT
        with headwater.open(self.name) as opened:
            while opened.as_of().settled_to < stopped_at:
                assert time.monotonic() < until
                time.sleep(0.2)
        told, process = self.plain.told(), self.running.processes["lake"]
        process.terminate()
        assert process.wait(60) == 0, self.running.log("lake")
        command = [sys.executable, "-m", "headwater", "lake", "run", "--until-end"]
        subprocess.run(command, env=self.running.environment, cwd=ROOT, capture_output=True, timeout=120, check=True)
        while len(self.http.answers([Asked(None, None, None, history=True)])[0]) < len(told.records):
            assert time.monotonic() < until
            time.sleep(0.2)
        return told

    def await_more(self, before: Told) -> None:
        """Until something was published since."""
        until = time.monotonic() + SECONDS_LIMIT
        while len(self.plain.told().records) == len(before.records):
            assert time.monotonic() < until
            time.sleep(0.5)

    def close(self) -> None:
        self.server.terminate()
        assert self.server.wait(60) is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "every"),
    [
        (WAYS_OUT[0], 5),
        pytest.param(WAYS_OUT[0], 1, marks=pytest.mark.long),
        pytest.param(WAYS_OUT[1], 1, marks=pytest.mark.long),
    ],
)
@pytest.mark.timeout(900)  # beside other work; alone it takes half a minute
def test_a_hundred_questions_have_one_answer_by_every_way_out_while_flights_are_replayed(
    stack: Stack, running: Mesh, monkeypatch: pytest.MonkeyPatch, name: str, every: int
) -> None:
    """Topic, lake, SQL over both, HTTP of another process, the lake's files by hand, and `current`."""
    for variable, value in running.environment.items():
        monkeypatch.setenv(variable, value)
    ways = Ways(running, name, stack.kafka)
    try:
        with headwater.open(name) as opened:
            settled_to = asked_again(opened.as_of).settled_to
        before = ways.plain.told()
        questions = a_hundred(before, SEED_DEFAULT, until=int(settled_to))
        running.replay(ROWS_KILLED + ROWS_MORE, RATE_ASKED)
        ways.await_more(before)
        during = ways.answers(questions, every)
        services = running.processes["services"]
        assert services.poll() is None, "reports came in all the while"
        services.terminate()
        services.wait(60)
        told = ways.at_rest()
        assert len(told.records) > len(before.records)
        ways.all_right(told, during)
        some = questions[:30]
        assert ways.wrong(told, some, Forgetful(name).answers(some)), "a port that forgets is found out"

        later = a_hundred(told, SEED_DEFAULT + 1)[:20]  # of what is known now, too
        assert any(one.recorded is None for one in later)
        ways.all_right(told, ways.answers(later, every))
        if ways.current:
            assert ways.wrong(told, [Asked(None, None, None)], [map(ways.plain.as_json, ways.plain.current())]) == []
    finally:
        ways.close()

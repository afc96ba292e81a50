"""The reference mesh on the real stack: what is derived equals a plain recomputation of the data set, kills or not.

The two tests share one stack and go on from each other: the second replays the flights after those of the first.
"""

from __future__ import annotations

import ast
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from examples import verify
from examples.services.reports import SEED_DEFAULT

from headwater.local.ports import free_base
from headwater.local.tally import Tally
from headwater.mesh.load import load_mesh
from headwater.ports.kafka import KafkaBroker
from headwater.ports.record import TopicPartition
from headwater.schemas.payload import writer
from headwater.schemas.registry_http import HttpRegistry
from headwater.sdk.open import OpenProduct
from headwater.testing.asked_again import asked_again
from headwater.testing.oracles import fact_as_of
from headwater.timeline.clock import SystemClock
from headwater.timeline.instant import Instant

ROOT = Path(__file__).resolve().parents[2]
ROWS, ROWS_KILLED = 3_000, 6_000
RATE_KILLED = 1_000  # reports a second: slow enough for four kills and restarts while reports come in
KILLS = ((0.2, "relay"), (0.4, "run"), (0.6, "relay"), (0.8, "run"))  # at this share of the new reports
SECONDS_LIMIT = 150


class Mesh:
    """Relay, runner and services of the reference mesh as processes, and a reader of all that becomes readable."""

    def __init__(self, stack, folder: Path) -> None:
        self.environment = {
            **stack.environment(),
            "HEADWATER_MESH": str(ROOT),
            "OPERATIONS_DATABASE": stack.postgres_dsn("operations"),
        }
        self._folder = folder
        self._progress = folder / "progress"
        applied = stack.cli("apply", cwd=ROOT, env={"HEADWATER_MESH": str(ROOT)}, timeout=120)
        assert applied.returncode == 0, applied.stderr
        self.mesh = load_mesh(ROOT)
        self.lake = {"type": "sql", "uri": f"sqlite:///{stack.data_folder}/lake.db"}
        self.broker = KafkaBroker({"bootstrap.servers": stack.kafka})
        self.tally = Tally(
            self.broker,
            self.mesh.in_order(),
            registry=HttpRegistry(stack.registry_url),
            tick=self.mesh.file.tick,
            clock=SystemClock(),
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *argv: str) -> None:
        if name in self.processes:
            self.processes[name].wait(60)  # what was killed, or has replayed all that it was to
        with (self._folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *argv], env=self.environment, cwd=ROOT, stdout=log, stderr=log
            )

    def worker(self, name: str) -> None:
        self.start(name, "-m", "headwater", name)

    def kill(self, name: str) -> None:
        os.kill(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def replay(self, rows: int, rate: float = 0) -> None:
        self._progress.unlink(missing_ok=True)
        options = ("--rows", str(rows), "--rate", str(rate), "--progress", str(self._progress))
        self.start("services", "-m", "examples.services.replay", *options)

    def progress(self) -> dict[str, object]:
        if self.processes["services"].poll() not in (None, 0):
            raise AssertionError(self.log("services"))
        try:
            return json.loads(self._progress.read_text())
        except FileNotFoundError:
            return {"done": 0, "of": 0, "outbox": None}

    def follow(self, each: Callable[[dict[str, object]], None] = lambda progress: None) -> None:
        """Read on until every row is accounted for and every product is settled past the last."""
        until = time.monotonic() + SECONDS_LIMIT
        progress = self.progress()
        while progress["outbox"] is None or self.tally.outstanding(progress["outbox"]):
            self.tally.poll(0.1)
            progress = self.progress()
            each(progress)
            for name in ("relay", "run"):
                assert self.processes[name].poll() is None, self.log(name)
            assert time.monotonic() < until, (
                f"{progress} {self.tally.outstanding(progress['outbox'] or {})}\n{self.log('relay')}\n{self.log('run')}"
            )

    def log(self, name: str) -> str:
        return f"{name}: " + (self._folder / f"{name}.log").read_text(errors="replace")[-4_000:]

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.tally.close()
        self.broker.close()


@pytest.fixture(scope="module")
def running(stack, tmp_path_factory) -> Iterator[Mesh]:
    mesh = Mesh(stack, tmp_path_factory.mktemp("reference-mesh"))
    try:
        mesh.worker("relay")
        mesh.worker("run")
        yield mesh
    finally:
        mesh.close()


def assert_equal_to_recomputation(running: Mesh, rows: int) -> None:
    """By the topics, and by the tables of the lake, which PyIceberg and DuckDB read alone."""
    filled = subprocess.run(
        [sys.executable, "-m", "headwater", "lake", "run", "--until-end"],
        env=running.environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert filled.returncode == 0, filled.stderr
    for name, compare in verify.COMPARISONS.items():
        product = running.mesh.product(name)
        in_topic = asked_again(partial(verify.newest, running.broker, product))
        for records in (in_topic, verify.newest_of_lake(running.lake, product)):
            found, expected = compare(records, rows, SEED_DEFAULT)
            assert len(expected) > 100
            assert verify.differing(found, expected) == [], name
    assert all(count.quarantined == 0 for count in running.tally.counts.values())


@pytest.mark.slow
def test_newest_records_equal_a_plain_recomputation_of_the_flights_replayed(running):
    running.replay(ROWS)
    running.follow()
    assert_equal_to_recomputation(running, ROWS)
    corrections = {name: count.corrections for name, count in running.tally.counts.items()}
    assert corrections["flights.departures"] > 0 and corrections["airports.hourly_punctuality"] > 0


@pytest.mark.slow
def test_the_same_when_relay_and_runner_are_each_killed_twice_while_flights_are_replayed(running):
    before = sum(running.tally.counts[name].published for name in verify_sources(running))
    left = list(KILLS)
    killed = []

    def kill_when_due(progress: dict[str, object]) -> None:
        share = (int(progress["done"]) - before) / max(1, int(progress["of"]) - before)
        if left and share >= left[0][0]:
            _, name = left.pop(0)
            running.kill(name)
            running.worker(name)
            killed.append((name, progress["outbox"] is None))

    running.replay(ROWS_KILLED, RATE_KILLED)
    running.follow(kill_when_due)
    assert killed == [(name, True) for _, name in KILLS], "every kill fell while reports came in"
    assert_equal_to_recomputation(running, ROWS_KILLED)
    # Nothing lost and nothing doubled on the way in either: one record for each row of the outbox.
    rows = running.progress()["outbox"]
    assert {name: running.tally.counts[name].published for name in verify_sources(running)} == rows


def verify_sources(running: Mesh) -> list[str]:
    return [str(product.name) for product in running.mesh.in_order() if product.product.outbox]


@pytest.mark.slow
def test_a_query_as_of_any_two_moments_says_what_the_plain_history_says(stack, running):
    """The history is what `tail` prints, in another process; the reference shares nothing with the query."""

    def printed(*arguments: str) -> tuple[list[dict[str, object]], str]:
        done = stack.cli(*arguments, "--output", "json", cwd=ROOT, env={"HEADWATER_MESH": str(ROOT)})
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    name = "airports.hourly_punctuality"
    history, _ = printed("tail", name, "--key", "JFK")
    corrected = next(record for record in history if record["kind"] == "correct" and record["revision"] == 2)
    valid = str(corrected["valid_from"])
    known_at = sorted({str(record["recorded_at"]) for record in history})
    moments = [known_at[0], known_at[len(known_at) // 2], str(corrected["recorded_at"])]
    answers = []
    for recorded in moments:
        rows, said = printed("query", name, "--key", "origin=JFK", "--valid", valid, "--recorded", recorded)
        expected = fact_as_of(history, {"origin": "JFK"}, valid, recorded)
        assert rows == ([] if expected is None else [expected])
        assert "this answer is final" in said
        answers.append(rows)
    assert answers[-1] == [corrected]
    rows, said = printed("query", name, "--recorded", "2999-01-01T00:00:00Z")
    assert rows and "this answer may still change" in said
    counted = (
        f"SELECT kind, count(*) AS records FROM history('{name}') WHERE origin = 'JFK' GROUP BY kind ORDER BY kind"
    )
    rows, said = printed("query", counted)
    kinds = sorted(str(record["kind"]) for record in history)
    assert rows == [{"kind": kind, "records": kinds.count(kind)} for kind in sorted(set(kinds))]
    assert "this answer is final" in said


@pytest.mark.slow
def test_a_snapshot_and_its_tail_are_the_whole_history_of_a_product_that_lives(stack, running):
    product = running.mesh.product("airports.hourly_punctuality")
    registry = HttpRegistry(stack.registry_url)
    opened = OpenProduct(product, running.broker, registry, tick=running.mesh.file.tick)
    history = opened.history()
    assert history.settled
    moments = sorted({record["recorded_at"] for record in history.rows})
    for moment in (moments[0] - 1, moments[len(moments) // 2], None):
        snapshot, feed = opened.bootstrap(recorded=None if moment is None else Instant(moment))
        known = snapshot.settled_to if moment is None else moment
        assert in_order(snapshot.rows) == in_order(opened.as_of(recorded=Instant(known)).rows)
        with feed:
            tail = [feed.poll(5.0) for record in history.rows if record["recorded_at"] > known]
            assert feed.poll(0.5) is None
        assert in_order(tail) == in_order([record for record in history.rows if record["recorded_at"] > known])
    assert opened.history().to_arrow().num_rows == len(history.rows)


@pytest.mark.slow
def test_over_http_the_answers_are_those_of_the_command(stack, running):
    """Another process serves, another client asks: pages, SQL, and a snapshot with the feed behind it."""
    name, port = "airports.hourly_punctuality", free_base(23_090)
    base = f"http://127.0.0.1:{port}"
    server = serving(running, port)

    def ask(link: str) -> Any:
        with urllib.request.urlopen(base + link, timeout=60) as answer:
            return json.load(answer)

    def follow(link: str) -> list[Any]:
        page = ask(link)
        return page["records"] + (follow(page["next"]) if "next" in page else [])

    try:
        product = running.mesh.product(name)
        opened = OpenProduct(product, running.broker, HttpRegistry(stack.registry_url), tick=running.mesh.file.tick)
        convert, history = writer(product.output.schema), opened.history()
        moments = sorted({record["recorded_at"] for record in history.rows})
        path = f"/v1/products/{name.replace('.', '/')}"
        for moment in (moments[0], moments[len(moments) // 2], moments[-1]):
            expected = [convert(row) for row in opened.as_of(recorded=Instant(moment)).rows]
            assert in_order(follow(f"{path}/as-of?limit=500&recorded={Instant(moment).iso()}")) == in_order(expected)
        mine = [convert(row) for row in opened.history("JFK").rows]
        assert in_order(ask(f"{path}/history?key.origin=JFK&limit=100000")["records"]) == in_order(mine)
        counted = ask(f"/v1/query?{urllib.parse.urlencode({'sql': f'SELECT count(*) AS n FROM {name}'})}")
        assert counted["records"] == [{"n": len(opened.as_of().rows)}] and counted["settled"]
        half = Instant(moments[len(moments) // 2])
        snapshot = ask(f"{path}/snapshot?recorded={half.iso()}&limit=1")
        after = [convert(row) for row in history.rows if row["recorded_at"] > half]
        link, followed = snapshot["tail"].replace("limit=1&", "limit=100000&") + "&wait=20", list[Any]()
        while len(followed) < len(after):
            piece = ask(link)
            assert piece["records"], "the feed has ended before its time"
            followed, link = followed + piece["records"], piece["next"]
        assert in_order(followed) == in_order(after)
        assert ask(link.replace("wait=20", "wait=0"))["records"] == []
        server.kill()  # its index is what it was at some batch, and goes on from there
        server.wait(60)
        server = serving(running, port)
        assert in_order(ask(f"{path}/history?key.origin=JFK&limit=100000")["records"]) == in_order(mine)
        expected = [convert(row) for row in opened.as_of(recorded=half).rows]
        assert in_order(follow(f"{path}/as-of?limit=700&recorded={half.iso()}")) == in_order(expected)
    finally:
        server.terminate()
        assert server.wait(60) is not None


@pytest.mark.slow
def test_the_notebook_holds_what_it_says(running, monkeypatch, tmp_path):
    """Its cells one after the other, as a notebook program runs them; what the last line of one says can be shown."""
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    notebook = json.loads((ROOT / "docs" / "notebooks" / "as-of.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells), "outputs are of somebody's machine, and grow old"
    script = tmp_path / "as_of.py"
    script.write_text("shown = []\n" + "\n".join(showing(cell["source"]) for cell in cells))
    shown = runpy.run_path(str(script))["shown"]
    tables = [value._repr_html_() for value in shown if hasattr(value, "_repr_html_")]
    assert len(tables) == 5 and all("<td>" in table and "settled up to" in table for table in tables)
    assert any("this answer is final" in table for table in tables)


def showing(source: str) -> str:
    """A cell whose last line, where that is an expression, is kept in `shown`."""
    tree = ast.parse(source)
    if isinstance(tree.body[-1], ast.Expr):
        kept = ast.parse("shown.append(0)").body[0]
        kept.value.args = [tree.body[-1].value]
        tree.body[-1] = kept
    return ast.unparse(tree)


def serving(running: Any, port: int) -> Any:
    """A server whose index is filled."""
    running.start("serve", "-m", "headwater", "serve", "--port", str(port))
    server, until = running.processes["serve"], time.monotonic() + 60
    while not answers(f"http://127.0.0.1:{port}"):
        assert server.poll() is None and time.monotonic() < until, running.log("serve")
        time.sleep(0.2)
    return server


def answers(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/readyz", timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def in_order(records: Iterable[Any]) -> list[str]:
    return sorted(json.dumps(record, sort_keys=True) for record in records)


@pytest.mark.slow
def test_a_preview_of_everything_is_what_is_published_and_writes_nothing(stack, running):
    name = "airports.hourly_punctuality"

    def printed(*arguments: str) -> tuple[list[dict[str, object]], str]:
        done = stack.cli(*arguments, "--output", "json", cwd=ROOT, env={"HEADWATER_MESH": str(ROOT)}, timeout=120)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    def kept() -> tuple[list[str], list[int]]:
        places = [TopicPartition(f"{name}.v1{which}", 0) for which in ("", ".quarantine")]  # marks go on by themselves
        return sorted(running.broker.topics()), list(running.broker.ends(places).values())

    before = kept()
    previewed, said = printed("preview", name, "--last", "1000000", "--rows", "0")
    assert kept() == before
    published, _ = printed("tail", name)
    assert in_order(previewed) == in_order(published)
    assert "read   flights.departures" in said and "field  origin ← flights.departures.origin" in said
    some, said = printed("preview", name, "--last", "500")
    assert 0 < len(some) <= 20 and "500 records" in said

"""Jars out of a repository that misbehaves: cut short, wrong, absent, away. What is kept is what the lock says."""

from __future__ import annotations

import gc
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headwater.errors import CallerFault, Unreachable
from headwater.local.java import Jar, fetch
from headwater.local.ports import free_base

# jgo leaves its connection open where a server says no; nothing of ours does.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

CONTENT = b"a jar, whole" * 1000
JAR = Jar("org.example:thing:1.0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


class Repository:
    """A Maven repository on loopback that gives the answers it is told to, in turn; the last one over and over."""

    def __init__(self, *answers: bytes | None) -> None:
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not self.path.endswith("/org/example/thing/1.0/thing-1.0.jar"):
                    return self.send_error(404)
                answer = answers[min(outer.asked, len(answers) - 1)]
                outer.asked += 1
                if answer is None:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                return None

            def log_message(self, *words: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(autouse=True)
def _collected_here() -> Iterator[None]:
    yield
    gc.collect()  # and not in a later test, where a connection left open is a failure


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    opened: list[Repository] = []

    def start(*answers: bytes | None) -> Repository:
        opened.append(Repository(*answers))
        monkeypatch.setenv("HEADWATER_MAVEN", ",".join(repository.url for repository in opened))
        return opened[-1]

    monkeypatch.delenv("HEADWATER_OFFLINE", raising=False)
    yield start
    for repository in opened:
        repository.server.shutdown()
        repository.server.server_close()


def test_a_missing_jar_is_fetched_once_and_then_never_asked_for(serve, tmp_path: Path) -> None:
    repository = serve(CONTENT)
    assert [path.read_bytes() for path in fetch([JAR], tmp_path)] == [CONTENT]
    fetch([JAR], tmp_path)
    assert repository.asked == 1


def test_a_jar_cut_short_is_fetched_again(serve, tmp_path: Path) -> None:
    serve(CONTENT[:1000], CONTENT)
    assert fetch([JAR], tmp_path)[0].read_bytes() == CONTENT


def test_a_jar_cut_short_in_the_cache_is_mended(serve, tmp_path: Path) -> None:
    serve(CONTENT)
    path = JAR.path_in(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:1000])
    assert fetch([JAR], tmp_path)[0].read_bytes() == CONTENT


def test_a_wrong_jar_is_refused_with_both_sums_and_not_kept(serve, tmp_path: Path) -> None:
    serve(b"another jar")
    with pytest.raises(CallerFault) as caught:
        fetch([JAR], tmp_path)
    assert caught.value.code == "HW-L022"
    assert JAR.sha256 in caught.value.detail
    assert hashlib.sha256(b"another jar").hexdigest() in caught.value.detail
    assert not JAR.path_in(tmp_path).exists()


def test_a_jar_that_the_first_mirror_lacks_comes_from_the_second(serve, tmp_path: Path) -> None:
    serve(None)
    serve(CONTENT)
    assert fetch([JAR], tmp_path)[0].read_bytes() == CONTENT


def test_a_mirror_that_is_away_is_one_message_with_the_setting(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADWATER_MAVEN", f"http://127.0.0.1:{free_base(22090)}")
    with pytest.raises(Unreachable) as caught:
        fetch([JAR], tmp_path)
    assert caught.value.code == "HW-L021"
    assert "org.example:thing:1.0" in caught.value.message
    assert "HEADWATER_MAVEN=" in caught.value.hint


def test_a_jar_that_nobody_has_is_one_message(serve, tmp_path: Path) -> None:
    serve(None)
    with pytest.raises(Unreachable):
        fetch([JAR], tmp_path)

"""The quick look-up of a schema's id: it says yes where the whole client does, and leaves all else to it."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from headwater.errors import Unreachable
from headwater.schemas.avro import Reference, parse
from headwater.schemas.registry import Finder, RegisteredSchema
from headwater.schemas.registry_http import HttpRegistry
from headwater.schemas.registry_lookup import QuickFinder, looked_up

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

TEXT = '{"type":"record","name":"a.R","fields":[{"name":"x","type":"long"}]}'
OUTER = '{"type":"record","name":"a.Outer","fields":[{"name":"inner","type":"a.R"}]}'


class _Never:
    def find(self, subject: str, schema: object) -> RegisteredSchema | None:
        raise AssertionError("the whole client is not needed here")


def never() -> Finder:
    return _Never()


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """The address of a server that answers everything so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_it_finds_what_the_whole_client_finds(stack: Stack) -> None:
    whole, subject = HttpRegistry(stack.registry_url), f"test.{uuid.uuid4().hex[:12]}-value"
    quick, schema = QuickFinder(stack.registry_url, lambda: whole), parse(TEXT)
    assert quick.find(subject, schema) is None
    whole.register(subject, schema)
    found = QuickFinder(stack.registry_url, never).find(subject, schema)
    assert found is not None and found == whole.find(subject, schema)
    other = parse(TEXT.replace("long", "string"))
    assert quick.find(subject, other) is None and whole.find(subject, other) is None
    whole.close()


def test_schemas_that_refer_to_others_are_found_too(stack: Stack) -> None:
    whole, subject = HttpRegistry(stack.registry_url), f"test.{uuid.uuid4().hex[:12]}-value"
    inner = parse(TEXT)
    whole.register(f"{subject}-inner", inner)
    outer = parse(OUTER, {"a.R": inner}, referenced=(Reference("a.R", f"{subject}-inner", 1),))
    whole.register(subject, outer)
    found = QuickFinder(stack.registry_url, never).find(subject, outer)
    assert found is not None and found == whole.find(subject, outer)
    whole.close()


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (404, b'{"error_code":40403}', {}),
        (500, b'{"version":1,"id":7}', {}),
        (301, b'{"version":1,"id":7}', {"Location": "http://127.0.0.1:1/"}),
        (200, b"<html>", {}),
        (200, b"[]", {}),
        (200, b'{"version":true,"id":7}', {}),
        (200, b'{"id":7}', {}),
        (200, b"\xff", {}),
    ],
)
def test_what_is_not_plainly_a_yes_is_the_whole_clients_to_judge(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    with answering(status, body, **headers) as url:
        assert looked_up(url, "a-value", {"schema": TEXT}, seconds=5.0) is None


def test_a_plain_yes_is_taken() -> None:
    with answering(200, json.dumps({"subject": "a-value", "version": 3, "id": 7, "guid": "x"}).encode()) as url:
        assert looked_up(url, "a-value", {"schema": TEXT}, seconds=5.0) == (3, 7)


def test_other_addresses_than_plain_ones_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, b'{"version":1,"id":7}') as url:
        for other in (f"{url},{url}", url.replace("//", "//user:word@"), url.replace("http", "https")):
            assert looked_up(other, "a-value", {}, seconds=5.0) is None
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        assert looked_up(url, "a-value", {}, seconds=5.0) is None


def test_a_registry_that_is_away_is_said_to_be_by_the_whole_client() -> None:
    url = "http://127.0.0.1:9"
    whole = HttpRegistry(url)
    with pytest.raises(Unreachable) as caught:
        QuickFinder(url, lambda: whole).find("a-value", parse(TEXT))
    assert caught.value.code == "HW-V004"
    whole.close()

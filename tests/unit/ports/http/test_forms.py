"""The same answer in every form, each as its own readers expect it, and none runs as a formula."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.unit.ports.http.serving import HTTP, Site
from tests.unit.ports.test_answers import PARTITIONS, World, order

from headwater.errors import CallerFault
from headwater.ports.http.forms import as_json, form_of, table_as
from headwater.testing.source_products import order_events

NOTES = ["plain", '=HYPERLINK("http://x")', "+1", "-1", "@x", 'say "a", b\nc', "é"]


@pytest.fixture
def site() -> Site:
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    for number, note in enumerate(NOTES):
        record = order({"k": "ada", "n": number, "event_id": f"e{number}", "occurred_at": 1, "recorded_at": 2 + number,
                        "kind": "assert", "revision": 1})  # fmt: skip
        world.write({**record, "note": note})
    return Site(world)


def test_every_form_has_the_same_records(site: Site) -> None:
    wanted = site.get("as-of")["records"]
    assert [row["note"] for row in wanted] == NOTES

    def body(form: str) -> bytes:
        answer = site.http.get(f"{site.base}/as-of?format={form}")
        assert answer.status_code == 200 and answer.headers["headwater-settled"] == "false"
        return bytes(answer.content)

    assert [json.loads(line) for line in body("ndjson").splitlines()] == wanted
    names = list(wanted[0])
    sheet = list(csv.DictReader(io.StringIO(body("csv").decode())))
    assert [row["note"] for row in sheet] == ["plain", '\'=HYPERLINK("http://x")', "'+1", "'-1", "'@x", NOTES[5], "é"]
    assert list(sheet[0]) == names
    arrow = pa.ipc.open_stream(body("arrow")).read_all()
    assert arrow.equals(parquet.read_table(io.BytesIO(body("parquet"))))
    assert arrow.column_names == names and arrow.column("note").to_pylist() == NOTES


@pytest.mark.parametrize(
    ("asked", "accept", "form"),
    [
        ("", "*/*", "json"),
        ("", "", "json"),
        ("", "text/*", "csv"),
        ("", "text/html, application/x-ndjson;q=0.9, */*;q=0.1", "ndjson"),
        ("", "application/json;q=0, text/csv", "csv"),
        ("arrow", "text/csv", "arrow"),
    ],
)
def test_a_client_gets_the_form_that_it_wants_most(asked: str, accept: str, form: str) -> None:
    assert form_of(asked, accept) == form


@pytest.mark.parametrize(("asked", "accept"), [("xml", ""), ("", "text/html"), ("", "text/csv;q=x"), ("", "*/*;q=0")])
def test_a_form_that_is_none_is_refused(asked: str, accept: str) -> None:
    with pytest.raises(CallerFault) as caught:
        form_of(asked, accept)
    assert caught.value.code == "HW-R033"


def test_what_is_not_finite_is_text_in_json() -> None:
    assert json.loads(as_json({"a": [float("nan"), {"b": float("-inf")}, 1.5]})) == {"a": ["nan", {"b": "-inf"}, 1.5]}


def test_an_answer_that_the_client_has_is_not_sent_again(site: Site) -> None:
    first = site.http.get(f"{site.base}/as-of")
    again = site.http.get(f"{site.base}/as-of", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"") and again.headers["etag"] == first.headers["etag"]
    other: dict[str, Any] = {"if-none-match": first.headers["etag"], "accept": "text/csv"}
    assert site.http.get(f"{site.base}/as-of", headers=other).status_code == 200


def test_a_moment_that_no_calendar_has_is_said_and_no_crash() -> None:
    table = pa.table({"day": pa.array([-2_147_483_646], pa.date32())})
    with pytest.raises(CallerFault) as refused:
        table_as("json", table, {})
    assert refused.value.code == "HW-R043"
    assert table_as("arrow", table, {})

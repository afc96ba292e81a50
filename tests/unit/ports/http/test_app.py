"""Requests of every sort, hostile ones among them: an answer, or a problem that says what is wrong; never a crash."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.unit.ports.http.serving import HTTP, Site
from tests.unit.ports.index.kept import MemoryStores
from tests.unit.ports.test_answers import FIRST, PARTITIONS, World, order

from headwater.mesh.products import ResolvedProduct
from headwater.ports.access import DenyClassified, View
from headwater.ports.http.limits import Limits
from headwater.testing.source_products import INSTANT, order_events, source_product

Record = dict[str, Any]


def event(number: int, *, key: str = "ada", recorded_at: int | None = None, **more: Any) -> Record:
    record = {"k": key, "n": number, "event_id": f"e{number}", "occurred_at": 1, "kind": "assert", "revision": 1}
    return order({**record, "recorded_at": 2 + number if recorded_at is None else recorded_at, **more})


def site(*records: Record, marked: int | None = None, **options: Any) -> Site:
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    world.write(*records, marked=marked)
    return Site(world, **options)


def test_what_is_served_is_named_and_described() -> None:
    one = site(event(1))
    (product,) = one.http.get("/v1/products").json()["products"]
    assert product["product"] == "orders.placed" and product["key"] == ["customer"]
    assert one.http.get(product["links"]["as-of"]).json()["records"][0]["number"] == 1
    assert one.http.get(one.base).json()["schema"]["name"] == "orders.placed.Record"
    described = one.http.get("/v1/openapi.json").json()
    assert described["openapi"] == "3.1.0" and f"{one.base}/as-of" in described["paths"]
    record = described["components"]["schemas"]["orders_placed"]["properties"]
    assert record["occurred_at"] == {"type": "string", "format": "date-time"} and record["number"] == {
        "type": "integer"
    }
    assert one.http.get("/healthz").json() == {"status": "ok"}


def test_an_answer_says_up_to_when_it_is_final() -> None:
    one = site(event(1), marked=500_000)
    final = one.get("as-of?recorded=1970-01-01T00:00:00.4Z")
    assert final["settled"] and final["settled_to"] == "1970-01-01T00:00:00.500000Z"
    answer = one.http.get(f"{one.base}/as-of?recorded=1970-01-01T00:00:09%2B00:00&wait=0.3")
    assert not answer.json()["settled"] and answer.headers["headwater-settled"] == "false"
    assert answer.headers["cache-control"] == "private, no-cache"
    refused = one.http.get(f"{one.base}/snapshot?recorded=1970-01-01T00:00:09Z")
    assert (refused.status_code, refused.json()["code"]) == (409, "HW-R021")


@pytest.mark.parametrize(
    ("path", "status", "code", "said"),
    [
        ("/v1/products/orders/nothing/as-of", 404, "HW-R030", ""),
        ("/v1/products/orders/placed/nothing", 404, "HW-R030", ""),
        ("/v1/products/..%2f..%2fetc/passwd/as-of", 404, "HW-R030", ""),
        ("/v1/products/orders/placed%00/as-of", 404, "HW-R030", ""),
        ("/", 404, "HW-R030", ""),
        ("{}/as-of?recordd=1970-01-01T00:00:00Z", 400, "HW-R031", "recorded?"),
        ("{}/as-of?recorded=yesterday", 400, "HW-R031", ""),
        ("{}/as-of?valid=1970-01-01T00:00:00", 400, "HW-R031", ""),
        ("{}/as-of?limit=0", 400, "HW-R031", "limit=1000"),
        ("{}/as-of?limit=1e3", 400, "HW-R031", ""),
        ("{}/as-of?limit=9999999999999999999", 400, "HW-R031", ""),
        ("{}/as-of?wait=inf", 400, "HW-R031", ""),
        ("{}/as-of?wait=nan", 400, "HW-R031", ""),
        ("{}/as-of?limit=1&limit=2", 400, "HW-R031", "say each once"),
        ("{}/as-of?key.place=x", 400, "HW-R031", "key.customer=…"),
        ("{}/as-of?valid=%ff", 400, "HW-R031", ""),
        ("{}/as-of?cursor=" + "A" * 9_000, 400, "HW-R032", ""),
        ("{}/as-of?cursor=%C3%A9", 400, "HW-R032", ""),
        ("{}/as-of?valid=" + "1" * 20_000, 400, "HW-R031", ""),
        ("{}/feed?after=nowhere", 400, "HW-R032", ""),
        ("{}/as-of?format=xml", 406, "HW-R033", ""),
        ("/v1/query", 400, "HW-R031", ""),
        ("/v1/query?sql=SELECT+1;+DROP+TABLE+x", 400, "HW-K064", ""),
        ("/v1/query?sql=SELECT+*+FROM+orders.nothing", 404, "HW-R030", ""),
        ("/v1/query?sql=SELECT+*+FROM+read_csv('/etc/passwd')", 400, "HW-K064", ""),
    ],
)
def test_a_request_that_is_wrong_is_told_what_and_how_to_mend_it(path: str, status: int, code: str, said: str) -> None:
    one = site(event(1))
    answer = one.http.get(path.format(one.base))
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["status"]) == (status, code, status), problem
    assert answer.headers["content-type"] == "application/problem+json" and problem["title"]
    assert said in problem["hint"]


def test_nothing_can_be_written_and_a_body_is_bounded() -> None:
    one = site(event(1))
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert one.http.request(method, f"{one.base}/as-of").json()["code"] == "HW-R037"
    for body in (b"[", b"[1]", b'{"sql": null}', b"{" + b'"a":{' * 50_000, b"\xff"):
        assert one.http.post("/v1/query", content=body).status_code in (400, 413)
    assert one.http.post("/v1/query", content=b"x" * 200_000).status_code == 413


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.binary(max_size=60), st.lists(st.tuples(st.text(max_size=10), st.text(max_size=10)), max_size=4), st.data())
def test_no_request_is_answered_with_a_fault(path: bytes, query: list[tuple[str, str]], data: st.DataObject) -> None:
    one = SITE
    where = data.draw(st.sampled_from(["", f"{one.base}/", f"{one.base}/as-of", f"{one.base}/feed", "/v1/query"]))
    names = st.sampled_from(["valid", "recorded", "limit", "cursor", "wait", "format", "after", "sql", "key.customer"])
    query = [(data.draw(st.just(name) | names), "0" if name == "wait" else value) for name, value in query]
    query = [(name, "0" if name == "wait" else value) for name, value in query]
    answer = one.http.get(where + quote(path, safe="/%?&=;"), params=query)
    assert answer.status_code < 500, (answer.status_code, answer.text)


SITE = site(event(1))


def test_sql_reads_what_is_served() -> None:
    one = site(event(1), event(2, key="bob"), marked=100)
    text = "SELECT customer, sum(number) AS n FROM orders.placed GROUP BY 1 ORDER BY 1"
    answer = one.http.post("/v1/query", json={"sql": text, "limit": 1})
    assert (
        answer.json()["records"] == [{"customer": "ada", "n": "1"}] or answer.json()["records"][0]["customer"] == "ada"
    )
    assert answer.json()["cut"] and answer.json()["settled"]
    lines = one.http.get("/v1/query", params={"sql": text, "format": "ndjson"}).text.splitlines()
    assert [json.loads(line)["customer"] for line in lines] == ["ada", "bob"]


@pytest.mark.parametrize("stores", [None, MemoryStores()])
def test_a_product_with_the_port_sql_alone_can_be_selected_and_has_no_path(stores: MemoryStores | None) -> None:
    world = World(order_events(partitions=PARTITIONS, ports=("topic", "sql")))
    world.write(event(1), marked=100)
    one = Site(world, stores=stores)
    while one.index is not None and one.index.step():
        pass
    answer = one.http.get("/v1/query", params={"sql": "SELECT customer FROM orders.placed"})
    assert answer.status_code == 200 and answer.json()["records"] == [{"customer": "ada"}]
    assert one.http.get(f"{one.base}/as-of").status_code == 404 and one.http.get(one.base).status_code == 404
    assert one.http.get("/v1/products").json() == {"products": []} and one.http.get("/readyz").status_code == 200


def test_one_client_cannot_take_the_server_from_others() -> None:
    one = site(event(1), limits=Limits(rate=1, burst=3))
    codes = [one.http.get("/healthz").status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    assert one.http.get("/healthz").headers["retry-after"] == "1"
    other = TestClient(one.app, client=("10.0.0.9", 5))
    assert other.get("/healthz").status_code == 200
    one.world.clock.sleep(2_000_000)
    assert one.http.get("/healthz").status_code == 200


def person(**more: object) -> ResolvedProduct:
    fields: list[dict[str, object]] = [
        {"name": "customer", "type": "string"},
        {"name": "number", "type": "long"},
        {"name": "occurred_at", "type": INSTANT},
        {"name": "note", "type": ["null", "string"], "default": None, "confluent:tags": ["PII"]},
    ]
    return source_product("orders.placed", fields, key=("customer",), ports=HTTP, partitions=PARTITIONS)


def test_fields_marked_as_personal_are_in_no_form_of_an_answer() -> None:
    world = World(person())
    world.write({**event(1), "note": "Ada Lovelace"}, marked=100)
    one = Site(world)
    paths = ["as-of", "history", "snapshot", "feed?after=start"]
    links = [
        f"{one.base}/{path}{'&' if '?' in path else '?'}format={form}" for path in paths for form in ("json", "csv")
    ]
    for link in [*links, "/v1/openapi.json", "/v1/products", one.base, "/v1/query?sql=SELECT+*+FROM+orders.placed"]:
        answer = one.http.get(link)
        assert answer.status_code == 200 and "Ada" not in answer.text and "note" not in answer.text, link
    assert one.http.get("/v1/query?sql=SELECT+note+FROM+orders.placed").json()["code"] == "HW-K065"


@pytest.mark.parametrize("classification", ["confidential", "restricted"])
def test_what_is_classified_looks_as_if_it_were_not_there(classification: str) -> None:
    product = order_events(partitions=PARTITIONS, ports=HTTP)
    output = replace(product.output.output, access={"classification": classification})
    world = World(replace(product, outputs=(replace(product.output, output=output),)))
    one = Site(world)
    hidden, absent = one.http.get(f"{one.base}/as-of"), one.http.get("/v1/products/orders/nothing/as-of")
    assert (hidden.status_code, hidden.content) == (absent.status_code, absent.content)
    assert one.http.get("/v1/products").json() == {"products": []}
    assert one.http.get("/v1/query?sql=SELECT+*+FROM+orders.placed").json()["code"] == "HW-R030"


def test_a_further_output_is_served_under_its_name() -> None:
    first = order_events(partitions=PARTITIONS)  # its contract does not serve this one
    output = replace(first.output.output, name="late", ports=HTTP)
    further = replace(first.output, output=output, topic="orders.placed.late.v1", subject="orders.placed.late.v1-value")
    product = replace(first.product, outputs=(*first.product.outputs, output))
    whole = replace(first, product=product, outputs=(first.output, further))
    world = World(whole.each[1])
    world.write(event(1), marked=100)
    one = Site(world, product=whole)
    (listed,) = one.http.get("/v1/products").json()["products"]
    assert listed["product"] == "orders.placed/late" and listed["links"]["feed"] == f"{one.base}/late/feed"
    assert one.get("late/as-of")["records"][0]["number"] == 1 and one.get("late/snapshot")["settled"]
    assert one.http.get(f"{one.base}/late").json()["key"] == ["customer"]
    assert one.http.get(f"{one.base}/as-of").json()["code"] == "HW-R030"
    assert f"{one.base}/late/as-of" in one.http.get("/v1/openapi.json").json()["paths"]


class OnlyAda(DenyClassified):
    """A rule of rows, as governance will have them."""

    def view(self, principal: str, product: ResolvedProduct) -> View | None:
        return View(keeps=lambda record: record["customer"] == "ada")


def test_a_rule_of_rows_holds_in_every_answer() -> None:
    one = site(event(1), event(2, key="bob"), marked=100, access=OnlyAda())
    for path in ("as-of", "history", "snapshot", "feed?after=start"):
        assert {row["customer"] for row in one.get(path)["records"]} == {"ada"}, path
    counted = one.http.get("/v1/query?sql=SELECT+count(*)+AS+n+FROM+orders.placed").json()["records"]
    assert counted == [{"n": 1}]


def test_an_event_stream_goes_on_where_its_client_was() -> None:
    one = site(event(1), event(2), event(3))
    records, last = read_events(one, f"{one.base}/feed?after=start", 2)
    assert [record["number"] for record in records] == [1, 2]
    more, _ = read_events(one, f"{one.base}/feed?after=start", 1, {"last-event-id": last})
    assert [record["number"] for record in more] == [3]
    refused = one.http.get(f"{one.base}/feed?after=nowhere", headers={"accept": "text/event-stream"})
    assert (refused.status_code, refused.json()["code"]) == (400, "HW-R032")


def read_events(one: Site, link: str, count: int, headers: dict[str, str] | None = None) -> tuple[list[Record], str]:
    """So many events of a stream, and the id of the last: the application is called as a server does, and then left."""
    import anyio

    found: list[Record] = []
    last = [""]
    path, _, query = link.partition("?")
    sent = [
        (name.encode(), value.encode()) for name, value in {"accept": "text/event-stream", **(headers or {})}.items()
    ]
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query.encode(),
             "headers": sent, "client": ("127.0.0.1", 1), "asgi": {"spec_version": "2.4"}}  # fmt: skip

    async def main() -> None:
        gone = anyio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if gone.is_set():
                raise OSError("the client has gone")
            for block in message.get("body", b"").decode().split("\n\n"):
                lines = dict(line.partition(": ")[::2] for line in block.splitlines() if line)
                if "data" in lines and len(found) < count:
                    found.append(json.loads(lines["data"]))
                    last[0] = lines["id"]
            if len(found) >= count:
                gone.set()
                raise OSError("the client has gone")

        with anyio.move_on_after(20):
            await one.app(scope, receive, send)

    anyio.run(main)
    assert len(found) == count
    return found, last[0]


def test_a_server_says_whether_its_index_is_filled() -> None:
    world = World(order_events(partitions=PARTITIONS, ports=HTTP))
    world.write(FIRST)
    site = Site(world, stores=MemoryStores())
    unready = site.http.get("/readyz")
    assert (unready.status_code, unready.json()) == (503, {"ready": False})
    asked = site.http.get(f"{site.base}/as-of")
    assert (asked.status_code, asked.json()["code"], asked.headers["retry-after"]) == (503, "HW-R038", "1")
    assert len(site.get("as-of")["records"]) == 1
    assert site.http.get("/readyz").status_code == 200

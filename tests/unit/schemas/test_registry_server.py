"""The REST API to the letter: paths, bodies, codes; and no request, however bad, gets anything but a 4xx."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.testclient import TestClient

from headwater.errors import Unreachable
from headwater.schemas.registry_log import MemoryLog, read_record
from headwater.schemas.registry_server import RegistryApp
from headwater.schemas.registry_service import RegistryService

TEXT = '{"type":"record","name":"a.R","fields":[{"name":"x","type":"long"}]}'
WIDER = '{"type":"record","name":"a.R","fields":[{"name":"x","type":"long"},{"name":"y","type":"string","default":""}]}'
OTHER = '{"type":"record","name":"a.R","fields":[{"name":"x","type":"string"}]}'


class Client:
    """A registry in this process, asked as over HTTP."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        self.log = log or MemoryLog()
        self.service = RegistryService(self.log)
        self.service.catch_up()
        self.http = TestClient(RegistryApp(self.service), raise_server_exceptions=False)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.http.request(method, path, json=body, **more) if body is not None else self.http.request(
            method, path, **more)  # fmt: skip
        return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json()["error_code"])

    def register(self, subject: str, text: str = TEXT, **more: Any) -> Any:
        return self.ask("POST", f"/subjects/{subject}/versions", {"schema": text, **more})


@pytest.fixture
def client() -> Client:
    return Client()


def test_a_schema_is_registered_and_found_in_every_way(client: Client) -> None:
    assert client.register("s")["id"] == 1
    assert client.ask("GET", "/subjects") == ["s"]
    assert client.ask("GET", "/subjects/s/versions") == [1]
    one = client.ask("GET", "/subjects/s/versions/latest")
    assert {key: one[key] for key in ("subject", "version", "id", "schema")} == {
        "subject": "s", "version": 1, "id": 1, "schema": TEXT}  # fmt: skip
    assert client.ask("GET", "/subjects/s/versions/1/schema") == json.loads(TEXT)
    assert client.ask("GET", "/schemas/ids/1")["schema"] == TEXT
    assert client.ask("GET", "/schemas/ids/1?fetchMaxId=true")["maxId"] == 1
    assert client.ask("GET", "/schemas/ids/1/subjects") == ["s"]
    assert client.ask("GET", "/schemas/ids/1/versions") == [{"subject": "s", "version": 1}]
    assert client.ask("GET", f"/schemas/guids/{one['guid']}")["id"] == 1
    assert client.ask("POST", "/subjects/s", {"schema": " " + TEXT})["version"] == 1
    assert client.ask("GET", "/schemas/types") == ["AVRO"]
    assert [item["id"] for item in client.ask("GET", "/schemas")] == [1]
    assert client.ask("GET", "/contexts") == ["."]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/subjects/none/versions", None, (404, 40401)),
        ("GET", "/subjects/none/versions/1", None, (404, 40401)),
        ("GET", "/subjects/s/versions/9", None, (404, 40402)),
        ("GET", "/subjects/s/versions/0", None, (422, 42202)),
        ("GET", "/subjects/s/versions/x", None, (422, 42202)),
        ("GET", "/schemas/ids/9", None, (404, 40403)),
        ("GET", "/schemas/ids/x", None, (404, 404)),
        ("GET", "/schemas/guids/x", None, (404, 40403)),
        ("POST", "/subjects/s", {"schema": OTHER}, (404, 40403)),
        ("POST", "/subjects/none", {"schema": OTHER}, (404, 40401)),
        ("POST", "/subjects/s/versions", {"schema": OTHER}, (409, 40901)),
        ("POST", "/subjects/s/versions", {"schema": "nope"}, (422, 42201)),
        ("POST", "/subjects/s/versions", {}, (422, 42201)),
        ("POST", "/subjects/s/versions", {"schema": TEXT, "schemaType": "JSON"}, (422, 42201)),
        ("POST", "/subjects/s/versions", {"schema": TEXT, "references": [{}]}, (422, 42201)),
        ("POST", "/subjects/s/versions", {"schema": TEXT, "ruleSet": 5}, (422, 42210)),
        ("POST", "/subjects/s/versions", {"schema": WIDER, "id": 77}, (422, 42205)),
        ("POST", "/subjects/%20/versions", {"schema": TEXT}, (422, 42208)),
        ("PUT", "/config", {"compatibility": "SOMEHOW"}, (422, 42203)),
        ("GET", "/config/s", None, (404, 40408)),
        ("DELETE", "/config/s", None, (404, 40408)),
        ("PUT", "/mode", {"mode": "SOMEHOW"}, (422, 42204)),
        ("PUT", "/mode", {"mode": "IMPORT"}, (422, 42205)),
        ("GET", "/mode/s", None, (404, 40409)),
        ("DELETE", "/subjects/none", None, (404, 40401)),
        ("DELETE", "/subjects/s?permanent=true", None, (404, 40405)),
        ("DELETE", "/subjects/s/versions/1?permanent=true", None, (404, 40407)),
        ("DELETE", "/subjects/s/versions/9", None, (404, 40402)),
        ("POST", "/compatibility/subjects/none/versions/latest", {"schema": TEXT}, (404, 40401)),
        ("POST", "/compatibility/subjects/s/versions/9", {"schema": TEXT}, (404, 40402)),
        ("PATCH", "/subjects", None, (405, 405)),
        ("GET", "/nowhere", None, (404, 404)),
    ],
)
def test_each_refusal_has_its_code(client: Client, method: str, path: str, body: Any, expected: Any) -> None:
    client.register("s")
    assert client.ask(method, path, body) == expected


def test_a_compatibility_answer_gives_its_reasons_when_asked(client: Client) -> None:
    client.register("s")
    path = "/compatibility/subjects/s/versions"
    assert client.ask("POST", path, {"schema": OTHER}) == {"is_compatible": False}
    answer = client.ask("POST", f"{path}/latest?verbose=true", {"schema": OTHER})
    assert not answer["is_compatible"] and ".fields[0].x.type" in answer["messages"][0]
    assert client.ask("POST", "/compatibility/subjects/none/versions", {"schema": OTHER}) == {"is_compatible": True}


def test_deletion_is_soft_then_for_good(client: Client) -> None:
    client.register("s")
    client.register("s", WIDER)
    assert client.ask("DELETE", "/subjects/s/versions/1") == 1
    assert client.ask("DELETE", "/subjects/s/versions/1") == (404, 40406)
    assert client.ask("GET", "/subjects/s/versions?deleted=true") == [1, 2]
    assert client.ask("DELETE", "/subjects/s") == [2]
    assert client.ask("DELETE", "/subjects/s") == (404, 40404)
    assert client.ask("GET", "/subjects?deletedOnly=true") == ["s"]
    assert client.ask("GET", "/schemas/ids/1")["schema"] == TEXT
    assert client.register("s")["version"] == 3
    assert client.ask("DELETE", "/subjects/s") == [3]
    assert client.ask("DELETE", "/subjects/s?permanent=true") == [1, 2, 3]
    assert client.ask("GET", "/schemas/ids/1") == (404, 40403)


def test_what_is_referred_to_cannot_be_deleted(client: Client) -> None:
    client.register("leg", '{"type":"record","name":"a.Leg","fields":[]}')
    text = '{"type":"record","name":"a.Flight","fields":[{"name":"leg","type":"a.Leg"}]}'
    references = [{"name": "a.Leg", "subject": "leg", "version": 1}]
    assert client.register("flight", text) == (422, 42201)
    assert client.register("flight", text, references=references)["id"] == 2
    assert client.ask("GET", "/subjects/leg/versions/1/referencedby") == [2]
    assert client.ask("DELETE", "/subjects/leg") == (422, 42206)
    assert client.ask("GET", "/schemas/ids/2")["references"] == references
    assert "fields" in client.ask("GET", "/schemas/ids/2?format=resolved")["schema"][20:]
    client.ask("DELETE", "/subjects/flight")
    assert client.ask("DELETE", "/subjects/leg") == [1]


def test_levels_and_modes(client: Client) -> None:
    assert client.ask("GET", "/config") == {"compatibilityLevel": "BACKWARD"}
    assert client.ask("PUT", "/config", {"compatibility": "FULL"}) == {"compatibility": "FULL"}
    assert client.ask("GET", "/config/s?defaultToGlobal=true") == {"compatibilityLevel": "FULL"}
    assert client.ask("PUT", "/config/s", {"compatibility": "none"}) == {"compatibility": "NONE"}
    assert client.ask("DELETE", "/config/s") == {"compatibilityLevel": "NONE"}
    assert client.ask("GET", "/mode") == {"mode": "READWRITE"}
    assert client.ask("PUT", "/mode/s", {"mode": "IMPORT"}) == {"mode": "IMPORT"}
    assert client.register("s") == (422, 42205)
    assert client.register("s", id=40, version=3)["id"] == 40
    assert client.register("s", WIDER, id=40) == (422, 42207)
    assert client.ask("DELETE", "/mode/s") == {"mode": "IMPORT"}
    assert client.register("s", WIDER) == {**client.register("s", WIDER), "id": 41, "version": 4}
    client.ask("PUT", "/mode", {"mode": "READONLY"})
    assert client.register("t") == (422, 42205)


def test_a_subject_may_hold_a_slash_and_a_context(client: Client) -> None:
    assert client.register("a%2Fb")["id"] == 1
    assert client.register(":.staging:s", WIDER)["id"] == 1
    assert client.ask("GET", "/subjects") == [":.staging:s", "a/b"]
    assert client.ask("GET", "/contexts") == [".", ".staging"]
    assert client.ask("GET", "/schemas/ids/1?subject=:.staging:")["schema"] == WIDER
    assert client.ask("GET", "/contexts/.staging/subjects/s/versions") == [1]


def test_rules_and_metadata_are_kept_and_returned(client: Client) -> None:
    metadata = {"properties": {"owner": "ops"}}
    rules = {"domainRules": [{"name": "r", "kind": "CONDITION", "type": "CEL", "mode": "WRITE", "expr": "true"}]}
    client.register("s", metadata=metadata, ruleSet=rules)
    found = client.ask("GET", "/subjects/s/metadata?key=owner&value=ops")
    assert (found["metadata"], found["ruleSet"]) == (metadata, rules)
    assert client.ask("GET", "/schemas/ids/1")["ruleSet"] == rules
    assert client.ask("POST", "/subjects/s", {"schema": TEXT})["id"] == 1
    assert client.register("s")["id"] == 2


def test_key_order_and_needless_objects_are_no_new_version(client: Client) -> None:
    client.register("s")
    same = '{"name":"a.R","type":"record","fields":[{"type":{"type":"long"},"name":"x"}]}'
    assert client.register("s", same)["version"] == 1


BOMBS = {
    "nested brackets": json.dumps({"schema": "[" * 50_000}),
    "nested objects": json.dumps({"schema": '{"type":' * 50_000}),
    "a nested body": "[" * 50_000,
    "ten megabytes": json.dumps({"schema": '"' + "x" * 10_000_000 + '"'}),
    "ten thousand fields": json.dumps({"schema": json.dumps({"type": "record", "name": "R", "fields": [
        {"name": f"f{i}", "type": "long"} for i in range(10_000)]})}),
    "ten thousand symbols": json.dumps({"schema": json.dumps(
        {"type": "enum", "name": "E", "symbols": [f"s{i}" for i in range(10_000)]})}),
    "a hundred references in a ring": json.dumps({"schema": TEXT, "references": [
        {"name": "a.R", "subject": "s", "version": 1}] * 101}),
    "names that refer to each other": json.dumps({"schema": TEXT.replace("long", "S")}),
    "a default without end": json.dumps({"schema": TEXT.replace('"long"', '"a.R","default":{}')}),
    "not JSON": "{",
    "not an object": "[1]",
    "nothing": "",
    "not UTF-8": b"\xff\xfe",
    "a schema that is a number": json.dumps({"schema": 5}),
    "a lone surrogate": '{"schema": "\\ud800"}',
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("path", ["/subjects/s/versions", "/subjects/s", "/compatibility/subjects/s/versions"])
def test_a_bomb_is_a_4xx_and_the_registry_stays_up(client: Client, bomb: str, path: str) -> None:
    client.register("s")
    answer = client.http.post(path, content=BOMBS[bomb])
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["message"]
    assert client.ask("GET", "/subjects") == ["s"]


def test_everything_known_comes_from_the_log_and_is_there_after_a_restart(client: Client) -> None:
    client.register("s")
    client.register("s", WIDER)
    client.ask("PUT", "/config/s", {"compatibility": "FULL"})
    client.ask("DELETE", "/subjects/s/versions/1")
    again = Client(client.log)
    assert again.ask("GET", "/subjects/s/versions?deleted=true") == [1, 2]
    assert again.ask("GET", "/subjects/s/versions") == [2]
    assert again.ask("GET", "/config/s") == {"compatibilityLevel": "FULL"}
    assert again.register("t")["id"] == 1
    entry = read_record(*client.log.records[0])
    assert entry is not None and entry.value is not None
    assert client.log.records[0][0] == b'{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}'


def test_a_log_that_others_wrote_is_read() -> None:
    log = MemoryLog()
    schema = {"subject": "s", "version": 2, "id": 7, "schema": TEXT, "deleted": False}
    other = {**schema, "subject": "p", "version": 1, "id": 8, "schemaType": "PROTOBUF", "schema": "syntax"}
    log.append(
        [
            (b'{"keytype":"NOOP","magic":0}', None),
            (b"not json", b"\xff"),
            (b'{"keytype":"CONTEXT","tenant":"default","context":".x","magic":0}', b"{}"),
            (b'{"keytype":"CONFIG","magic":0}', b'{"compatibilityLevel":"FULL"}'),
            (b'{"keytype":"SCHEMA","subject":"s","version":2,"magic":1}', json.dumps(schema).encode()),
            (b'{"keytype":"SCHEMA","subject":"p","version":1,"magic":1}', json.dumps(other).encode()),
            (b'{"keytype":"DELETE_SUBJECT","subject":"gone","magic":0}', b'{"subject":"gone","version":1}'),
            (b'{"keytype":"MODE","subject":"s","magic":0}', b'{"mode":"READONLY"}'),
        ]
    )  # fmt: skip
    client = Client(log)
    assert client.ask("GET", "/subjects") == ["p", "s"]
    assert client.ask("GET", "/subjects/s/versions") == [2]
    assert client.ask("GET", "/schemas/ids/8")["schemaType"] == "PROTOBUF"
    assert client.ask("GET", "/config") == {"compatibilityLevel": "FULL"}
    assert client.register("s", WIDER) == (422, 42205)
    assert client.register("t", WIDER)["id"] == 9


class DoubtfulLog(MemoryLog):
    """Takes a write and then says that it does not know."""

    def append(self, records: Iterable[tuple[bytes, bytes | None]]) -> int:
        super().append(records)
        raise Unreachable("the log did not answer", code="HW-V006")


def test_a_write_of_unknown_end_is_learnt_from_the_log_before_the_next() -> None:
    client = Client(DoubtfulLog())
    assert client.register("s") == (500, 50002)
    client.log.__class__ = MemoryLog
    assert client.register("s") == {**client.register("s"), "id": 1, "version": 1}
    assert len(client.log.records) == 1


def test_who_is_not_allowed_is_told_so() -> None:
    app = RegistryApp(RegistryService(MemoryLog()), allows=lambda method, path, headers: "authorization" in headers)
    http = TestClient(app)
    assert http.get("/subjects").status_code == 401
    assert http.get("/subjects", headers={"Authorization": "Basic eDp5"}).status_code == 200

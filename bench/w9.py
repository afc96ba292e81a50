"""W9: `headwater check` of a mesh with 1,000 schemas, ten released versions each, all with references.

`python -m bench.w9` writes the mesh, checks it in a process of its own (start-up included), verifies that the verdict
is right (no finding as it was released; with one version broken for a tenth of the schemas, exactly those), and prints
the seconds. Beside it stands what most CI jobs do: one call to a registry for each schema, here for a sample of them,
to our own registry on this machine, over one connection.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from bench.machine import describe, pin_self
from bench.stack import ROOT
from headwater.contracts.load import read_product
from headwater.contracts.releases import Release, Releases
from headwater.schemas.avro import Schema, parse
from headwater.schemas.registry_log import MemoryLog
from headwater.schemas.registry_server import RegistryApp
from headwater.schemas.registry_service import RegistryService
from headwater.schemas.versions import VersionsLock, standalone

VERSIONS = 10
SAMPLE = 100  # schemas that the registry is asked about: it takes all versions before, which is slow
BROKEN_EVERY = 10  # of the schemas in the second mesh
INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
KIND = {"type": "enum", "name": "headwater.Kind", "symbols": ["assert", "correct", "retract"]}
SHARED = ("shop.common.Address", "shop.common.Money", "shop.common.Person")
MESH = "name: w9\ndatabases: [operations]\nenvironments:\n  local: {stack: local}\n"
PRODUCT = """product: shop.orders_%(number)d
version: 1.%(minor)d.0
type: source-aligned
owner: {team: shop, contact: shop@example.org}
purpose: One of many products, to be checked.
outbox: {database: operations, table: public.outbox}
outputs:
  - name: events
    schema: Order
    key: [order_id]
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One check of a mesh."""

    seconds: float
    cpu_seconds: float
    exit_code: int
    errors: int


def main() -> int:
    """Exit 0 where every verdict was right."""
    parser = argparse.ArgumentParser(prog="python -m bench.w9", description=__doc__)
    parser.add_argument("--schemas", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default="", help="where to write the results")
    parser.add_argument("--no-rival", action="store_true", help="leave the registry out")
    arguments = parser.parse_args()
    out = Path(arguments.out) if arguments.out else None
    return run(arguments.schemas, arguments.rounds, out, arguments.no_rival)


def run(schemas: int, rounds: int, out: Path | None, no_rival: bool = False) -> int:
    """All of it; 0 where every verdict was right."""
    pin_self()
    with tempfile.TemporaryDirectory() as place:
        right, wrong = Path(place, "right"), Path(place, "wrong")
        _tell(f"writing {schemas} schemas with {VERSIONS} versions each, twice")
        versions = write_mesh(right, schemas=schemas, broken=False)
        write_mesh(wrong, schemas=schemas, broken=True)
        runs = [checked(right) for _ in range(rounds)]
        broken = checked(wrong)
        _tell("the same verdicts by calls to a registry")
        rival = None if no_rival else by_registry(versions)
    wanted = -(-schemas // BROKEN_EVERY)
    verified = all((run.exit_code, run.errors) == (0, 0) for run in runs)
    verified = verified and (broken.exit_code, broken.errors) == (1, wanted)
    result = {
        "workload": "W9",
        "schemas": schemas,
        "versions_each": VERSIONS,
        "seconds": round(statistics.median(run.seconds for run in runs), 3),
        "cpu_seconds": round(statistics.median(run.cpu_seconds for run in runs), 3),
        "spread_seconds": [round(min(run.seconds for run in runs), 3), round(max(run.seconds for run in runs), 3)],
        "seconds_with_broken_schemas": round(broken.seconds, 3),
        "registry_calls": 0 if rival is None else min(SAMPLE, schemas),
        "registry_seconds": None if rival is None else round(rival, 3),
        "verified": verified,
        "machine": describe(),
    }
    print(json.dumps(result, indent=2))
    if out is not None:
        out.write_text(json.dumps([result], indent=2) + "\n")
    return 0 if verified else 1


def write_mesh(folder: Path, *, schemas: int, broken: bool) -> list[list[Schema]]:
    """The mesh with its locks, and every version of every schema. Where `broken`, a tenth of the newest do not follow.

    Each schema refers to three shared ones and gets an optional field with each version.
    """
    shared = {name: parse(_shared(name)) for name in SHARED}
    _write(folder / "mesh.yaml", MESH)
    lock = VersionsLock(())
    for name, schema in shared.items():
        _write(folder / "schemas/avro/shop/common" / f"{name.rpartition('.')[2]}.avsc", schema.text)
        lock = lock.added(schema)
    _write(folder / "schemas/avro/shop/common/versions.lock", lock.render())
    return [_write_product(folder, number, shared, broken=broken) for number in range(schemas)]


def _write_product(folder: Path, number: int, shared: dict[str, Schema], *, broken: bool) -> list[Schema]:
    lock, releases, history = VersionsLock(()), Releases(()), []
    for version in range(VERSIONS):
        last = broken and version == VERSIONS - 1 and number % BROKEN_EVERY == 0
        schema = parse(_order(number, version, broken=last), shared)
        lock = lock.added(schema)
        product = PRODUCT % {"number": number, "minor": version}
        read = read_product(product.encode(), file="product.yaml", folder="").require()
        releases = releases.added(Release.of(read, schema.name, version + 1))
        history.append(schema)
    _write(folder / f"connectors/shop/orders_{number}/product.yaml", product)
    _write(folder / f"connectors/shop/orders_{number}/releases.lock", releases.render())
    place = folder / f"schemas/avro/shop/orders_{number}"
    _write(place / "Order.avsc", json.dumps(schema.json, indent=1))
    _write(place / "versions.lock", lock.render())
    return history


def checked(folder: Path) -> Run:
    """`headwater check` as a process of its own."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "check", "--output", "json"],
        env={**os.environ, "HEADWATER_MESH": str(folder)},
        capture_output=True,
        check=False,
        cwd=ROOT,
    )
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    said = json.loads(done.stdout) if done.stdout else {"findings": [{"severity": "error"}]}
    wrong = [found["file"] for found in said["findings"] if found["severity"] == "error"]
    broken = {file for file in wrong if file.endswith(".avsc")}
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    run = Run(seconds, cpu, done.returncode, len(broken))
    _tell(f"{folder.name}: {run.seconds:.2f} s, {run.cpu_seconds:.2f} CPU-s, exit {run.exit_code}, {run.errors} broken")
    return run


def by_registry(versions: list[list[Schema]], sample: int = SAMPLE) -> float:
    """Seconds for one compatibility call over HTTP for each of a sample of newest schemas, on one connection.

    The registry holds the earlier versions, is on this machine, and needs no login: the kindest case.
    """
    service = RegistryService(MemoryLog())
    service.catch_up()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(RegistryApp(service), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    chosen = versions[:: max(1, len(versions) // sample)][:sample]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        _ask(connection, "PUT", "/config", {"compatibility": "BACKWARD_TRANSITIVE"})
        for history in chosen:
            for schema in history[:-1]:
                _ask(connection, "POST", f"/subjects/{schema.name}/versions", {"schema": standalone(schema).text})
        started = time.monotonic()
        for history in chosen:
            path = f"/compatibility/subjects/{history[-1].name}/versions?verbose=true"
            answer = _ask(connection, "POST", path, {"schema": standalone(history[-1]).text})
            if not isinstance(answer, dict) or not answer["is_compatible"]:
                raise AssertionError("the registry does not find it compatible")
        return time.monotonic() - started
    finally:
        connection.close()
        server.should_exit = True
        thread.join()


def _ask(connection: http.client.HTTPConnection, method: str, path: str, body: object) -> object:
    connection.request(method, path, json.dumps(body), {"Content-Type": "application/vnd.schemaregistry.v1+json"})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    if answer.status != 200:
        raise AssertionError(f"the registry answers {answer.status}")
    return said


def _order(number: int, version: int, *, broken: bool) -> str:
    added = [{"name": f"note_{n}", "type": ["null", "string"], "default": None} for n in range(version)]
    amount = "string" if broken else "long"
    fields = [
        {"name": "event_id", "type": "string"},
        {"name": "order_id", "type": "string"},
        {"name": "occurred_at", "type": INSTANT},
        {"name": "quantity", "type": amount},
        {"name": "price", "type": "shop.common.Money"},
        {"name": "buyer", "type": "shop.common.Person"},
        {"name": "shipped_to", "type": ["null", "shop.common.Address"], "default": None},
        *added,
        {"name": "recorded_at", "type": INSTANT},
        {"name": "kind", "type": KIND},
        {"name": "revision", "type": "long"},
    ]
    return json.dumps({"type": "record", "name": "Order", "namespace": f"shop.orders_{number}", "fields": fields})


def _shared(name: str) -> str:
    fields = {
        "Address": [("street", "string"), ("city", "string"), ("country", "string")],
        "Money": [("amount", DECIMAL), ("currency", "string")],
        "Person": [("name", "string"), ("email", ["null", "string"])],
    }[name.rpartition(".")[2]]
    return json.dumps({"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]})


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    raise SystemExit(main())

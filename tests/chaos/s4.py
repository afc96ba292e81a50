"""S4: names that want to be paths, by every road on which a name comes in; whoever opens a file is seen.

The roads: a product's name as it is asked for, the paths and parameters of HTTP, contracts that are imported, a mesh
whose files name others, and whose files are links, exports, and SQL. In a process of its own, all that opens, lists,
makes, moves or removes a file is told to a checker (`sys.addaudithook`). What must not happen: a file outside of the
mesh and of the folder that was named touched, a secret of it in an answer, or an error that is none of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from tests.chaos import lakes
from tests.chaos.paths import hostile_names
from tests.unit.ports.http.serving import HTTP, Site
from tests.unit.ports.test_answers import World

from headwater.catalog.standards import odcs, odcs_import
from headwater.cli import contract as contracts
from headwater.errors import HeadwaterError, InvalidFiles
from headwater.mesh.load import load_mesh, survey
from headwater.sdk.sql_text import read_query
from headwater.testing.small_mesh import DEPARTURE_SCHEMA, DEPARTURES, FILES, HOURLY, write, write_small_mesh
from headwater.testing.source_products import order_events

SECRET = "canary-77d1e0"
SEEN = ("open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink",
        "os.truncate", "os.chmod", "shutil.copyfile", "shutil.move", "sqlite3.connect")  # fmt: skip


class Watch:
    """Who touches what. It looks only between `on` and `off`: what a trial prepares is its own."""

    def __init__(self, home: Path) -> None:
        self._home, self._mine = os.path.realpath(home), [os.path.realpath(home / name) for name in ("mesh", "out")]
        self.opened, self.escaped, self._on = 0, list[str](), False
        sys.addaudithook(self._heard)

    @contextmanager
    def on(self) -> Iterator[None]:
        """While a road is taken."""
        self._on = True
        try:
            yield
        finally:
            self._on = False

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on or event not in SEEN:
            return
        for one in arguments[:2]:
            if isinstance(one, (str, bytes, os.PathLike)):
                self._touched(event, os.fsdecode(one))

    def _touched(self, event: str, path: str) -> None:
        self.opened += 1
        if "\0" in path:
            return
        whole = os.path.realpath(path)
        if event in ("os.remove", "os.rename", "os.symlink", "os.link"):  # a link itself, and not what it leads to
            whole = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        inside = any(whole == mine or whole.startswith(f"{mine}/") for mine in self._mine)
        if (whole.startswith(self._home) and not inside) or whole in ("/etc/passwd", "/etc/hosts"):
            self.escaped.append(f"{event} {os.path.relpath(whole, self._home)}")


class Roads:
    """What a name is given to. Each takes a text, and gives what comes back as text."""

    def __init__(self, home: Path) -> None:
        self.mesh_folder, self.out = home / "mesh", home / "out"
        self.mesh = load_mesh(self.mesh_folder)
        self.site = Site(World(order_events(partitions=3, ports=HTTP)))
        product = self.mesh.product("flights.departures")
        from headwater.catalog.standards.odcs_own import edition

        self._document = odcs.document(product, self.mesh.file, edition("3.2"))

    def by_name(self, text: str) -> str:
        return str(self.mesh.product(text).name)

    def by_sql(self, text: str) -> str:
        said = text.replace("'", "''"), text.replace('"', '""')
        return str(read_query(f"""SELECT * FROM "{said[1]}" JOIN as_of('{said[0]}') USING (a)""").asked)

    def by_http(self, text: str) -> str:
        """As a path and as a parameter, as it is and encoded once more."""
        once = quote(text, safe="/%\\;:~$&+,=@!'()*", errors="replace")
        twice = quote(text, safe="", errors="replace")
        found = []
        for name in (once, twice):
            for path in (f"/v1/products/{name}/as-of", f"/v1/products/orders/{name}", f"/{name}", f"/v1/{name}"):
                found.append(self._asked(path, b""))
            for query in (f"after={twice}", f"cursor={twice}", f"format={twice}", f"key.customer={twice}"):
                found.append(self._asked("/v1/products/orders/placed/feed", query.encode()))
        return "\n".join(found)

    def by_import(self, text: str) -> str:
        """A contract in which every name is the text."""
        document = {**self._document, "id": text, "name": text, "domain": text, "dataProduct": text}
        document["schema"] = [{**one, "name": text, "physicalName": text} for one in self._document["schema"]]
        document["customProperties"] = [
            {**one, "value": text} for one in document.get("customProperties", []) if isinstance(one.get("value"), str)
        ]
        file = self.mesh_folder / "theirs.odcs.yaml"
        file.write_text(json.dumps(document))
        target = self.out / "imported"
        shutil.rmtree(target, ignore_errors=True)
        write(target, "mesh.yaml", FILES["mesh.yaml"])
        try:
            return _printed(lambda: contracts.import_contracts([file], folder=target, force=True, output="json"))
        finally:
            file.unlink()

    def by_contract(self, text: str) -> str:
        """A mesh in which one value after the other is the text."""
        said, found = json.dumps(text), []
        for file, before, after in (
            (DEPARTURES, "schema: Departure", f"schema: {said}"),
            (DEPARTURES, "product: flights.departures", f"product: {said}"),
            (DEPARTURES, "table: public.outbox", f"table: {said}"),
            (HOURLY, "product: flights.departures", f"product: {said}"),
            (DEPARTURE_SCHEMA, '"name": "Departure"', f'"name": {said}'),
        ):
            original = (self.mesh_folder / file).read_text()
            assert before in original, (file, before)
            (self.mesh_folder / file).write_text(original.replace(before, after, 1))
            try:
                found.append(" ".join(finding.render() for finding in survey(self.mesh_folder).findings))
            finally:
                (self.mesh_folder / file).write_text(original)
        return "\n".join(found)

    def _asked(self, path: str, query: bytes) -> str:
        """One request, as a server hands it over: its path decoded, and as it came."""
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(dict(message))

        scope = {
            "type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode("ascii", "replace"),
            "query_string": query, "headers": [], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            "scheme": "http", "http_version": "1.1", "root_path": "",
        }  # fmt: skip
        asyncio.run(self.site.app(scope, receive, send))
        assert sent[0]["status"] < 500, f"HTTP {sent[0]['status']}"
        return b"".join(message.get("body", b"") for message in sent).decode(errors="replace")


@dataclass(frozen=True)
class Life:
    """All texts by all roads, in a process of its own, since a hook can never be taken away."""

    home: Path
    seed: int
    count: int
    saboteur: str = ""

    def live(self) -> None:
        watch, roads = Watch(self.home), Roads(self.home)
        if self.saboteur:
            SABOTEURS[self.saboteur](roads)
        judged = _Judged(watch)
        ways = {name: getattr(roads, name) for name in vars(Roads) if name.startswith("by_")}
        outside = self.home / "outside"
        seldom = {"by_name": 1, "by_sql": 1, "by_http": 1 if self.count > 100 else 3, "by_contract": 9, "by_import": 9}
        for number, text in enumerate(hostile_names(outside, self.seed, self.count)):
            for name, way in ways.items():
                if number % seldom[name] == self.seed % seldom[name]:
                    judged.taken(name, text, way)
        _links(self.home, judged)
        (self.home / "result.json").write_text(json.dumps(judged.result()))


class _Judged:
    def __init__(self, watch: Watch) -> None:
        self._watch, self.escapes, self.outcomes = watch, list[str](), Counter[str]()

    def taken(self, name: str, text: str, way: Callable[[str], str]) -> None:
        """One text by one road."""
        before, said = len(self._watch.escaped), ""
        try:
            with self._watch.on():
                said = way(text)
            self.outcomes["answered"] += 1
        except InvalidFiles as error:
            said = " ".join(finding.render() for finding in error.findings)
            self.outcomes["findings"] += 1
        except HeadwaterError as error:
            said = f"{error.message} {error.detail} {error.hint}"
            self.outcomes[error.code] += 1
        except Exception as error:
            self.escapes.append(f"{name}: {text[:120]!r}: fell: {type(error).__name__}: {str(error)[:200]}")
        new = self._watch.escaped[before:]
        self.escapes += [f"{name}: {text[:120]!r}: {one}" for one in new]
        if SECRET in said:
            self.escapes.append(f"{name}: {text[:120]!r}: told a secret")

    def result(self) -> dict[str, Any]:
        return {"escapes": self.escapes, "outcomes": dict(self.outcomes), "opened": self._watch.opened}


def _links(home: Path, judged: _Judged) -> None:
    """Files of a mesh, and of a folder that is written to, that are links to outside."""
    outside, mesh = home / "outside", home / "mesh"
    for name, target in ((DEPARTURES, "product.yaml"), (DEPARTURE_SCHEMA, "Secret.avsc"), ("mesh.yaml", "secret.txt")):
        kept = (mesh / name).read_text()
        (mesh / name).unlink()
        (mesh / name).symlink_to(outside / target)
        judged.taken("link", name, lambda _: " ".join(one.render() for one in survey(mesh).findings))
        (mesh / name).unlink()
        (mesh / name).write_text(kept)
    (mesh / "connectors" / "evil").symlink_to(outside)
    judged.taken("link", "connectors/evil", lambda _: " ".join(one.render() for one in survey(mesh).findings))
    (mesh / "connectors" / "evil").unlink()
    (home / "out" / "flights.departures.odcs.yaml").symlink_to(outside / "secret.txt")
    os.environ["HEADWATER_MESH"] = str(mesh)
    judged.taken("link", "export", lambda _: _printed(lambda: contracts.export_products(folder=home / "out")))


def run(*, trials: int = 5, seed: int = 1, saboteur: str = "") -> dict[str, Any]:
    """All listed texts, by slow roads a share of them, and `trials` times ten drawn ones.

    The saboteurs `files` and `names` let one road through.
    """
    with _home() as home:
        ended = lakes.end(lakes.start(Life(home, seed, trials * 10, saboteur)), 1_800.0)  # type: ignore[arg-type]
        file = home / "result.json"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"escapes": [f"ended with {ended}"]}
        escapes = list(found["escapes"])
        escapes += [
            f"outside: {name} is new"
            for name in sorted({*os.listdir(home)} - {"mesh", "out", "outside", "result.json"})
        ]
        if _contents(home / "outside") != _outside():
            escapes.append("outside: its files were changed")
    return {
        "id": "S4", "trials": trials, "seed": seed, "escapes": len(escapes), "escaped": escapes[:12],
        "outcomes": found.get("outcomes"), "opened": found.get("opened"),
        "lost": 0, "duplicates": 0, "phantom": 0, "order_breaks": 0,
        "passed": not escapes and bool(found.get("opened")),
    }  # fmt: skip


def _outside() -> Mapping[str, str]:
    avro = FILES[DEPARTURE_SCHEMA].replace('"Departure"', '"Secret"', 1)
    return {
        "secret.txt": f"{SECRET}: {SECRET}\n",
        "Secret.avsc": avro.replace('"type": "record"', f'"doc": "{SECRET}", "type": "record"', 1),
        "product.yaml": FILES[DEPARTURES].replace("Each departure, as it happened.", SECRET) + f"{SECRET}: 1\n",
    }


def _contents(folder: Path) -> Mapping[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@contextmanager
def _home() -> Iterator[Path]:
    """A mesh, a folder to write to, and files beside them that are nobody's business."""
    home = Path(tempfile.mkdtemp(prefix="paths", dir="/var/tmp"))
    try:
        write_small_mesh(home / "mesh")
        (home / "out").mkdir()
        for name, text in _outside().items():
            write(home / "outside", name, text)
        yield home
    finally:
        shutil.rmtree(home)


def _printed(road: Callable[[], object]) -> str:
    """What a command prints; that it ends with an exit code is its own business."""
    import typer

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(typer.Exit):
        road()
    return said.getvalue()


def _files(roads: Roads) -> None:
    """A saboteur: a server that hands out files of the mesh by the paths that are asked for."""
    asked = roads._asked

    def loose(path: str, query: bytes) -> str:
        file = f"{roads.mesh_folder}/connectors/{unquote(path).removeprefix('/v1/products/').removesuffix('/as-of')}"
        with contextlib.suppress(OSError, ValueError), open(file, errors="replace") as opened:
            return opened.read()
        return asked(path, query)

    roads._asked = loose  # type: ignore[method-assign]


def _names(roads: Roads) -> None:
    """A saboteur: an import that takes names as they come."""

    class Raw(odcs_import._Making):  # type: ignore[misc]
        def finish(self, text: str, avro: str, *, aligned: bool) -> None:
            super().finish(text, avro, aligned=aligned)
            said = str(self.contract.value["id"]).replace("\0", "")[:200]
            self.files = {f"connectors/a/b/{said}/product.yaml": text}

    odcs_import._Making = Raw  # type: ignore[misc]


SABOTEURS: dict[str, Callable[[Roads], None]] = {"files": _files, "names": _names}

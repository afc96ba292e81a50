"""Kafka Connect over its REST interface: put a connector, ask how it does; the one door to it.

Answers of a worker that is still choosing its leader, or has just been told of a connector, are tried again for a
while. What a task says of its failure is cut to its first line: further down stand rows.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import CallerFault, Unreachable
from headwater.outbox.debezium import VERSION_LEAST
from headwater.timeline.clock import Clock

CLASS = "io.debezium.connector.postgresql.PostgresConnector"
PATIENCE = 20_000_000
_AGAIN = 200_000
_SECONDS = 15
_PASSING = (404, 409, 500, 503)
_SECRET = re.compile(r"password|secret|token|credential|\.jaas\.", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\{.*\}")


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """How a connector does. `tasks` are state and reason of each; a reason holds no values."""

    name: str
    state: str
    version: str = ""
    tasks: tuple[tuple[str, str], ...] = ()
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether it and all of its tasks run."""
        return self.state == "RUNNING" and bool(self.tasks) and all(state == "RUNNING" for state, _ in self.tasks)

    def as_json(self) -> dict[str, object]:
        """The published JSON form, without the configuration."""
        tasks = [{"state": state, "reason": reason} for state, reason in self.tasks]
        return {"name": self.name, "state": self.state, "version": self.version, "tasks": tasks}


class Connect:
    """A Connect cluster, by the address of one of its workers."""

    def __init__(self, url: str, *, clock: Clock) -> None:
        self._url = url.rstrip("/")
        self._clock = clock

    def version(self) -> str:
        """Of Debezium's PostgreSQL connector; raises `CallerFault` HW-O131 where it is missing or too old."""
        plugins = self._ask("GET", "/connector-plugins")
        version = next((str(one.get("version", "")) for one in plugins if one["class"] == CLASS), "")
        if not new_enough(version):
            least = ".".join(map(str, VERSION_LEAST))
            raise CallerFault(
                f"Connect has {'Debezium ' + version if version else 'no Debezium connector for PostgreSQL'}",
                code="HW-O131",
                detail="before 3.7.0.Final a restart could lose rows silently",
                hint=f"install debezium-connector-postgres {least}.Final or newer; on one machine: up --connect",
            )
        return version

    def config(self, name: str) -> dict[str, str] | None:
        """A connector's configuration; None where there is no such connector."""
        found = self._ask("GET", f"/connectors/{_quoted(name)}/config", absent=True)
        return None if found is None else {key: str(value) for key, value in found.items() if key != "name"}

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Create a connector or give it this configuration."""
        self._ask("PUT", f"/connectors/{_quoted(name)}/config", dict(config))

    def status(self, name: str) -> ConnectorState | None:
        """How it does; None where there is no such connector."""
        found = self._ask("GET", f"/connectors/{_quoted(name)}/status", absent=True)
        if found is None:
            return None
        tasks = tuple((str(task["state"]), _reason(task.get("trace", ""))) for task in found["tasks"])
        connector = found["connector"]
        return ConnectorState(name, str(connector["state"]), str(connector.get("version", "")), tasks)

    def act(self, name: str, action: str) -> None:
        """`pause`, `resume`, `restart` or `delete` a connector."""
        place = f"/connectors/{_quoted(name)}"
        if action == "delete":
            self._ask("DELETE", place)
        elif action == "restart":
            self._ask("POST", f"{place}/restart?includeTasks=true")
        else:
            self._ask("PUT", f"{place}/{action}")

    def _ask(self, method: str, path: str, body: object = None, *, absent: bool = False) -> Any:
        deadline = self._clock.monotonic() + PATIENCE
        data = None if body is None else json.dumps(body).encode()
        while True:
            request = urllib.request.Request(
                self._url + path,
                data,
                {"Content-Type": "application/json", "Accept": "application/json"},
                method=method,
            )
            try:
                with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                said = error.read().decode(errors="replace")
                if error.code == 404 and absent:
                    return None
                if error.code not in _PASSING or self._clock.monotonic() > deadline:
                    raise _refused(method, path, error.code, said) from None
            except OSError as error:
                raise Unreachable(
                    f"Kafka Connect does not answer at {self._url}",
                    code="HW-O132",
                    detail=str(error),
                    hint="start it (on one machine: headwater up --connect), or mend connect in mesh.yaml",
                ) from None
            self._clock.sleep(_AGAIN)


def new_enough(version: str) -> bool:
    """Whether a version of Debezium is one that loses nothing; a candidate of the first such is not.

    >>> [new_enough(text) for text in ("3.7.0.Final", "3.8.1.Final", "3.7.0.CR1", "3.6.9.Final", "")]
    [True, True, False, False, False]
    """
    found = re.match(r"(\d+)\.(\d+)\.(\d+)\.(\w+)", version)
    if found is None:
        return False
    number = tuple(int(part) for part in found.groups()[:3])
    return number > VERSION_LEAST or (number == VERSION_LEAST and found[4] == "Final")


def differences(there: Mapping[str, str] | None, wanted: Mapping[str, str]) -> list[str]:
    """What `put` would change, a line each; secrets are not shown.

    >>> differences({"a": "1", "b": "2"}, {"a": "1", "b": "3"})
    ['~ b: 2 -> 3']
    """
    there = there or {}
    lines = []
    for name in sorted({*there, *wanted}):
        before, after = there.get(name), wanted.get(name)
        if before == after:
            continue
        shown = [value if value is None or not _SECRET.search(name) else "***" for value in (before, after)]
        if before is None:
            lines.append(f"+ {name}: {shown[1]}")
        elif after is None:
            lines.append(f"- {name}: {shown[0]}")
        else:
            lines.append(f"~ {name}: {shown[0]} -> {shown[1]}")
    return lines


def _refused(method: str, path: str, code: int, said: str) -> CallerFault:
    try:
        said = str(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError):
        said = "it gives no reason"
    return CallerFault(
        f"Kafka Connect refuses {method} {path.partition('?')[0]} ({code})",
        code="HW-O133",
        detail=_reason(said, lines=3),
        hint="compare with headwater connector generate; the worker's log says more",
    )


def _reason(trace: str, *, lines: int = 1) -> str:
    """The head of a trace, without what it quotes."""
    causes = [line for line in trace.splitlines() if line.startswith("Caused by:")]
    head = trace.strip().splitlines()[:lines] + causes[-1:]
    return _QUOTED.sub("…", " ".join(line.strip() for line in head))[:400]


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")

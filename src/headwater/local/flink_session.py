"""A session of a Flink SQL gateway, anybody's: statements go in over HTTP, one by one; the last one is the job.

What it says of a statement that fails may hold values of records: it goes no further than to whoever looks in it for
what is known to hold none.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from headwater.errors import Unreachable
from headwater.timeline.clock import Clock

_ASK_SECONDS = 60
_POLL_MICROSECONDS = 200_000
_KINDS_LIMIT = 6
_MISSING = (
    re.compile(r"Could not find any factory for identifier '(kafka|avro-confluent|raw)'"),
    re.compile(
        r"(?:ClassNotFoundException|NoClassDefFoundError|[Cc]annot load user class|not load class)[: '\"]*"
        r"(org[./](?:headwater|apache[./]flink)[\w./$]*)"
    ),
)


class Refused(Exception):
    """What a gateway said of a statement that it did not take. It may hold values: it is never shown as it is."""

    def __init__(self, said: str) -> None:
        super().__init__("a statement was not taken")
        self.said = said


class GatewaySession:
    """A session: its tables and functions are nobody else's, and end with it.

    Each call raises `Unreachable` HW-P250 where the gateway does not answer, `Refused` where it does not do it.
    """

    def __init__(self, url: str) -> None:
        self.url = f"{url.rstrip('/')}/v3/sessions"

    def open(self, settings: Mapping[str, object]) -> None:
        """Begin it, with settings that win over those of the gateway; `url` is its own from then on."""
        made = self._ask("POST", "", {"properties": {key: str(value) for key, value in settings.items()}})
        self.url += f"/{made['sessionHandle']}"

    def settings(self) -> dict[str, str]:
        """What holds in it: its own settings, and those of its gateway."""
        return {str(key): str(value) for key, value in self._ask("GET", "")["properties"].items()}

    def execute(self, statement: str, clock: Clock, *, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Run a statement to its end; False where it was told to stop before."""
        return self._done(statement, clock, stopped) != ""

    def submit(self, statement: str, clock: Clock) -> str:
        """Run an INSERT that is not waited for; the id of its job."""
        return str(self._ask("GET", f"{self._done(statement, clock, lambda: False)}/result/0?rowFormat=JSON")["jobID"])

    def close(self) -> None:
        """End it."""
        self._ask("DELETE", "")

    def _done(self, statement: str, clock: Clock, stopped: Callable[[], bool]) -> str:
        operation = self._ask("POST", "/statements", {"statement": statement})["operationHandle"]
        place = f"/operations/{operation}"
        while True:
            status = self._ask("GET", f"{place}/status")["status"]
            if status == "FINISHED":
                return place
            if status not in ("INITIALIZED", "PENDING", "RUNNING"):
                self._ask("GET", f"{place}/result/0?rowFormat=JSON")  # says why, as an error
                raise Refused("")
            if stopped():
                self._ask("POST", f"{place}/cancel", {})
                return ""
            clock.sleep(_POLL_MICROSECONDS)

    def _ask(self, method: str, place: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            return dict(answered(method, self.url + place, body, seconds=_ASK_SECONDS))
        except urllib.error.HTTPError as error:
            raise Refused(error.read().decode(errors="replace")) from None
        except (urllib.error.URLError, OSError) as error:
            raise Unreachable(
                f"Flink's SQL gateway at {self.url.partition('/v3')[0]} does not answer",
                code="HW-P250",
                detail=str(error),
                hint="headwater up --flink starts one on this machine",
            ) from None


def end_session(url: str) -> None:
    """End a session; a bounded job of it ends with it, one that was only submitted goes on."""
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=_ASK_SECONDS).close()


def answered(method: str, url: str, body: Mapping[str, Any] | None, *, seconds: float) -> Any:
    """What a part of Flink answers over HTTP, JSON to JSON. Raises as `urllib.request.urlopen` does."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(asked, timeout=seconds) as answer:
        return json.loads(answer.read() or b"{}")


def causes(said: str) -> str:
    """The kinds of the errors that led to this, without their messages: those may hold values of records."""
    kinds = [
        line.partition(":")[2].strip().partition(":")[0]
        for line in said.replace("\\n", "\n").splitlines()
        if line.startswith("Caused by:")
    ]
    return " < ".join(kinds[-_KINDS_LIMIT:])  # the innermost ones tell most


def missing_in(said: str) -> list[str]:
    """What of Flink's and of ours a cluster does not have, by what it says: names of classes, connectors and formats.

    >>> missing_in("Caused by: java.lang.ClassNotFoundException: org.headwater.flink.Frame; of record 42")
    ['org.headwater.flink.Frame']
    """
    found = {one.replace("/", ".") for pattern in _MISSING for one in pattern.findall(said)}
    return sorted(found)

"""Why a Kafka client is not let in, and settings of the mesh that cannot be: what the client library tells only aside.

A wrong password or certificate is only a timeout to every call; the cause comes by the error callback, and where plain
text meets TLS there is a hint in the log alone. The library's objects are read by name only, as in `kafka_errors`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from headwater.errors import CallerFault, Unreachable
from headwater.ports.kafka_errors import broker_away, kafka_log

# What Headwater's promises rest on: set by its own doors, by nobody else.
RESERVED = {
    "transactional.id": "it is made of the source's or the stage's name",
    "enable.idempotence": "without it a repeated request doubles records",
    "acks": "a record that one broker alone has can be lost",
    "request.required.acks": "a record that one broker alone has can be lost",
    "partitioner": "other clients find a key's partition by murmur2",
    "transaction.timeout.ms": "it bounds how long readers stall behind a writer that is gone",
    "isolation.level": "readers see only what is committed",
    "enable.auto.commit": "offsets go into the writer's transaction",
    "enable.auto.offset.store": "offsets go into the writer's transaction",
    "auto.offset.reset": "a missing offset is an incident, neither a repeat nor a loss",
    "enable.partition.eof": "the end of a partition is told by it",
    "group.id": "it is made of the product's and the stage's name",
    "group.instance.id": "it is made of the stage's name",
    "group.protocol": "a stage hears of its partitions as the classic protocol tells them",
    "partition.assignment.strategy": "a stage's topics keep together by range: all at once, and all anew",
}
COMMON = (
    "bootstrap.servers", "client.id", "security.protocol", "sasl.mechanism", "sasl.username", "sasl.password",
    "ssl.ca.location", "ssl.ca.pem", "ssl.certificate.location", "ssl.key.location", "ssl.key.password",
    "ssl.endpoint.identification.algorithm", "sasl.oauthbearer.method", "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret", "sasl.oauthbearer.token.endpoint.url", "socket.timeout.ms", "retry.backoff.ms",
)  # fmt: skip
_ASIDE = re.compile(r"^\w+://\S+/\w+: |\s*\(after \d+ms in state \w+\)|, \d+ identical error\(s\) suppressed")
_ENDED_AT_ONCE = "in state APIVERSION_QUERY"
_ENDED_OFTEN = 4  # connections that were closed at their first request, and none that was not
_CERTIFICATE = "certificate verify failed"
_TLS_TO_PLAIN = ("connecting to a PLAINTEXT broker", "wrong version number")


class Reasons:
    """Hears what a client says aside: give `heard` as its `error_cb` and this object as its `logger`."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self.why = ""
        self._refusal = ""
        self._hint = ""
        self._ended = 0

    def heard(self, error: Any) -> None:
        """The error callback."""
        name, text = str(error.name()), _ASIDE.sub("", str(error.str()))
        if name != "_ALL_BROKERS_DOWN" or not self.why:
            self.why = text
        if name == "_AUTHENTICATION":
            self._refused(text, "look at sasl.username, sasl.password and sasl.mechanism of the environment")
        elif name == "_SSL" and _CERTIFICATE in text:
            self._refused(
                text, "ssl.ca.location of the environment must name the CA that signed the broker's certificate"
            )
        elif name == "_SSL" and any(sign in text for sign in _TLS_TO_PLAIN):
            self._refused(
                "TLS was spoken to a listener that does not speak it", "look at security.protocol and the port"
            )

    def log(self, level: int, form: str, *values: Any) -> None:
        """The logger: passed on, after a look for what is told nowhere else."""
        if values and _ENDED_AT_ONCE in str(values[-1]):
            self._ended += 1
        kafka_log().log(level, form, *values)

    def away(self) -> Unreachable:
        """The error for a broker that does not answer; a listener for TLS just closes what speaks plainly to it."""
        if self._ended < _ENDED_OFTEN:
            return broker_away(self._bootstrap, self.why)
        return Unreachable(
            f"Kafka at {self._bootstrap} closes every connection at its first request, as a listener for TLS does",
            code="HW-R001",
            detail="a broker that is just starting or stopping does it for a moment too",
            hint="look at security.protocol and the port; with SASL over TLS it is SASL_SSL",
        )

    def refusal(self) -> CallerFault | None:
        """The error to raise where the client was not let in; None where it may just be away."""
        if not self._refusal:
            return None
        return CallerFault(
            f"Kafka at {self._bootstrap} does not let this client in: {self._refusal}",
            code="HW-R013",
            detail="waiting does not mend it",
            hint=self._hint,
        )

    def _refused(self, text: str, hint: str) -> None:
        self._refusal, self._hint = " ".join(text.split())[:300], hint


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse what the mesh may not set; raises `CallerFault` HW-R015."""
    for name in settings:
        if name in RESERVED:
            raise CallerFault(
                f"the Kafka setting {name} is Headwater's own",
                code="HW-R015",
                detail=RESERVED[name],
                hint=f"remove {name} from the environment's kafka settings in mesh.yaml",
            )


def unusable_setting(error: Any, settings: Iterable[str]) -> CallerFault:
    """For what a client says at its making: a setting that it does not know, or a value that it cannot take.

    Only names are repeated: a value may be a secret.
    """
    text = str(error.str())
    named = re.search(r'property "([^"]+)"', text) or re.search(r"\b([a-z]+(?:\.[a-z]+)+) failed", text)
    name = named[1] if named else ""
    near = difflib.get_close_matches(name, COMMON, 1) if "No such" in text else []
    message = f"the Kafka client does not know the setting {name}" if "No such" in text else ""
    return CallerFault(
        message or f"the Kafka client cannot use its setting {name or '(' + ', '.join(sorted(settings)) + ')'}",
        code="HW-R014",
        detail="" if name and '"' in text else text.partition(": ")[2] or text,
        hint=f"write {near[0]}" if near else "mend it under kafka of the environment in mesh.yaml",
    )

"""The environment's Kafka settings, which are librdkafka's, as Flink's Java client names them.

A job runs on machines that do not have this one's files: certificates and keys go into its tables as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from headwater.errors import CallerFault

SECRETS = frozenset({"sasl.jaas.config", "ssl.keystore.key", "ssl.key.password"})
# Flink's Kafka connector carries the client under names of its own.
_MODULES = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"
_LOGINS = {
    "PLAIN": "plain.PlainLoginModule",
    "SCRAM-SHA-256": "scram.ScramLoginModule",
    "SCRAM-SHA-512": "scram.ScramLoginModule",
}
_ALIKE = ("client.rack", "security.protocol", "ssl.key.password")
_LOGIN = ("sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password")
_STORES = {
    "ssl.ca": ("ssl.truststore.certificates", "ssl.truststore.type"),
    "ssl.certificate": ("ssl.keystore.certificate.chain", "ssl.keystore.type"),
    "ssl.key": ("ssl.keystore.key", "ssl.keystore.type"),
}
_IDENTITY = "ssl.endpoint.identification.algorithm"
_SERVERS = "bootstrap.servers"


def java_settings(settings: Mapping[str, str], content: Callable[[str], str] = lambda path: "") -> dict[str, str]:
    """Those of the Java client, beside the servers; `content` gives what a file of certificates or a key holds.

    >>> java_settings({"bootstrap.servers": "b:9093", "security.protocol": "ssl"})
    {'security.protocol': 'SSL'}

    Raises `CallerFault` HW-P244 for a setting that has no counterpart there.
    """
    made = {key: str(settings[key]) for key in _ALIKE if key in settings}
    if "security.protocol" in made:
        made["security.protocol"] = made["security.protocol"].upper()
    known = {_SERVERS, *_ALIKE, *_LOGIN, _IDENTITY}
    for stem, (target, kind) in _STORES.items():
        for form in ("pem", "location"):
            key = f"{stem}.{form}"
            known.add(key)
            if key in settings:
                made[target] = content(settings[key]) if form == "location" else settings[key]
                made[kind] = "PEM"
    if _IDENTITY in settings:
        made[_IDENTITY] = "" if settings[_IDENTITY] == "none" else settings[_IDENTITY]
    if others := sorted(set(settings) - known):
        raise _unknown(f"the setting {others[0]}")
    return made | _login(settings)


def without_secrets(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings as they may be shown.

    >>> without_secrets({"security.protocol": "SSL", "ssl.key.password": "42"})
    {'security.protocol': 'SSL', 'ssl.key.password': '***'}
    """
    return {key: "***" if key in SECRETS else value for key, value in settings.items()}


def without_password(url: str) -> str:
    """An address as it may be shown.

    >>> without_password("https://ann:42@registry:8081")
    'https://***@registry:8081'
    """
    return re.sub(r"://[^/@]+@", "://***@", url)


def _login(settings: Mapping[str, str]) -> dict[str, str]:
    mechanism = settings.get("sasl.mechanism") or settings.get("sasl.mechanisms", "")
    if not mechanism:
        return {}
    if mechanism not in _LOGINS:
        raise _unknown(f"the mechanism {mechanism}")
    user, password = (_quoted(settings.get(f"sasl.{one}", "")) for one in ("username", "password"))
    module = f"{_MODULES}.{_LOGINS[mechanism]}"
    return {
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": f"{module} required username={user} password={password};",
    }


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unknown(what: str) -> CallerFault:
    return CallerFault(
        f"Flink's client does not know {what}",
        code="HW-P244",
        detail="the environment's settings of Kafka are librdkafka's; those of servers, logins and certificates are "
        "known to both",
        hint="print the job with headwater runner flink compile, and give its tables the Java client's settings",
    )

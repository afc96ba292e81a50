"""The environment's Kafka settings as Flink's client names them: nothing is dropped, no secret is shown."""

from __future__ import annotations

import pytest

from headwater.errors import CallerFault
from headwater.processing.runners.flink_client import SECRETS, java_settings, without_secrets

LOGIN = {"bootstrap.servers": "b:1", "security.protocol": "sasl_ssl", "sasl.mechanisms": "SCRAM-SHA-512"}


def test_a_login_becomes_one_line_of_the_client_that_flink_carries() -> None:
    made = java_settings({**LOGIN, "sasl.username": "ann", "sasl.password": 'a"b\\c'})
    assert made["security.protocol"] == "SASL_SSL"
    assert made["sasl.jaas.config"] == (
        "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="ann" password="a\\"b\\\\c";'
    )


def test_certificates_and_keys_are_carried_as_text() -> None:
    files = {"ca.pem": "CA", "mine.pem": "MINE"}
    given = {"ssl.ca.location": "ca.pem", "ssl.certificate.location": "mine.pem", "ssl.key.pem": "KEY"}
    made = java_settings({**given, "ssl.endpoint.identification.algorithm": "none"}, files.__getitem__)
    assert made == {
        "ssl.truststore.certificates": "CA",
        "ssl.truststore.type": "PEM",
        "ssl.keystore.certificate.chain": "MINE",
        "ssl.keystore.key": "KEY",
        "ssl.keystore.type": "PEM",
        "ssl.endpoint.identification.algorithm": "",
    }


def test_what_is_shown_holds_no_secret() -> None:
    given = {**LOGIN, "sasl.username": "ann", "sasl.password": "s3cret", "ssl.key.pem": "s3cret"}
    made = java_settings({**given, "ssl.key.password": "s3cret"})
    assert made.keys() >= SECRETS
    assert "s3cret" not in str(without_secrets(made))


@pytest.mark.parametrize("other", [{"queued.max.messages.kbytes": "1"}, {"sasl.mechanism": "GSSAPI"}])
def test_what_has_no_counterpart_is_refused(other: dict[str, str]) -> None:
    with pytest.raises(CallerFault) as refused:
        java_settings(other)
    assert refused.value.code == "HW-P244"

"""What the Kafka client's binding raises though it is no exception: it ends in one, and ends no thread unseen."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from headwater.hooks import Hooks
from headwater.outbox.serving import serve_all
from headwater.ports.kafka_calls import called
from headwater.stopping import Stopping


def bare() -> None:
    """Raise a `KafkaError` itself, as the binding does: no `raise` of Python's can."""
    error = KafkaError(KafkaError._FENCED)
    ctypes.pythonapi.PyErr_SetObject(ctypes.py_object(KafkaError), ctypes.py_object(error))


def test_an_error_that_is_no_exception_becomes_one() -> None:
    with pytest.raises(KafkaException) as caught:
        called(bare)
    assert caught.value.args[0].name() == "_FENCED" and caught.value.__context__ is None


def test_an_answer_and_an_exception_stay_as_they_are() -> None:
    assert called(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        called(lambda: 1 // 0)


def test_a_relay_that_it_ends_is_told_and_ends_the_process() -> None:
    class Dies:
        name = "a.public.outbox"

        def run(self, stopping: Callable[[], bool]) -> None:
            bare()

    heard: list[dict[str, object]] = []
    stopping = Stopping()
    failures = serve_all([Dies()], stopping, hooks=Hooks([lambda _, fields: heard.append(fields)]), stop_seconds=5.0)
    assert [str(failure) for failure in failures] == ["a.public.outbox: the relay ended without a word"]
    assert stopping.is_set() and [fields["others"] for fields in heard] == [0]

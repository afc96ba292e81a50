"""The local stack, as `headwater up` and `down` show it."""

from __future__ import annotations


def test_kafka_and_postgresql_answer(stack):
    assert stack.kafka
    assert "127.0.0.1" in stack.postgres_dsn(stack.fresh_database())

"""The registry in the box, on a real Kafka, through confluent-kafka's ordinary client."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.schema_registry import (
    AsyncSchemaRegistryClient,
    Schema,
    SchemaRegistryClient,
    SchemaRegistryError,
    dual_schema_id_deserializer,
    header_schema_id_serializer,
)
from confluent_kafka.schema_registry.avro import (
    AsyncAvroDeserializer,
    AsyncAvroSerializer,
    AvroDeserializer,
    AvroSerializer,
)
from confluent_kafka.serialization import MessageField, SerializationContext

from headwater.errors import Unreachable
from headwater.ports.kafka import KafkaBroker
from headwater.ports.schemas_log import SchemasLog
from headwater.schemas.avro import parse
from headwater.schemas.registry_http import HttpRegistry
from headwater.schemas.registry_service import RegistryService
from headwater.testing.conformance.registry import RegistryConformance
from headwater.timeline.clock import SystemClock

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

TEXT = '{"type":"record","name":"a.R","fields":[{"name":"x","type":"long"}]}'
WIDER = '{"type":"record","name":"a.R","fields":[{"name":"x","type":"long"},{"name":"y","type":"string","default":""}]}'
OTHER = '{"type":"record","name":"a.R","fields":[{"name":"x","type":"string"}]}'


class TestHttpRegistry(RegistryConformance):
    @pytest.fixture
    def registry(self, stack: Stack) -> Iterator[HttpRegistry]:
        registry = HttpRegistry(stack.registry_url)
        yield registry
        registry.close()


@pytest.fixture
def client(stack: Stack) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": stack.registry_url}) as client:
        yield client


@pytest.fixture
def topic() -> str:
    return f"test.{uuid.uuid4().hex[:12]}"


def test_confluents_serializer_and_deserializer_work_unchanged(client: SchemaRegistryClient, topic: str) -> None:
    context = SerializationContext(topic, MessageField.VALUE)
    body = AvroSerializer(client, TEXT)({"x": 5}, context)
    assert body is not None and body[0] == 0
    assert AvroDeserializer(client)(body, context) == {"x": 5}
    assert AvroDeserializer(client, WIDER)(body, context) == {"x": 5, "y": ""}
    with pytest.raises(SchemaRegistryError) as caught:
        AvroSerializer(client, OTHER)({"x": "5"}, context)
    assert (caught.value.http_status_code, caught.value.error_code) == (409, 40901)


def test_ids_in_headers_work_through_guids(stack: Stack, client: SchemaRegistryClient, topic: str) -> None:
    # The client refuses values of five bytes or fewer even where the id is in a header: this one is longer.
    headers: list[tuple[str, Any]] = []
    context = SerializationContext(topic, MessageField.VALUE, headers)
    serializer = AvroSerializer(client, WIDER, conf={"schema.id.serializer": header_schema_id_serializer})
    body = serializer({"x": 5, "y": "longer"}, context)
    assert [name for name, _ in headers] == ["__value_schema_id"]
    with SchemaRegistryClient({"url": stack.registry_url}) as other:
        deserializer = AvroDeserializer(other, conf={"schema.id.deserializer": dual_schema_id_deserializer})
        assert deserializer(body, context) == {"x": 5, "y": "longer"}


def test_the_asynchronous_client_works_too(stack: Stack, topic: str) -> None:
    async def both() -> Any:
        async with AsyncSchemaRegistryClient({"url": stack.registry_url}) as client:
            context = SerializationContext(topic, MessageField.VALUE)
            serializer = await AsyncAvroSerializer(client, TEXT)
            deserializer = await AsyncAvroDeserializer(client)
            return await deserializer(await serializer({"x": 7}, context), context)

    assert asyncio.run(both()) == {"x": 7}


def test_the_whole_life_of_a_subject(client: SchemaRegistryClient, topic: str) -> None:
    subject = f"{topic}-value"
    first = client.register_schema(subject, Schema(TEXT, "AVRO"))
    client.set_compatibility(subject, "FULL")
    assert client.get_compatibility(subject) == "FULL"
    second = client.register_schema(subject, Schema(WIDER, "AVRO"))
    assert second != first and client.get_versions(subject) == [1, 2]
    assert client.get_latest_version(subject).version == 2
    assert not client.test_compatibility(subject, Schema(OTHER, "AVRO"))
    assert client.test_compatibility(subject, Schema(WIDER, "AVRO"), 1)
    assert client.delete_version(subject, 1) == 1
    assert client.get_versions(subject) == [2]
    assert client.delete_subject(subject) == [2]
    assert client.delete_subject(subject, permanent=True) == [1, 2]
    assert subject not in client.get_subjects()


def test_another_registry_on_the_same_log_knows_the_same(
    stack: Stack, client: SchemaRegistryClient, topic: str
) -> None:
    schema_id = client.register_schema(f"{topic}-value", Schema(TEXT, "AVRO"))
    broker = KafkaBroker({"bootstrap.servers": stack.kafka})
    try:
        service = RegistryService(SchemasLog(broker, SystemClock()))
        assert service.catch_up() > 0
        assert service.get(f"{topic}-value", "latest").id == schema_id
        settings = broker.describe(["_schemas"])["_schemas"].settings
        assert settings["cleanup.policy"] == "compact"
    finally:
        broker.close()


def test_a_registry_that_is_away_is_said_to_be(topic: str) -> None:
    registry = HttpRegistry("http://127.0.0.1:9", {"timeout": 2.0})
    for call in (lambda: registry.versions(topic), lambda: registry.register(topic, parse(TEXT)), registry.subjects):
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9") as caught:
            call()
        assert caught.value.code == "HW-V004"
    registry.close()


def test_ids_are_asked_for_once(stack: Stack, topic: str) -> None:
    """Ids are kept: a registry that goes away after the first look-up stops nobody."""
    registry = HttpRegistry(stack.registry_url)
    schema_id = registry.register(f"{topic}-value", parse(json.dumps(json.loads(TEXT))))
    found = registry.by_id(schema_id)
    registry.close()
    assert registry.by_id(schema_id) == found
    with pytest.raises(Unreachable):
        registry.by_id(schema_id + 1_000_000)

"""What every `Registry` must do, as a class of tests: subclass it and give it the fixture `registry`.

Subjects have names of their own, so that one registry serves all tests.
"""

from __future__ import annotations

# ruff: noqa: D102  (the names of the tests say what they show)
import json
import uuid
from typing import Any

import pytest

from headwater.errors import CallerFault
from headwater.schemas.avro import Reference, Schema, parse
from headwater.schemas.registry import Registry


def record(name: str, **fields: Any) -> Schema:
    """A record with these fields; a pair is a type and a default."""
    written = [
        {"name": key, "type": value[0], "default": value[1]}
        if isinstance(value, tuple)
        else {"name": key, "type": value}
        for key, value in fields.items()
    ]
    return parse(json.dumps({"type": "record", "name": name, "fields": written}))


class RegistryConformance:
    """The suite."""

    @pytest.fixture
    def registry(self) -> Registry:
        raise NotImplementedError("give the registry under test")

    @pytest.fixture
    def subject(self) -> str:
        return f"test.{uuid.uuid4().hex[:12]}-value"

    def test_a_registered_schema_is_found_by_id_version_and_itself(self, registry: Registry, subject: str) -> None:
        schema = record("a.R", x="long")
        schema_id = registry.register(subject, schema)
        assert registry.versions(subject) == [1]
        assert subject in registry.subjects()
        found = registry.find(subject, schema)
        assert found is not None and (found.subject, found.version, found.id) == (subject, 1, schema_id)
        assert registry.by_id(schema_id).schema.canonical == schema.canonical
        latest = registry.version(subject, "latest")
        assert (latest.version, latest.id, latest.schema) == (1, schema_id, schema)
        assert registry.version(subject, 1) == latest

    def test_the_same_schema_is_registered_once_and_has_one_id_everywhere(
        self, registry: Registry, subject: str
    ) -> None:
        schema = record("a.R", x="long")
        schema_id = registry.register(subject, schema)
        assert registry.register(subject, schema) == schema_id
        assert registry.register("other." + subject, schema) == schema_id
        assert registry.versions(subject) == [1]

    def test_what_is_not_there_is_told_apart_from_a_registry_that_is_away(
        self, registry: Registry, subject: str
    ) -> None:
        assert registry.versions(subject) == []
        assert registry.find(subject, record("a.R", x="long")) is None
        with pytest.raises(CallerFault) as caught:
            registry.version(subject, "latest")
        assert caught.value.code == "HW-V003"
        with pytest.raises(CallerFault) as caught:
            registry.by_id(2**30)
        assert caught.value.code == "HW-V002"

    def test_an_incompatible_schema_is_refused_with_reasons(self, registry: Registry, subject: str) -> None:
        registry.register(subject, record("a.R", x="long"))
        changed = record("a.R", x="string")
        assert any("string cannot read long" in reason for reason in registry.incompatibilities(subject, changed))
        with pytest.raises(CallerFault, match="refuses") as caught:
            registry.register(subject, changed)
        assert "string cannot read long" in caught.value.detail
        assert registry.versions(subject) == [1]

    def test_a_compatible_schema_becomes_the_next_version(self, registry: Registry, subject: str) -> None:
        first = registry.register(subject, record("a.R", x="long"))
        wider = record("a.R", x="long", y=("string", ""))
        assert registry.incompatibilities(subject, wider) == []
        second = registry.register(subject, wider)
        assert second != first
        assert registry.versions(subject) == [1, 2]
        assert registry.version(subject, 1).id == first

    def test_a_level_of_a_subject_wins_over_that_of_all(self, registry: Registry, subject: str) -> None:
        registry.register(subject, record("a.R", x="long"))
        registry.set_level(subject, "NONE")
        assert registry.level(subject) == "NONE"
        assert registry.incompatibilities(subject, record("a.R", x="string")) == []
        registry.set_level(subject, "FULL_TRANSITIVE")
        assert registry.level(subject) == "FULL_TRANSITIVE"
        assert registry.incompatibilities(subject, record("a.R", x="string"))
        with pytest.raises(CallerFault):
            registry.set_level(subject, "SOMEHOW")

    def test_a_transitive_level_looks_at_every_version(self, registry: Registry, subject: str) -> None:
        registry.set_level(subject, "BACKWARD_TRANSITIVE")
        registry.register(subject, record("a.R", x="long", y="string"))
        registry.register(subject, record("a.R", x="long"))
        assert registry.incompatibilities(subject, record("a.R", x="long", y=("int", 1)))
        registry.set_level(subject, "BACKWARD")
        assert registry.incompatibilities(subject, record("a.R", x="long", y=("int", 1))) == []

    def test_references_are_resolved(self, registry: Registry, subject: str) -> None:
        leg = record("a.Leg", to="string")
        registry.register(subject, leg)
        text = '{"type": "record", "name": "a.Flight", "fields": [{"name": "leg", "type": "a.Leg"}]}'
        flight = parse(text, {"a.Leg": leg}, referenced=(Reference("a.Leg", subject, 1),))
        schema_id = registry.register("flight." + subject, flight)
        found = registry.by_id(schema_id).schema
        assert found.canonical == flight.canonical
        assert found.references == flight.references

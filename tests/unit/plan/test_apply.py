"""Plan and apply over the parts in memory: what is made, told, refused, and what a crash leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import CallerFault, InvalidFiles
from headwater.hooks import FailpointReached, arm
from headwater.mesh.load import load_mesh
from headwater.outbox.source import sources_of
from headwater.outbox.store_memory import MemoryOutbox
from headwater.plan.actual import Parts
from headwater.plan.apply import Pending, apply, pending
from headwater.plan.explain import as_json, explain
from headwater.plan.journal import Journal
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicDescription
from headwater.schemas.avro import parse
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.small_mesh import DEPARTURE_SCHEMA, DEPARTURES, HOURLY, edit, write_small_mesh
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

SUBJECT = "flights.departures.v1-value"


class Running:
    """A running mesh in memory, with its folder of files and its journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = write_small_mesh(folder)
        self.clock = ManualClock(Instant.parse("2026-01-05T00:00:00Z"))
        self.broker = MemoryBroker(self.clock)
        self.registry = MemoryRegistry()
        self.outbox = MemoryOutbox(self.clock)
        self.data = folder / ".headwater"

    @property
    def journal(self) -> Journal:
        return Journal(self.data, "small", "local", clock=self.clock)

    def parts(self) -> Parts:
        sources = sources_of(load_mesh(self.folder))
        return Parts(self.broker, self.registry, {source.name: self.outbox.admin() for source in sources})

    def plan(self) -> Pending:
        return pending(load_mesh(self.folder), self.parts(), self.journal.applied)

    def told(self) -> list[str]:
        return list(explain(self.plan().difference))

    def apply(self, failpoint: str = "") -> list[str]:
        done: list[str] = []
        found, journal = self.plan(), self.journal
        with journal.held():
            apply(
                found,
                self.parts(),
                journal,
                failpoint=arm(failpoint),
                announce=lambda stage: done.append(stage.id),
            )
        return done


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


def test_apply_makes_all_that_the_contracts_say_and_the_second_has_nothing_to_do(running: Running) -> None:
    assert not running.broker.topics()
    running.apply()
    topics = running.broker.describe(running.broker.topics())
    assert topics["flights.departures.v1"].partitions == 4
    assert topics["flights.departures.v1"].settings["retention.ms"] == str(30 * 86_400_000)
    assert topics["flights.departures.v1"].settings["cleanup.policy"] == "delete"
    assert topics["airports.hourly.v1"].settings["retention.ms"] == "-1"
    assert topics["airports.hourly.v1"].settings["message.timestamp.type"] == "CreateTime"
    assert topics["airports.hourly.v1.current"].settings["cleanup.policy"] == "compact"
    assert topics["airports.hourly.v1.progress"].settings["cleanup.policy"] == "compact"
    assert topics["flights.departures.v1.quarantine"].settings["retention.ms"] == str(30 * 86_400_000)
    assert "flights.departures.v1.current" not in topics, "nobody asked for that port"
    assert any(name.endswith(".changelog") for name in topics), "the stages' own topics"
    assert running.registry.subjects() == ["airports.hourly.v1-value", SUBJECT]
    assert running.registry.level(SUBJECT) == "BACKWARD_TRANSITIVE"
    assert running.outbox.admin().look().slot is not None
    assert running.apply() == []
    assert running.told() == [f"nothing to do: {len(topics) - 1 + 2 + 1} resources are as their files say"]


def test_a_plan_writes_nothing(running: Running) -> None:
    running.told()
    assert (list(running.broker.topics()), running.registry.subjects(), running.data.exists()) == ([], [], False)


def test_a_plan_says_what_it_would_do_and_why(running: Running) -> None:
    told = running.told()
    assert told[0] == "  1. Kafka: create topic flights.departures.v1 (records, 4 partitions), since it is not there"
    assert "registry: register flights.departures.Departure" in "\n".join(told)
    assert told[-1].endswith("1 to prepare; 0 unchanged")


@pytest.mark.parametrize("step", ["apply.before_deed", "apply.after_deed"])
@pytest.mark.parametrize("nth", [1, 2, 7, 9, 13])
def test_an_apply_that_was_cut_short_is_told_of_and_gone_on_with(running: Running, step: str, nth: int) -> None:
    total = len(running.plan().difference.stages)
    with pytest.raises(FailpointReached):
        running.apply(f"{step}:{nth}:raise")
    interrupted = running.journal.interrupted
    assert interrupted is not None
    assert (len(interrupted.stages), len(interrupted.done)) == (total, nth - 1)
    assert f"cut short after {nth - 1} of {total} changes" in interrupted.sentence()
    again = running.apply()
    assert again == list(interrupted.stages)[nth - (1 if step == "apply.before_deed" else 0) :]
    assert running.journal.interrupted is None
    assert running.apply() == []


def test_a_setting_changed_by_hand_is_named_as_drift_and_put_back(running: Running) -> None:
    running.apply()
    running.broker.alter_topic("flights.departures.v1", {"retention.ms": "1000"})
    assert running.told() == [
        "  1. Kafka: alter topic flights.departures.v1, since it was changed by hand",
        "       retention.ms: 1000 -> 2592000000",
        "drift    connectors/flights/departures/product.yaml topic flights.departures.v1: retention.ms was changed by "
        "hand. 1000 stands where 2592000000 was applied. fix: headwater apply puts back what the files say; else write "
        "it into the contract [HW-D002]",
        f"1 to alter; {len(running.plan().desired.resources) - 1} unchanged",
    ]
    running.apply()
    assert running.broker.describe(["flights.departures.v1"])["flights.departures.v1"].settings["retention.ms"] == (
        "2592000000"
    )
    assert running.plan().difference.empty


def test_a_changed_contract_is_not_called_drift(running: Running) -> None:
    running.apply()
    edit(running.folder, DEPARTURES, "retention: 30d", "retention: 60d")
    assert running.told()[0] == "  1. Kafka: alter topic flights.departures.v1, since its contract changed"
    assert not running.plan().difference.drift
    assert running.apply() == ["alter topic flights.departures.v1"]


def test_a_setting_that_no_contract_asks_for_is_named_and_left_alone(running: Running) -> None:
    running.apply()
    running.broker.alter_topic("flights.departures.v1", {"max.message.bytes": "9"})
    difference = running.plan().difference
    assert ([finding.code for finding in difference.drift], difference.empty) == (["HW-D003"], True)
    assert running.told()[-1].endswith("1 drifted beside it")


def test_a_topic_that_is_gone_is_named_and_made_anew(running: Running) -> None:
    running.apply()
    running.broker.delete_topic("airports.hourly.v1")
    assert [finding.code for finding in running.plan().difference.drift] == ["HW-D001"]
    assert running.apply() == ["create topic airports.hourly.v1"]


def test_a_topic_of_a_product_that_was_removed_is_named_and_kept(running: Running) -> None:
    running.apply()
    edit(running.folder, HOURLY, "ports: [topic, current]", "ports: [topic]")
    difference = running.plan().difference
    assert (difference.empty, [finding.code for finding in difference.drift]) == (True, ["HW-D014"])
    running.broker.delete_topic("airports.hourly.v1.current")
    assert not running.plan().difference.drift


@pytest.mark.parametrize(("partitions", "why"), [(2, "never takes"), (8, "would move")])
def test_another_number_of_partitions_is_refused_before_anything_is_written(
    running: Running, partitions: int, why: str
) -> None:
    running.apply()
    edit(running.folder, DEPARTURES, "retention: 30d", f"retention: 60d\n    partitions: {partitions}")
    with pytest.raises(InvalidFiles) as raised:
        running.apply()
    assert {finding.code for finding in raised.value.findings} == {"HW-D004"}
    assert why in raised.value.findings[0].why
    settings = running.broker.describe(["flights.departures.v1"])["flights.departures.v1"].settings
    assert settings["retention.ms"] == "2592000000", "the retention was changed although the whole was refused"


def test_partitions_added_by_hand_are_refused_with_what_happened(running: Running) -> None:
    running.broker.create_topic(TopicDescription("flights.departures.v1", 6, {}))
    refusal = running.plan().difference.refusals[0]
    assert refusal.message == "flights.departures.v1 has 6 partitions, and its contract says 4"
    assert refusal.fix.startswith("write partitions: 6")


def test_an_incompatible_schema_is_refused_with_the_reason_before_anything_is_written(running: Running) -> None:
    running.apply()
    edit(running.folder, DEPARTURE_SCHEMA, '["null", "int"]', '["null", "string"]')
    edit(running.folder, DEPARTURES, "retention: 30d", "retention: 60d")
    with pytest.raises(InvalidFiles) as raised:
        running.apply()
    finding = raised.value.findings[0]
    assert finding.code == "HW-D008"
    assert "delay_minutes" in finding.why
    assert "version 1" in finding.why
    assert running.registry.versions(SUBJECT) == [1]


def test_a_compatible_schema_is_registered_as_the_next_version(running: Running) -> None:
    running.apply()
    added = '{"name": "gate", "type": ["null", "string"], "default": null},\n    {"name": "origin"'
    edit(running.folder, DEPARTURE_SCHEMA, '{"name": "origin"', added)
    # The database's own check follows the schema.
    assert running.apply() == [f"register subject {SUBJECT}", "prepare outbox operations.public.outbox"]
    assert running.registry.versions(SUBJECT) == [1, 2]


def test_a_new_level_is_judged_before_the_registry_has_it(running: Running) -> None:
    running.apply()
    edit(running.folder, DEPARTURES, "retention: 30d", "compatibility: FULL_TRANSITIVE\n    retention: 30d")
    assert running.apply() == [f"level subject {SUBJECT}"]
    assert running.registry.level(SUBJECT) == "FULL_TRANSITIVE"


def test_a_level_set_by_hand_is_drift(running: Running) -> None:
    running.apply()
    running.registry.set_level(SUBJECT, "NONE")
    assert [finding.code for finding in running.plan().difference.drift] == ["HW-D005"]
    assert running.apply() == [f"level subject {SUBJECT}"]


def test_a_version_registered_by_somebody_else_is_drift(running: Running) -> None:
    running.apply()
    running.registry.set_level(SUBJECT, "NONE")
    running.registry.register(SUBJECT, parse('"string"'))
    running.registry.set_level(SUBJECT, "BACKWARD_TRANSITIVE")
    assert [finding.code for finding in running.plan().difference.drift] == ["HW-D007"]


def test_only_the_products_asked_for_are_planned(running: Running) -> None:
    mesh = load_mesh(running.folder)
    departures = mesh.product("flights.departures").name
    found = pending(mesh, running.parts(), {}, only=[departures])
    assert {stage["products"][0] for stage in as_json(found.difference, command="plan")["stages"]} == {  # type: ignore[attr-defined]
        "flights.departures"
    }
    with pytest.raises(CallerFault, match="no product"):
        pending(mesh, running.parts(), {}, only=[type(departures)("flights", "arrivals")])


def test_two_applies_do_not_run_at_once(running: Running) -> None:
    with running.journal.held(), pytest.raises(CallerFault, match="another apply"), running.journal.held():
        pass


def test_a_journal_that_is_damaged_is_told_and_never_guessed(running: Running) -> None:
    running.apply()
    running.journal.path.write_text("{")
    with pytest.raises(CallerFault, match="cannot be read"):
        _ = running.journal


def test_a_data_folder_that_cannot_be_written_stops_apply_before_its_first_deed(running: Running) -> None:
    running.data.write_text("a file stands where the folder should")
    with pytest.raises(CallerFault, match=r"cannot be (read|written)"):
        running.apply()
    assert not running.broker.topics()


def test_the_json_form_has_all_of_a_plan(running: Running) -> None:
    said = as_json(running.plan().difference, command="plan")
    assert set(said) == {"schemaVersion", "tool", "command", "summary", "stages", "runners", "refused", "drift"}
    assert said["schemaVersion"] == 1

"""A product's runner in its contract: refused where it cannot do it, moved by one word, told where it is another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from headwater.errors import CallerFault, InvalidFiles
from headwater.mesh.load import load_mesh
from headwater.outbox.source import sources_of
from headwater.outbox.store_memory import MemoryOutbox
from headwater.plan.actual import Parts
from headwater.plan.apply import Pending, apply, pending
from headwater.plan.check import check
from headwater.plan.explain import UNSETTLED, as_json, explain
from headwater.plan.journal import Journal
from headwater.ports.memory import MemoryBroker
from headwater.ports.record import TopicPartition
from headwater.processing.flow_file import load_plan
from headwater.processing.runners.chosen import choose
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.small_mesh import HOURLY, HOURLY_FLOW, edit, release, write, write_small_mesh
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

NAME = "airports.hourly"


class Idle:
    """A member that takes what it is given."""

    def gained(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        pass

    lost = revoked


class Running:
    """A running mesh in memory, whose product has a flow that Flink takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = write_small_mesh(folder)
        edit(folder, HOURLY, "    ports: [topic, current]\n", "")
        self.clock = ManualClock(Instant.parse("2026-01-05T00:00:00Z"))
        self.broker = MemoryBroker(self.clock)
        self.registry, self.outbox = MemoryRegistry(), MemoryOutbox(self.clock)
        self.kafka: dict[str, str] = {}

    def runner(self, name: str) -> None:
        """Write it into the contract, in place of the one that is there."""
        text = (self.folder / HOURLY).read_text()
        lines = [line for line in text.splitlines() if not line.startswith("runner:")]
        write(self.folder, HOURLY, "\n".join([*lines, f"runner: {name}", ""]))

    @property
    def journal(self) -> Journal:
        return Journal(self.folder / ".headwater", "small", "local", clock=self.clock)

    def parts(self) -> Parts:
        sources = sources_of(load_mesh(self.folder))
        admins = {source.name: self.outbox.admin() for source in sources}
        return Parts(self.broker, self.registry, admins, kafka=self.kafka)

    def plan(self) -> Pending:
        return pending(load_mesh(self.folder), self.parts(), self.journal.applied)

    def told(self) -> list[str]:
        return list(explain(self.plan().difference))

    def apply(self) -> None:
        journal = self.journal
        with journal.held():
            apply(self.plan(), self.parts(), journal)


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


def test_a_change_of_runner_is_a_step_that_says_how_and_apply_notes_it(running: Running) -> None:
    running.apply()
    assert not [line for line in running.told() if "runner" in line]
    running.runner("flink")
    told = running.told()
    assert told[:5] == [
        f"  1. runner: move {NAME} from kafka to flink, since its contract changed",
        "       runner: kafka -> flink",
        "       stop headwater run on kafka, where it is at work",
        "       start headwater run --runner flink",
        "       its first job computes from the first record on, and writes what the product does not hold yet",
    ]
    assert f"runner   flink: {NAME}" in told
    assert any(UNSETTLED in line for line in told)
    running.apply()
    assert running.plan().difference.empty
    running.runner("faust")
    assert any("from flink to faust" in line for line in running.told())
    assert any("its state is made anew" in line for line in running.told())
    running.apply()
    running.runner("kafka")
    assert any("offsets, state and changelog go on" in line for line in running.told())


def test_what_was_applied_before_contracts_named_runners_ran_on_kafka(running: Running) -> None:
    running.runner("flink")
    assert not any("move" in line for line in running.told()[:-1]), "a new product moves from nowhere"
    running.runner("kafka")
    running.apply()
    journal = running.journal.path
    journal.write_text(journal.read_text().replace(f'"runner {NAME}"', '"runner of.another"'))
    running.runner("flink")
    assert any(f"move {NAME} from kafka to flink" in line for line in running.told())


def test_a_product_that_another_runner_has_is_told(running: Running) -> None:
    running.runner("flink")
    running.apply()
    plan = load_plan(load_mesh(running.folder), load_mesh(running.folder).product(NAME).name)
    running.broker.group(plan.stages[0].group, [plan.stages[0].inputs[0].topic], Idle())
    (found,) = running.plan().difference.drift
    assert found.code == "HW-P283"
    assert found.message == f"{NAME} is on kafka, and its contract names flink"
    assert "stop headwater run on kafka, which has it now; start headwater run --runner flink" in found.fix
    running.runner("kafka")
    (step,) = running.plan().difference.stages
    assert step.action == "move"
    running.apply()
    assert not running.plan().difference.drift


@pytest.mark.parametrize(
    ("edits", "code", "place"),
    [
        ([(HOURLY_FLOW, 'tumbling("1h")', 'calendar("month")'), (HOURLY_FLOW, "tumbling", "calendar")], "HW-P242", 5),
        ([(HOURLY, "    key: [origin]\n", "    key: [origin]\n    ports: [topic, current]\n")], "HW-P240", 12),
    ],
)
def test_what_flink_cannot_do_is_refused_at_its_place_by_check_and_plan(
    running: Running, edits: list[tuple[str, str, str]], code: str, place: int
) -> None:
    for edited in edits:
        edit(running.folder, *edited)
    release(running.folder)
    assert check(running.folder).findings == ()
    running.runner("flink")
    (found,) = check(running.folder).findings
    file = next(name for name, _, _ in edits)
    assert (found.code, found.file, found.line, found.severity) == (code, file, place, "error")
    assert running.plan().difference.refusals == (found,)
    with pytest.raises(InvalidFiles):
        running.apply()
    assert list(running.broker.topics()) == []
    running.runner("faust")
    assert check(running.folder).findings == () and running.plan().difference.refusals == ()


@pytest.mark.parametrize(("runner", "code"), [("faust", "HW-P211"), ("flink", "HW-P244"), ("kafka", "")])
def test_a_cluster_that_a_runner_cannot_reach_is_refused_at_the_contract(
    running: Running, runner: str, code: str
) -> None:
    running.runner(runner)
    running.kafka = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}
    found = running.plan().difference.refusals
    assert [one.code for one in found] == ([code] if code else [])
    if found:
        assert f"runner: {runner}" in (running.folder / found[0].file).read_text().splitlines()[found[0].line - 1]


def test_only_three_runners_are_there_and_memory_is_none_of_them(running: Running) -> None:
    running.runner("memory")
    (found,) = [one for one in check(running.folder).findings if one.path == "runner"]
    assert "kafka, faust, flink" in f"{found.why} {found.fix}"


def test_the_json_form_names_each_runner_with_what_it_does_not_settle(running: Running) -> None:
    assert as_json(running.plan().difference, command="plan")["runners"] == [
        {"product": NAME, "runner": "kafka", "note": ""}
    ]
    running.runner("flink")
    form = as_json(running.plan().difference, command="plan")
    assert form["runners"] == [{"product": NAME, "runner": "flink", "note": UNSETTLED}]


def test_a_runner_is_no_part_of_what_is_promised(running: Running) -> None:
    release(running.folder)
    running.runner("faust")
    report = check(running.folder)
    assert report.findings == () and report.changes == ()


def _two(folder: Path, one: str, other: str) -> None:
    """The product, and beside it a second one of the same flow; each with its runner."""
    for domain in ("streams/airports", "schemas/avro/airports"):
        for file in list((folder / domain / "hourly").iterdir()):
            text = file.read_text().replace(NAME, "airports.again")
            write(folder, f"{domain}/again/{file.name}", text)
    for place, runner in (("hourly", one), ("again", other)):
        path = f"streams/airports/{place}/product.yaml"
        write(folder, path, f"{(folder / path).read_text()}runner: {runner}\n")


def test_a_command_runs_what_is_its_runners_and_tells_the_rest(running: Running) -> None:
    _two(running.folder, "kafka", "flink")
    mesh = load_mesh(running.folder)
    chosen = choose(mesh, [], None)
    assert (chosen.runner, chosen.products) == ("kafka", (NAME,))
    assert chosen.told() == ["passed over: airports.again; headwater run --runner flink runs what is flink's"]
    assert choose(mesh, [], "flink").products == ("airports.again",)
    with pytest.raises(CallerFault, match="contract names the runner faust") as refused:
        choose(mesh, [], "faust")
    assert refused.value.code == "HW-P281" and "--runner faust" in refused.value.hint


def test_a_product_that_is_named_runs_where_its_contract_says_unless_a_runner_is_named_too(running: Running) -> None:
    _two(running.folder, "faust", "flink")
    mesh = load_mesh(running.folder)
    assert choose(mesh, [NAME], None).runner == "faust"
    chosen = choose(mesh, [NAME, "airports.again"], "flink")
    assert (chosen.runner, chosen.products) == ("flink", (NAME, "airports.again"))
    assert chosen.told() == [f"{NAME}: its contract names faust; on flink now"]
    with pytest.raises(CallerFault) as refused:
        choose(mesh, [NAME, "airports.again"], None)
    assert refused.value.code == "HW-P282"
    assert refused.value.hint == f"a command for each: headwater run {NAME}; headwater run airports.again"
    with pytest.raises(CallerFault, match="no product's contract names the runner kafka"):
        choose(mesh, [], None)


def test_a_contract_without_a_runner_means_kafka(running: Running) -> None:
    assert load_mesh(running.folder).product(NAME).product.runner == "kafka"

"""A plan tells that a changed flow cannot go on with the state that is there, before a runner would."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import InvalidFiles
from headwater.mesh.load import load_mesh
from headwater.outbox.source import sources_of
from headwater.outbox.store_memory import MemoryOutbox
from headwater.plan.actual import Parts
from headwater.plan.apply import Pending, apply, pending
from headwater.plan.journal import Journal
from headwater.ports.memory import MemoryBroker
from headwater.processing.flow_file import load_plan
from headwater.processing.steps import FORM_KEY, Stage
from headwater.schemas.registry_memory import MemoryRegistry
from headwater.testing.small_mesh import HOURLY, HOURLY_FLOW, edit, write_small_mesh
from headwater.timeline.clock import ManualClock
from headwater.timeline.instant import Instant

CLOCK = ManualClock(Instant.parse("2026-01-05T00:00:00Z"))


class Running:
    """A mesh that was applied, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = write_small_mesh(folder)
        self.broker, self.registry, self.outbox = MemoryBroker(CLOCK), MemoryRegistry(), MemoryOutbox(CLOCK)
        self.journal = Journal(folder / ".headwater", "small", "local", clock=CLOCK)
        apply(self.plan(), self.parts(), self.journal)

    def parts(self) -> Parts:
        sources = sources_of(load_mesh(self.folder))
        return Parts(self.broker, self.registry, {source.name: self.outbox.admin() for source in sources})

    def plan(self) -> Pending:
        return pending(load_mesh(self.folder), self.parts(), self.journal.applied)

    def last_stage(self) -> Stage:
        mesh = load_mesh(self.folder)
        return load_plan(mesh, mesh.product("airports.hourly").name).stages[-1]

    def kept(self, stage: Stage, *, others: int = 0) -> None:
        """A stage's first commit: some entries of its state, then their form."""
        sink = self.broker.sink("worker")
        sink.open()
        sink.begin()
        for number in range(others):
            sink.send(stage.changelog, b"t%d" % number, b"v", timestamp=1, partition=1)
        sink.send(stage.changelog, FORM_KEY, stage.form.encode(), timestamp=1, partition=1)
        sink.flush()
        sink.commit()


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


def test_state_of_the_same_form_is_gone_on_with(running: Running) -> None:
    assert running.plan().difference.refusals == ()  # nothing has run yet
    running.kept(running.last_stage(), others=5)
    edit(running.folder, HOURLY_FLOW, "def flow(departures", "\n\ndef flow(departures")
    assert running.plan().difference.refusals == ()


def test_a_flow_that_keeps_something_else_is_refused_with_the_version_that_is_due(running: Running) -> None:
    running.kept(running.last_stage(), others=5)
    before = sorted(running.broker.topics())
    edit(running.folder, HOURLY_FLOW, 'tumbling("1h")', 'tumbling("2h")')
    (refusal,) = running.plan().difference.refusals
    assert (refusal.code, refusal.file) == ("HW-P153", HOURLY)
    assert "write version: 2.0.0" in refusal.fix
    with pytest.raises(InvalidFiles):
        apply(running.plan(), running.parts(), running.journal)
    assert sorted(running.broker.topics()) == before
    edit(running.folder, HOURLY, "version: 1.0.0", "version: 2.0.0")
    assert running.plan().difference.refusals == ()

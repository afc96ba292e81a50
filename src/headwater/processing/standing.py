"""How a derived product stands: who processes each of its partitions, how far, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headwater import naming
from headwater.mesh.products import ResolvedProduct
from headwater.ports.marks import newest_marks
from headwater.ports.protocol import Broker
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import Message, TopicPartition
from headwater.processing.commands import COMMAND_KEY, REPORT_KEY, Command
from headwater.processing.commands import decode as decode_command
from headwater.processing.reports import FRESH_MICROSECONDS, Report, decode
from headwater.processing.steps import Plan, Stage
from headwater.timeline.clock import Clock


@dataclass(frozen=True, slots=True)
class StandingPlace:
    """One partition of one stage.

    `state` is running, paused, restoring, failed, or unowned where no worker has said in half a minute that it has it.
    `lag` are the offsets of its inputs that are not committed, those of the open tick among them; None where no worker
    says how far it is. `settled` and `committed_at` in microseconds; None where there is none.
    """

    stage: str
    partition: int
    state: str
    percent: int
    slot: int | None
    copies: tuple[int, ...]
    lag: int | None
    settled: int | None
    committed_at: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A product: the command in force, if one was ever given; why it failed; its partitions."""

    command: Command | None
    code: str
    reason: str
    places: Sequence[StandingPlace]

    @property
    def paused(self) -> bool:
        """Whether it is told to stand still."""
        return self.command is not None and self.command.does == "pause"


def standing(product: ResolvedProduct, plan: Plan, broker: Broker, *, clock: Clock) -> Standing:
    """Read how a product stands; raises where its control topic is missing or the broker is away."""
    command, reports = _heard(broker, naming.control_topic(plan.product, plan.major))
    now = clock.now()
    fresh = [report for report in reports if now - report.at < FRESH_MICROSECONDS]
    failed = max((report for report in reports if report.code), key=lambda report: report.at, default=None)
    going = any(report.places and report.at > (failed.at if failed else 0) for report in fresh)
    code, reason = (failed.code, failed.reason) if failed is not None and not going else ("", "")
    numbers = range(plan.stages[-1].output.partitions)
    marks = newest_marks(broker, product, numbers)
    settled = {number: int(through) for number, (through, _) in marks.items()}
    places: list[StandingPlace] = []
    for stage in plan.stages:
        mine = [report for report in fresh if report.stage == stage.name]
        known = settled if stage is plan.stages[-1] else {}
        ends = _ends(stage, broker)
        places += [_place(stage, number, mine, known, ends, bool(code)) for number in range(stage.partitions)]
    return Standing(command, code, reason, places)


def _place(
    stage: Stage, number: int, reports: Sequence[Report], settled: Mapping[int, int],
    ends: Mapping[TopicPartition, int], failed: bool,
) -> StandingPlace:  # fmt: skip
    owner = max((one for one in reports if number in one.places), key=lambda one: one.at, default=None)
    copies = tuple(sorted(one.slot for one in reports if number in one.copies))
    if owner is None:
        state = "failed" if failed else "unowned"
        return StandingPlace(stage.name, number, state, 0, None, copies, None, settled.get(number), None)
    said = owner.places[number]
    lag = sum(
        max(0, ends[place] - offset)
        for place, offset in ((TopicPartition(topic, number), offset) for topic, offset in said.offsets.items())
        if place in ends
    )
    committed = said.committed_at or None
    return StandingPlace(
        stage.name, number, said.state, said.percent, owner.slot, copies, lag, settled.get(number), committed
    )


def _heard(broker: Broker, topic: str) -> tuple[Command | None, Sequence[Report]]:
    command: Command | None = None
    reports: dict[bytes, Report] = {}
    for item in read_to_end(broker, broker.starts(places_of(broker, topic))):
        if not isinstance(item, Message):
            continue
        key = item.key or b""
        if key.startswith(COMMAND_KEY):
            command = decode_command(item.value) or command
        elif key.startswith(REPORT_KEY) and (report := decode(item.value)) is not None:
            reports[key] = report
    return command, list(reports.values())


def _ends(stage: Stage, broker: Broker) -> Mapping[TopicPartition, int]:
    topics = [stage_input.topic for stage_input in stage.inputs]
    return broker.ends([TopicPartition(topic, number) for topic in topics for number in range(stage.partitions)])

"""One runner has a product at a time: who starts looks whether another one has it, and waits a little for it to go."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from headwater import naming
from headwater.errors import CallerFault
from headwater.ports.protocol import Broker
from headwater.processing.patience import patiently
from headwater.processing.steps import Plan
from headwater.timeline.clock import Clock

LOOK_MICROSECONDS = 300_000
ALONE_MICROSECONDS = 15_000_000  # members of a runner that was stopped are known until their session is over


def on_faust(broker: Broker) -> Collection[str]:
    """The topics of the products that Faust applications have now."""
    return {name for group in broker.groups() for name in naming.products_on_faust(group)}


def require_alone(plans: Sequence[Plan], broker: Broker, clock: Clock) -> None:
    """Wait until no worker of the kafka runner has a stage of these; `CallerFault` HW-P213 where one stays."""
    _wait_for({stage.group: plan for plan in plans for stage in plan.stages}, "kafka", broker, clock)


def require_none_on_faust(plans: Sequence[Plan], broker: Broker, clock: Clock) -> None:
    """Wait until no Faust application has one of these; `CallerFault` HW-P213 where one stays."""
    names = {naming.topic(plan.product, plan.major): plan for plan in plans}
    _wait_for(names, "faust", broker, clock)


def _wait_for(names: Mapping[str, Plan], runner: str, broker: Broker, clock: Clock) -> None:
    """Whoever was stopped a moment ago is a member until its session is over."""
    until = clock.monotonic() + ALONE_MICROSECONDS
    while True:
        busy = patiently(lambda: on_faust(broker) if runner == "faust" else broker.groups(), clock)
        held = [plan for name, plan in names.items() if name in busy]
        if not held:
            return
        if clock.monotonic() > until:
            raise taken(str(held[0].product), runner)
        clock.sleep(LOOK_MICROSECONDS)


def taken(product: str, runner: str) -> CallerFault:
    """Another runner has the product."""
    return CallerFault(
        f"{product}: the {runner} runner has it",
        code="HW-P213",
        detail="two runners would write the same records; a product is handed over, not shared",
        hint=f"stop headwater run --runner {runner} first; it goes on here from what was committed there",
    )

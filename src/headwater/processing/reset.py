"""Forget a product's state, so that its runner makes it anew from the inputs. What was published stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.errors import CallerFault
from headwater.ports.protocol import Broker
from headwater.ports.record import TopicPartition
from headwater.processing.alone import require_none_on_faust
from headwater.processing.steps import Plan, internal_topics
from headwater.timeline.clock import Clock

LEAVE_MICROSECONDS = 20_000_000  # a runner that was stopped keeps its place for ten seconds, for its successor
LOOK_MICROSECONDS = 500_000


def reset(plan: Plan, broker: Broker, *, clock: Clock) -> Sequence[str]:
    """Delete the offsets of its stages' groups, and make its changelogs and rekey topics anew; the topics' names.

    One that only maps and filters has offsets alone to forget. Raises `CallerFault` HW-P172 or HW-P213 while a runner
    processes the product, HW-P173 where its inputs or its own log no longer begin at their first record. Cut off
    anywhere, it is called again: a runner does not start while a topic is missing.
    """
    inputs = [(one.topic, stage.partitions) for stage in plan.stages for one in stage.inputs if one.product is not None]
    outputs = [(output.topic, output.partitions) for output in plan.stages[-1].outputs]
    require_whole([*inputs, *outputs], broker)
    require_none_on_faust([plan], broker, clock)
    for stage in plan.stages:
        _leave(stage.group, broker, clock)
    topics = internal_topics(plan)
    for topic in topics:
        broker.delete_topic(topic.name)
    for topic in topics:
        broker.create_topic(topic)
    return [topic.name for topic in topics]


def require_whole(topics: Sequence[tuple[str, int]], broker: Broker) -> None:
    """Refuse to make anew what does not follow from what is left: each topic with its number of partitions."""
    places = [TopicPartition(topic, number) for topic, count in topics for number in range(count)]
    cut = sorted({place.topic for place in without_beginning(places, broker)})
    if cut:
        raise CallerFault(
            f"{', '.join(cut)} no longer begin{'s' if len(cut) == 1 else ''} at the first record",
            code="HW-P173",
            detail="retention removed what the product was made from, or of what it says; it cannot be made anew",
            hint="give the product a new major version, which begins at what is left",
        )


def without_beginning(places: Sequence[TopicPartition], broker: Broker) -> list[TopicPartition]:
    """Those of these partitions whose first records are gone."""
    starts = broker.starts(places)
    return [place for place in places if starts[place] > 0]


def _leave(group: str, broker: Broker, clock: Clock) -> None:
    until = clock.monotonic() + LEAVE_MICROSECONDS
    while not broker.forget_group(group):
        if clock.monotonic() >= until:
            raise CallerFault(
                f"a runner processes {group.split('.v')[0]} still",
                code="HW-P172",
                detail=f"the consumer group {group} has members",
                hint="stop headwater run for this product, on every machine, and try again",
            )
        clock.sleep(LOOK_MICROSECONDS)

"""The form of a stage's state: looked for at the beginning of its changelog, before anything is processed over it."""

from __future__ import annotations

from headwater.errors import CallerFault
from headwater.ports.protocol import Broker
from headwater.ports.record import Message, TopicPartition
from headwater.processing.steps import FORM_KEY, Stage
from headwater.timeline.clock import Clock

LOOK_MICROSECONDS = 2_000_000  # what an open transaction hides is looked at again once the partition is restored
_AT_ONCE = 500
_SECONDS = 0.2


def require_form(stage: Stage, broker: Broker, *, clock: Clock) -> None:
    """Raise `CallerFault` HW-P034 where a partition's first entry tells another form: one partition's refusal must not
    come after another has published.
    """
    starts = broker.starts([TopicPartition(stage.changelog, number) for number in range(stage.partitions)])
    left = set(starts)
    reader = broker.reader(starts)
    until = clock.monotonic() + LOOK_MICROSECONDS
    try:
        while left and clock.monotonic() < until:
            for item in reader.poll(_AT_ONCE, _SECONDS):
                place = TopicPartition(item.topic, item.partition)
                if place in left and isinstance(item, Message) and item.key == FORM_KEY and item.value is not None:
                    judge_form(stage, item.value)
                left.discard(place)
    finally:
        reader.close()


def judge_form(stage: Stage, written: bytes) -> None:
    """Raise `CallerFault` HW-P034 unless state of this form is what the stage keeps."""
    if written != stage.form.encode():
        raise CallerFault(
            f"the state of {stage.group} was written by another flow",
            code="HW-P034",
            detail="what this flow keeps has another form, and records already published cannot be unsaid",
            hint="give the product a new major version, or take the change of its flow back; where Headwater alone "
            "keeps it another way, headwater processing reset makes it anew from the inputs",
        )

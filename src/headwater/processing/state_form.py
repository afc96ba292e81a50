"""The form of a stage's state: looked for at the beginning of its changelog, before anything is processed over it.

It also says where what is remembered of inputs comes back from: from the changelog like all else, or from the inputs.
A state goes on as it was begun.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from headwater.errors import CallerFault
from headwater.mesh.products import Mesh
from headwater.ports.protocol import Broker
from headwater.ports.record import Message, TopicPartition
from headwater.processing.reset import without_beginning
from headwater.processing.steps import FORM_KEY, Stage
from headwater.timeline.clock import Clock

LOOK_MICROSECONDS = 2_000_000  # what an open transaction hides is looked at again once the partition is restored
_AT_ONCE = 500
_SECONDS = 0.2


class StateForm:
    """The forms that a stage's state may have: its own, `plain`, and the one of a state that recalls its inputs.

    `recalling` is empty where nothing may be recalled. `whole` is whether the contracts of the inputs that are recalled
    keep their whole history. `begun` are the forms of those partitions' states that were looked at: a stage has one.
    """

    def __init__(self, stage: Stage, mesh: Mesh) -> None:
        self._stage = stage
        self.plain = stage.form
        self.recalling = ""
        self.begun: set[bytes] = set()
        products = [
            (entry, mesh.product(entry.product))
            for entry in stage.inputs
            if entry.product is not None and entry.topic in stage.recalled_from
        ]
        self.whole = all(product.output.output.retention is None for _, product in products)
        if stage.recalled:
            # What stands in for a field that a record was written without is part of what is made of it.
            defaults = [
                f"{entry.topic}.{field.name}={field.default!r}"
                for entry, product in products
                for field in product.output.schema.fields
                if field.name in entry.fields and field.optional
            ]
            text = "\n".join([stage.recalled, *defaults])
            self.recalling = f"{stage.form}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def recalls(self, written: bytes | None) -> bool:
        """Whether a state of this form recalls its inputs."""
        return bool(self.recalling) and written == self.recalling.encode()

    def of(self, written: bytes | None, broker: Broker) -> str:
        """The form of a partition's state: the one it was begun in; of one that begins now that of the others, else the
        recalling one, where the inputs have their first records and keep them.
        """
        if written is not None:
            return self.recalling if self.recalls(written) else self.plain
        if not self.recalling or not self.whole or self.plain.encode() in self.begun:
            return self.plain
        numbers = range(self._stage.partitions)
        places = [TopicPartition(topic, number) for topic in self._stage.recalled_from for number in numbers]
        return self.plain if without_beginning(places, broker) else self.recalling

    def judge(self, written: bytes) -> None:
        """Raise `CallerFault` HW-P034 unless the stage can go on with state of this form, HW-P300 where its inputs do
        not keep what it recalls.
        """
        if self.recalls(written):
            if not self.whole:
                raise self._forgotten("the contract of an input no longer keeps its whole history", "HW-P300")
        elif written != self.plain.encode():
            raise CallerFault(
                f"the state of {self._stage.group} was written by another flow",
                code="HW-P034",
                detail="what this flow keeps has another form, and records already published cannot be unsaid",
                hint="give the product a new major version, or take the change of its flow back; where Headwater alone "
                "keeps it another way, headwater processing reset makes it anew from the inputs",
            )

    def require_records(self, offsets: Mapping[TopicPartition, int], broker: Broker) -> None:
        """Raise `CallerFault` HW-P301 where records of an input that is recalled, from these offsets on, are gone."""
        starts = broker.starts(list(offsets))
        cut = sorted({place.topic for place, offset in offsets.items() if starts[place] > offset})
        if cut:
            raise self._forgotten(f"{', '.join(cut)} no longer has the records that are missing", "HW-P301")

    def _forgotten(self, why: str, code: str) -> CallerFault:
        return CallerFault(
            f"{self._stage.group} recalls its inputs, and they do not keep what it recalls",
            code=code,
            detail=f"{why}: what is needed to take a correction back could not be read again",
            hint="write retention: forever in the input's contract again; where records are gone, give this product a "
            "new major version, which begins at what is left",
        )


def require_form(form: StateForm, stage: Stage, broker: Broker, *, clock: Clock) -> None:
    """Raise `CallerFault` HW-P034 or HW-P300 where a partition's first entry tells a form that cannot be gone on with:
    one partition's refusal must not come after another has published.
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
                    form.judge(item.value)
                    form.begun.add(item.value)
                left.discard(place)
    finally:
        reader.close()

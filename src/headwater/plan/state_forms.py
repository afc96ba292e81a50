"""Is kept state of the form that the flows now ask for: said by the plan, not by the runner once it is to start."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from headwater.contracts.load import PRODUCT_FILE
from headwater.errors import Finding
from headwater.mesh.products import Mesh
from headwater.naming import ProductName
from headwater.ports.protocol import Broker
from headwater.ports.reading import read_to_end
from headwater.ports.record import Message, TopicPartition
from headwater.processing.state_form import StateForm
from headwater.processing.steps import FORM_KEY, Plan, Stage

# The form is the first entry of a partition's changelog, where a broker's cleaner leaves it. Older state has it
# within the first commit; a topic in which it stands further in is left to the runner, which reads all of it.
_MESSAGES_LIMIT = 200_000


def form_refusals(mesh: Mesh, plans: Mapping[ProductName, Plan], broker: Broker) -> list[Finding]:
    """A refusal for each stage whose state was written by a flow that kept something else; writes nothing."""
    changelogs = [stage.changelog for plan in plans.values() for stage in plan.stages if stage.changelog]
    there = broker.describe(changelogs) if changelogs else {}
    refusals = []
    for name, plan in plans.items():
        for stage in plan.stages:
            if stage.changelog not in there:
                continue
            written = _written_form(broker, stage.changelog, there[stage.changelog].partitions)
            form = StateForm(stage, mesh)
            if written is None or written == form.plain:
                continue
            product = mesh.product(name).product
            if form.recalls(written.encode()):
                if not form.whole:
                    refusals.append(_forgotten(f"{product.folder}/{PRODUCT_FILE}", stage, name))
            else:
                following = f"{product.version.major + 1}.0.0"
                refusals.append(
                    Finding(
                        "HW-P153",
                        "error",
                        f"{product.folder}/{PRODUCT_FILE}",
                        0,
                        0,
                        f"topic {stage.changelog}",
                        f"the state of {name} ({stage.name}) was written by another flow",
                        "what this flow keeps has another form, and records already published cannot be unsaid",
                        f"write version: {following}, whose topics are filled from the inputs' whole history, "
                        "or take the change of the flow back; where its records stay the same, as after a new version "
                        "of Headwater, headwater processing reset makes it anew",
                    )
                )
    return refusals


def _forgotten(place: str, stage: Stage, name: ProductName) -> Finding:
    return Finding(
        "HW-P303",
        "error",
        place,
        0,
        0,
        f"topic {stage.changelog}",
        f"{name} ({stage.name}) recalls its inputs, and one no longer keeps its whole history",
        "what is needed to take a correction back is read again from the inputs' records, which would be removed",
        "write retention: forever in the input's contract again; or give this product a new major version, and end "
        "this one first",
    )


def _written_form(broker: Broker, changelog: str, partitions: int) -> str | None:
    """The form of the state that a changelog holds; None where it holds none, or not near its beginning."""
    places = broker.starts([TopicPartition(changelog, number) for number in range(partitions)])
    with closing(read_to_end(broker, places)) as found:  # type: ignore[type-var]
        for count, item in enumerate(found):
            if isinstance(item, Message) and item.key == FORM_KEY and item.value is not None:
                return item.value.decode(errors="replace")
            if count >= _MESSAGES_LIMIT:
                break
    return None

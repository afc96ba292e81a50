"""What must hold among the outputs of a product that has several."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.contracts.product import Output
from headwater.contracts.shape import Reading


def outputs_together(outputs: Sequence[Output], reading: Reading, *, aligned: bool) -> None:
    """Note what one runner could not write together; `aligned` where the product is source-aligned."""
    if aligned:
        why = "an outbox row names a product, and a relay publishes it once"
        fix = "keep one; derive the others from it as products of their own"
        reading.find(
            "HW-C119",
            "outputs[1]",
            reading.places.get("outputs[1]", reading.places["outputs"]),
            "a source-aligned product has one output",
            why=why,
            fix=fix,
        )
    first = outputs[0]
    for index, output in enumerate(outputs):
        path = f"outputs[{index}]"
        at = f"{path}.name"
        if "__" in output.name:
            why, fix = "topics are named after it", "write single underscores"
            message = f"the output '{output.name}' has two underscores in a row"
            reading.find("HW-C118", at, reading.places[at], message, why=why, fix=fix)
        if any(other.name == output.name for other in outputs[:index]):
            why, fix = "topics are named after it", "give each output a name of its own"
            message = f"two outputs are named '{output.name}'"
            reading.find("HW-C118", at, reading.places[at], message, why=why, fix=fix)
        for name, mine, firsts in (
            ("partitions", output.partitions, first.partitions),
            ("accept_late", output.accept_late, first.accept_late),
        ):
            if mine != firsts:
                at = f"{path}.{name}"
                message = f"the outputs '{first.name}' and '{output.name}' differ in {name}"
                why = "one task takes in each record once, and writes the same partition of every output"
                place = reading.places.get(at) or reading.places[f"{path}.name"]
                reading.find("HW-C120", at, place, message, why=why, fix=f"write the same {name} in each output")

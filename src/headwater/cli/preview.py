"""`headwater preview`: what a flow would publish, from the newest records of its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.mesh.products import ResolvedProduct
    from headwater.ports.protocol import Broker
    from headwater.processing.graph import Graph
    from headwater.processing.preview import Preview, Record
    from headwater.schemas.registry import Registry


def command(
    product: Annotated[
        str,
        typer.Argument(
            metavar="PRODUCT", help="Its name, as airports.hourly_punctuality; PRODUCT/OUTPUT for a further output."
        ),
    ],
    last: Annotated[
        int, typer.Option("--last", min=1, max=1_000_000, help="So many of the newest records of each input.")
    ] = 500,
    rows: Annotated[int, typer.Option("--rows", min=0, help="Print the newest so many; 0: all.")] = 20,
    key: Annotated[str | None, typer.Option("--key", help="Only records of this Kafka key.")] = None,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print a record.")] = "text",
) -> None:
    """Run a product's flow on real recent records, in this process, and show what comes out. Writes nothing.

    The flow and the contract are those of the files, applied or not. Records go to stdout, what they were made of to
    stderr: how many records of each input came late, corrected or retracted others, and where each field comes from.
    """
    from headwater.cli import console
    from headwater.errors import CallerFault
    from headwater.mesh.load import load_mesh
    from headwater.ports.kafka import KafkaBroker
    from headwater.ports.keys import key_bytes
    from headwater.processing.flow_file import load_flow
    from headwater.processing.preview import preview
    from headwater.schemas.payload import writer
    from headwater.schemas.registry_http import HttpRegistry
    from headwater.settings import environment_of, load_settings

    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    resolved = mesh.product(product)
    if not resolved.product.inputs:
        raise CallerFault(
            f"{resolved.name} has no flow",
            code="HW-K090",
            detail="its records come from an outbox; only what is made of other products can be previewed",
            hint=f"headwater tail {resolved.name} --limit {last} shows its records",
        )
    graph = load_flow(mesh, resolved.name)
    environment = environment_of(settings, mesh.file)
    broker, registry = KafkaBroker(environment.kafka), HttpRegistry(environment.registry_url)
    samples, unreadable = [], 0
    try:
        for port in graph.inputs:
            records, unread = _sample(mesh.product(port.product), broker, registry, last)
            samples.append(records)
            unreadable += unread
    finally:
        broker.close()
    made = preview(graph, samples, tick=int(mesh.file.tick), topic=resolved.output.topic)
    wanted = None if key is None else key.encode()
    names = resolved.output.output.key
    shown = [one for one in made.records if wanted is None or key_bytes([one[name] for name in names]) == wanted]
    convert = writer(resolved.output.schema)
    for record in shown[-rows:] if rows else shown:
        console.record(convert(record), output)
    for line in _account(resolved, graph, made, unreadable):
        console.err().print(line, markup=False)


def _sample(product: ResolvedProduct, broker: Broker, registry: Registry, last: int) -> tuple[list[Record], int]:
    """The newest records of an input, and how many of them cannot be decoded."""
    from headwater.errors import Misfit
    from headwater.ports.sample import newest
    from headwater.ports.serde import RecordReader

    reader = RecordReader(registry, subject=product.output.subject, schema=product.output.schema)
    records: list[Record] = []
    unreadable = 0
    for message in newest(broker, product.output.topic, last):
        try:
            records.append(reader.read(message.value))
        except Misfit:
            unreadable += 1
    return records, unreadable


def _account(product: ResolvedProduct, graph: Graph, made: Preview, unreadable: int) -> list[str]:
    from headwater.processing.validation import lineage
    from headwater.timeline.instant import Instant

    lines = []
    for one in made.inputs:
        span = ""
        if one.first_recorded is not None and one.last_recorded is not None:
            span = f", recorded {Instant(one.first_recorded).iso()} to {Instant(one.last_recorded).iso()}"
        late = f"{one.out_of_order:,} out of order, " if one.records else ""
        lines.append(f"read   {one.port.product}: {_counted(one.records)}{span}; {late}{_kinds(one.kinds)}")
    if unreadable:
        lines.append(f"       {unreadable:,} of them cannot be decoded, and are left out")
    lines.append(f"made   {product.name}: {_counted(len(made.records))}; {_kinds(made.kinds())}")
    reasons: dict[str, int] = {}
    for letter in made.refused:
        text = f"{letter.error.message} [{letter.error.code}]"
        reasons[text] = reasons.get(text, 0) + 1
    lines += [f"       {count:,} would go to quarantine: {text}" for text, count in sorted(reasons.items())]
    own = next(one for one in graph.outputs if one.output.product == product.name)
    for name, fields in lineage(own).items():
        lines.append(
            f"field  {name} ← {', '.join(sorted(f'{where}.{field}' for where, field in fields)) or 'constant'}"
        )
    lines.append(
        "Nothing was written. What was recorded before these records is not in it: first intervals are partial."
    )
    return lines


def _counted(count: int) -> str:
    return f"{count:,} record{'' if count == 1 else 's'}"


def _kinds(kinds: Mapping[str, int]) -> str:
    words = {"assert": "new", "correct": "corrections", "retract": "retractions"}
    return ", ".join(f"{kinds.get(kind, 0):,} {word}" for kind, word in words.items())
